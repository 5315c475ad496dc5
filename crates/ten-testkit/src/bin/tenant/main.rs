//! A tenant that does as it is told, nicely or not: the other side of every e2e case.
//!
//! Options decide how it starts and stops (`args`), paths of requests what it does meanwhile
//! (`routes`). It knows nothing of tenement but the environment that every tenant gets, and
//! it starts in about a millisecond.

mod args;
mod family;
mod hoard;
mod http;
mod listen;
mod routes;

use std::{process, thread, time::Duration};

use args::Args;

fn main() {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(problem) => {
            eprintln!("tenant: {problem}");
            process::exit(2);
        }
    };
    if let Some(kind) = args.relative {
        family::live(kind);
    }
    if let Some(code) = args.exit_at_start {
        eprintln!("tenant: exits at the start with {code}");
        process::exit(code);
    }
    args::obey_signals(&args);
    if let Some(after) = args.crash_after {
        thread::spawn(move || {
            thread::sleep(after);
            eprintln!("tenant: crashes as told");
            process::abort();
        });
    }
    thread::sleep(args.startup_delay.unwrap_or(Duration::ZERO));
    if let Err(problem) = listen::serve(&args) {
        eprintln!("tenant: {problem}");
        process::exit(1);
    }
}
