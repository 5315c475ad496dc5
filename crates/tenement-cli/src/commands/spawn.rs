//! `ten spawn`: start an instance, and say where it is.

use std::{collections::BTreeMap, io::IsTerminal, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ten_api::{Instance, SpawnRequest};
use ten_client::Client;
use ten_domain::InstanceName;

use crate::{args::Global, connect, failure::Failure, instance::InstanceArg, output, render};

/// How often the spinner turns, and asks for the state that it shows.
const TURN: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct Spawn {
    #[command(flatten)]
    instance: InstanceArg,
    /// Add this to its environment until it is next spawned; may be repeated
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
        let quiet = global.quiet || global.json || !std::io::stderr().is_terminal();
        let spawned = if quiet {
            client.spawn(&request).await
        } else {
            with_spinner(&client, &name, &request).await
        };
        spawned.map_err(|error| Failure::call(format!("cannot spawn {name}"), error))?;
        let instance: Instance = client.instance(&name).await.map_err(|error| {
            Failure::call(format!("{name} was spawned, but cannot be looked at"), error)
        })?;
        if global.json {
            return output::print_json(&instance);
        }
        output::print(&render::instances::spawned(&instance))
    }
}

async fn with_spinner(
    client: &Client,
    name: &InstanceName,
    request: &SpawnRequest,
) -> Result<ten_api::Done, ten_client::Error> {
    let style = ProgressStyle::with_template("{spinner:.green} {msg} {elapsed:.dim}");
    let spinner = ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        .with_message(format!("{name} is starting"));
    spinner.enable_steady_tick(TURN);
    let watch = async {
        let mut turns = tokio::time::interval(TURN);
        loop {
            turns.tick().await;
            // Only decoration: why the spawn fails is told by the spawn itself.
            if let Ok(seen) = client.instance(name).await {
                spinner.set_message(format!("{name} is {}", seen.state));
            }
        }
    };
    let end = tokio::select! {
        end = client.spawn(request) => end,
        () = watch => unreachable!("it watches for ever"),
    };
    spinner.finish_and_clear();
    end
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
