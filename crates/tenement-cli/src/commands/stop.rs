//! `ten stop`: drain and stop one instance, or all that run.

use clap::Args;
use futures_util::{StreamExt, stream};
use jiff::tz::TimeZone;
use ten_api::{Ended, State};
use ten_client::Client;
use ten_domain::InstanceName;

use crate::{args::Global, connect, failure::Failure, instance, output, render, watch};

/// Each stop may take its `stop_timeout`, so they run side by side, as far as the sockets of a
/// usual shell go (1,024 open files).
const AT_ONCE: usize = 256;

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// The instance, as service:id
    #[arg(value_name = "SERVICE:ID", required_unless_present = "all")]
    instance: Option<String>,
    /// The id, where it is not written after the service
    #[arg(long, requires = "instance")]
    id: Option<String>,
    /// Every instance that does not sleep
    #[arg(long, conflicts_with = "instance")]
    all: bool,
    /// Leave its data where they are
    #[arg(long)]
    keep_data: bool,
}

impl Stop {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match &self.instance {
            Some(typed) => {
                let name = instance::name(typed, self.id.as_deref())?;
                one(name, self.keep_data, global).await
            }
            None => all(self.keep_data, global).await,
        }
    }
}

async fn one(name: InstanceName, keep_data: bool, global: &Global) -> Result<(), Failure> {
    let client = connect::client(global)?;
    let ended = watch::until(global, &client, &name, stop(&client, &name, keep_data)).await?;
    if global.json {
        return output::print_json(&ended);
    }
    let how = if ended.changed { "stopped" } else { "sleeps already" };
    output::remark(global, format!("{name} {how}"));
    if let Some(line) = render::data::ended(&ended, &TimeZone::system()) {
        output::remark(global, line);
    }
    Ok(())
}

/// Stops all that it can, and only then fails with the first that it could not.
async fn all(keep_data: bool, global: &Global) -> Result<(), Failure> {
    let client = connect::client(global)?;
    let instances = client.instances().await;
    let instances = instances.map_err(|error| Failure::call("cannot list the instances", error))?;
    let awake = instances.iter().filter(|instance| instance.state != State::Sleeping);
    let names: Vec<InstanceName> =
        awake.filter_map(|instance| instance.instance.parse().ok()).collect();
    let ends: Vec<_> = stream::iter(&names)
        .map(|name| stop(&client, name, keep_data))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let failed = ends.iter().filter(|end| end.is_err()).count();
    output::remark(global, format!("{} stopped, {failed} not", ends.len() - failed));
    if let Some(line) = render::data::all_ended(ends.iter().flatten(), &TimeZone::system()) {
        output::remark(global, line);
    }
    ends.into_iter().try_for_each(|end| end.map(|_| ()))
}

async fn stop(client: &Client, name: &InstanceName, keep_data: bool) -> Result<Ended, Failure> {
    let ended = client.stop(name, keep_data).await;
    ended.map_err(|error| Failure::call(format!("cannot stop {name}"), error))
}
