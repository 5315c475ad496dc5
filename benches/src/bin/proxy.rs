//! What a request costs that passes through ten, beside nginx, haproxy and caddy.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Parser;
use serde_json::json;
use ten_benches::{Failure, build, exit, machine, proxy};

/// Measures what ten costs per request, beside nginx and whoever else is installed
#[derive(Debug, Parser)]
struct Args {
    /// Turns of every proxy in every case
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Length of a turn in seconds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Measures only cases with this in their name
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Leaves haproxy and caddy out
    #[arg(long)]
    nginx_alone: bool,
    /// Has ten and nginx write an access log to a file, in the combined format; leaves the others out
    #[arg(long)]
    access_log: bool,
    /// Writes the result there too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit(run(Args::parse()))
}

fn run(args: Args) -> Result<(), Failure> {
    build::build()?;
    let machine = machine::describe();
    let Args { rounds, seconds, only, nginx_alone, access_log, json } = args;
    let rounds = rounds as usize;
    let plan = proxy::Plan { rounds, seconds, only, nginx_alone, access_log };
    let report = proxy::measure(&plan)?;
    print!("{machine}\n\n{report}");
    if let Some(path) = json {
        let text = format!("{:#}\n", json!({ "machine": machine, "proxy": report.json() }));
        fs::write(&path, text).map_err(|source| Failure::Path { path, source })?;
    }
    Ok(())
}
