//! `ten rm`: stop and forget.

use clap::Args;

use crate::{args::Global, connect, failure::Failure, instance::InstanceArg, output, watch};

#[derive(Debug, Args)]
pub(crate) struct Rm {
    #[command(flatten)]
    instance: InstanceArg,
}

impl Rm {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.instance.name()?;
        let client = connect::client(global)?;
        let done = watch::until(global, &client, &name, client.remove(&name)).await;
        let done = done.map_err(|error| Failure::call(format!("cannot remove {name}"), error))?;
        if global.json {
            return output::print_json(&done);
        }
        output::remark(global, format!("{name} is forgotten; its data stay"));
        Ok(())
    }
}
