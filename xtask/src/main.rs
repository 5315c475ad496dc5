//! `cargo xtask`: everything that is done with this repository besides editing it.
//!
//! A file per verb. Nothing here is part of `ten`, and nothing of `ten` depends on it.

mod bench;
mod ci;
mod codegen;
mod corpus;
mod demo;
mod failure;
mod packages;
mod python;
mod shell;
mod test;
mod tidy;
mod tree;
mod verbs;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match verbs::run(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
