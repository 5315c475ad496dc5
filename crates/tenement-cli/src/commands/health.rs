//! `ten health`: the verdict on an instance, and what it rests on.

use clap::Args;

use crate::{args::Global, connect, failure::Failure, instance::InstanceArg, output, render};

#[derive(Debug, Args)]
pub(crate) struct Health {
    #[command(flatten)]
    instance: InstanceArg,
}

impl Health {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.instance.name()?;
        let report = connect::client(global)?.health(&name).await;
        let report =
            report.map_err(|error| Failure::call(format!("cannot tell how {name} is"), error))?;
        if global.json {
            return output::print_json(&report);
        }
        output::print(&render::instances::health(&report))
    }
}
