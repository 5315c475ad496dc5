//! Waiting for an instance in front of a person: a spinner with its state, and what it said
//! last where the wait was in vain.

use std::{convert::Infallible, future::Future, io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use ten_api::LogQuery;
use ten_client::Client;
use ten_domain::InstanceName;

use crate::args::Global;

/// How often the spinner turns, and the state is asked for.
pub(crate) const TURN: Duration = Duration::from_millis(50);
/// How many lines of its output a failure shows.
const LAST_LINES: usize = 20;

/// Waits for `end`, meanwhile showing what becomes of the instance. Shows nothing where
/// nobody looks: without a terminal, with --quiet and with --json.
pub(crate) async fn until<T>(
    global: &Global,
    client: &Client,
    name: &InstanceName,
    end: impl Future<Output = T>,
) -> T {
    if global.quiet || global.json || !std::io::stderr().is_terminal() {
        return end.await;
    }
    let style = ProgressStyle::with_template("{spinner:.green} {msg} {elapsed:.dim}");
    let spinner = ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        .with_message(name.to_string());
    spinner.enable_steady_tick(TURN);
    let end = tokio::select! {
        end = end => end,
        never = show(client, name, &spinner) => match never {},
    };
    spinner.finish_and_clear();
    end
}

async fn show(client: &Client, name: &InstanceName, spinner: &ProgressBar) -> Infallible {
    let mut turns = tokio::time::interval(TURN);
    loop {
        turns.tick().await;
        // Only decoration: why the command fails is told by the command itself.
        if let Ok(seen) = client.instance(name).await {
            spinner.set_message(format!("{name} is {}", seen.state));
        }
    }
}

/// What an instance said last. None where that cannot be had: it is told beside a failure,
/// and must not hide it behind another.
pub(crate) async fn last_lines(client: &Client, name: &InstanceName) -> Vec<String> {
    let query = LogQuery {
        service: Some(name.service.to_string()),
        id: Some(name.id.to_string()),
        limit: Some(LAST_LINES),
        ..LogQuery::default()
    };
    let lines = client.logs(&query).await.unwrap_or_default();
    lines.into_iter().map(|line| line.text).collect()
}
