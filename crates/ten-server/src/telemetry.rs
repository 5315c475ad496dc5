//! ten's own log: one line per event on stderr, filtered by `RUST_LOG`.

use std::{env, io::IsTerminal as _};

use tracing_subscriber::{filter::Targets, fmt, prelude::*};

/// What is logged where `RUST_LOG` says nothing. What these libraries warn of is what clients
/// send, and no client may write our log; where it matters, the data plane says it itself.
const DEFAULT: &str = "info,h2=error,hyper=error";

/// Starts logging in this process. Called once.
///
/// `RUST_LOG` is a list of levels, each perhaps for one crate or module: `info,ten_proxy=debug`.
pub fn start() {
    let given = env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let default = || DEFAULT.parse::<Targets>().expect("it is one");
    let (targets, wrong) = match given.as_deref().map(str::parse::<Targets>) {
        None => (default(), None),
        Some(Ok(targets)) => (targets, None),
        Some(Err(error)) => (default(), Some(error)),
    };
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none())
        .with_target(false);
    tracing_subscriber::registry().with(targets).with(lines).init();
    if let (Some(error), Some(given)) = (wrong, given) {
        tracing::warn!(%error, "RUST_LOG is {given:?}, which is not understood; logged is {DEFAULT:?}");
    }
}
