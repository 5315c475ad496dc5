//! `cargo xtask bench wake`: how long waking takes, beside the same program spawned bare.
//! `cargo xtask bench proxy`: what a request costs, beside nginx, haproxy and caddy.
//! `cargo xtask bench memory`: what ten holds and does while nobody asks.
//!
//! The package `ten-benches` builds what it needs and measures, in the release profile.

use crate::{failure::Failure, shell};

pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let [bench @ ("wake" | "proxy" | "memory"), rest @ ..] = args else {
        return Err(Failure::usage("cargo xtask bench wake|proxy|memory [ARGS…]"));
    };
    let cargo = shell::cargo();
    let mut words = vec!["run", "--release", "--package", "ten-benches", "--bin", bench, "--"];
    words.extend(rest);
    shell::run(&cargo, &words)
}
