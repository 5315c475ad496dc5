//! `ten restart`: stop and start again; requests meanwhile wait.

use clap::Args;

use crate::{args::Global, connect, failure::Failure, instance::InstanceArg, output};

#[derive(Debug, Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    instance: InstanceArg,
}

impl Restart {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.instance.name()?;
        let done = connect::client(global)?.restart(&name).await;
        let done = done.map_err(|error| Failure::call(format!("cannot restart {name}"), error))?;
        if global.json {
            return output::print_json(&done);
        }
        output::remark(global, format!("{name} restarted"));
        Ok(())
    }
}
