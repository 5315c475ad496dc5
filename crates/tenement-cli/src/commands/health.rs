//! `ten health`: the verdict on an instance, and what it rests on.

use clap::Args;
use ten_api::State;

use crate::{
    args::Global, connect, failure::Failure, instance::InstanceArg, output, render, watch,
};

#[derive(Debug, Args)]
pub(crate) struct Health {
    #[command(flatten)]
    instance: InstanceArg,
}

impl Health {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.instance.name()?;
        let client = connect::client(global)?;
        let report = client.health(&name).await;
        let report =
            report.map_err(|error| Failure::call(format!("cannot tell how {name} is"), error))?;
        if global.json {
            return output::print_json(&report);
        }
        let said = match report.state {
            State::Failed | State::Backoff => watch::last_lines(&client, &name).await,
            _ => Vec::new(),
        };
        output::print(&render::instances::health(&report, &said))
    }
}
