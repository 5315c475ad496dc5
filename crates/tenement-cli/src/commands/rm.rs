//! `ten rm`: stop and forget.

use clap::Args;
use jiff::tz::TimeZone;

use crate::{
    args::Global, connect, failure::Failure, instance::InstanceArg, output, render, watch,
};

#[derive(Debug, Args)]
pub(crate) struct Rm {
    #[command(flatten)]
    instance: InstanceArg,
    /// Leave its data where they are
    #[arg(long)]
    keep_data: bool,
}

impl Rm {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.instance.name()?;
        let client = connect::client(global)?;
        let removed = client.remove(&name, self.keep_data);
        let ended = watch::until(global, &client, &name, removed).await;
        let ended = ended.map_err(|error| Failure::call(format!("cannot remove {name}"), error))?;
        if global.json {
            return output::print_json(&ended);
        }
        output::remark(global, format!("{name} is forgotten"));
        if let Some(line) = render::data::ended(&ended, &TimeZone::system()) {
            output::remark(global, line);
        }
        Ok(())
    }
}
