//! `ten`: the command line of tenement.
//!
//! ```text
//! args (clap) ─► commands::VERB ─► ten-client / ten-config / ten-server ─► render ─► stdout
//!                     └──────────────── Failure: what, why, fix ─────────► stderr, exit code
//! ```
//!
//! A file per verb. Nothing here knows how an instance lives: `serve` and `front` hand over to
//! `ten-server`, all others ask a server or read the config.

#[cfg(not(target_os = "linux"))]
compile_error!("tenement runs on Linux only: it is built on namespaces, cgroups and pidfds.");

mod args;
mod commands;
mod connect;
mod failure;
mod ground;
mod instance;
mod output;
mod render;
mod terminal;
mod time;
mod watch;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    if cli.global.no_color {
        anstream::ColorChoice::Never.write_global();
    }
    commands::run(cli).unwrap_or_else(|failure| failure.report())
}
