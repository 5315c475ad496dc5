//! What ten holds in memory and does while nobody asks.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Parser;
use ten_benches::{
    Failure, build, exit, machine,
    memory::{self, Report},
};

/// Measures memory, idleness and the start, with many sleeping and with many running instances
#[derive(Debug, Parser)]
struct Args {
    /// Writes the result there too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result<(), Failure> {
    build::build()?;
    let machine = machine::describe();
    let report = Report { machine, memory: memory::measure()? };
    print!("{report}");
    if let Some(path) = &args.json {
        fs::write(path, format!("{:#}\n", report.json()))
            .map_err(|source| Failure::Path { path: path.clone(), source })?;
    }
    Ok(())
}
