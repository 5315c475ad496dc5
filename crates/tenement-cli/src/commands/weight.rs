//! `ten weight`: an instance's share of its service's traffic.

use clap::Args;

use crate::{args::Global, connect, failure::Failure, instance::InstanceArg, output};

#[derive(Debug, Args)]
pub(crate) struct Weight {
    #[command(flatten)]
    instance: InstanceArg,
    /// 0 (no share) to 100 (full share)
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    weight: u8,
}

impl Weight {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.instance.name()?;
        let done = connect::client(global)?.set_weight(&name, self.weight).await;
        let done =
            done.map_err(|error| Failure::call(format!("cannot set the weight of {name}"), error))?;
        if global.json {
            return output::print_json(&done);
        }
        let already = if done.changed { "" } else { " already" };
        output::remark(global, format!("{name} has weight {}{already}", self.weight));
        Ok(())
    }
}
