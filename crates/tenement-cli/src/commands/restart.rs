//! `ten restart`: stop and start again; requests meanwhile wait.

use clap::Args;

use crate::{args::Global, connect, failure::Failure, instance::InstanceArg, output, watch};

#[derive(Debug, Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    instance: InstanceArg,
}

impl Restart {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.instance.name()?;
        let client = connect::client(global)?;
        let done = match watch::until(global, &client, &name, client.restart(&name)).await {
            Ok(done) => done,
            Err(error) => {
                let failure = Failure::call(format!("cannot restart {name}"), error);
                return Err(failure.said(watch::last_lines(&client, &name).await));
            }
        };
        if global.json {
            return output::print_json(&done);
        }
        output::remark(global, format!("{name} restarted"));
        Ok(())
    }
}
