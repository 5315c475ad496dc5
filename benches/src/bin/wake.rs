//! How long waking takes, beside the same programs spawned without ten.

use std::{env, fs, path::PathBuf, process::ExitCode};

use clap::Parser;
use ten_benches::{Failure, build, exit, machine, own_network, report::Report, wake};

/// Measures what waking an instance costs, beside the same program spawned bare
#[derive(Debug, Parser)]
struct Args {
    /// Rounds of single wakes
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measures only single wakes of programs with this in their name, such as "tenant, socket"
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Writes the result there too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result<(), Failure> {
    if !own_network::is_own() {
        // Asked before the build, which may replace the file.
        let program = env::current_exe().map_err(Failure::OwnNetwork)?;
        build::build()?;
        return Err(own_network::enter(&program));
    }
    let machine = machine::describe();
    let wake = wake::measure(args.rounds as usize, args.only.as_deref())?;
    let report = Report { machine, wake };
    print!("{report}");
    if let Some(path) = &args.json {
        fs::write(path, format!("{:#}\n", report.json()))
            .map_err(|source| Failure::Path { path: path.clone(), source })?;
    }
    Ok(())
}
