//! `ten spawn`: start an instance, and say where it is.

use std::collections::BTreeMap;

use clap::Args;
use ten_api::{Instance, SpawnRequest, State};
use ten_client::Client;
use ten_domain::InstanceName;

use crate::{
    args::Global, connect, failure::Failure, instance::InstanceArg, output, render, watch,
};

#[derive(Debug, Args)]
pub(crate) struct Spawn {
    #[command(flatten)]
    instance: InstanceArg,
    /// Add this to its environment until it is next spawned, or ten starts anew; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Return at once, not when it is ready
    #[arg(long)]
    no_wait: bool,
}

impl Spawn {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.instance.name()?;
        let client = connect::client(global)?;
        let request = SpawnRequest {
            service: name.service.to_string(),
            id: name.id.to_string(),
            env: BTreeMap::from_iter(self.env),
            wait: !self.no_wait,
        };
        let spawned = spawn(&client, &name, &request);
        let Spawned { instance, changed } = watch::until(global, &client, &name, spawned).await?;
        if global.json {
            return output::print_json(&instance);
        }
        output::print(&render::instances::spawned(&instance, changed))
    }
}

/// An instance that runs, and whether it did not before.
struct Spawned {
    instance: Instance,
    changed: bool,
}

/// Spawns; with `wait`, stays until it is known whether the health path answers, too.
async fn spawn(
    client: &Client,
    name: &InstanceName,
    request: &SpawnRequest,
) -> Result<Spawned, Failure> {
    let changed = match client.spawn(request).await {
        Ok(done) => done.changed,
        Err(error) => {
            let failure = Failure::call(format!("cannot spawn {name}"), error);
            return Err(failure.said(watch::last_lines(client, name).await));
        }
    };
    // The server answers when the listener accepts, and ends `starting` by itself: within
    // `startup_timeout`, whatever the health path says.
    let mut turns = tokio::time::interval(watch::TURN);
    loop {
        turns.tick().await;
        let instance: Instance = client.instance(name).await.map_err(|error| {
            Failure::call(format!("{name} was spawned, but cannot be looked at"), error)
        })?;
        match instance.state {
            State::Starting if request.wait => {}
            State::Backoff | State::Failed => {
                return Err(Failure::new(format!("{name} started and ended again"))
                    .why(instance.last_failure.unwrap_or_else(|| "it gave no reason".to_owned()))
                    .fix(format!("`ten logs {name}` shows all that it said"))
                    .said(watch::last_lines(client, name).await));
            }
            State::Starting
            | State::Running
            | State::Sleeping
            | State::Draining
            | State::Stopping => return Ok(Spawned { instance, changed }),
        }
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
