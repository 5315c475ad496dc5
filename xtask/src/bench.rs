//! `cargo xtask bench wake`: how long waking takes, beside the same program spawned bare.
//! `cargo xtask bench proxy`: what a request costs, beside nginx, haproxy and caddy.
//!
//! The package `ten-benches` builds what it needs and measures, in the release profile.

use crate::{failure::Failure, shell};

pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let [bench @ ("wake" | "proxy"), rest @ ..] = args else {
        return Err(Failure::usage("cargo xtask bench wake|proxy [ARGS…]"));
    };
    let cargo = shell::cargo();
    let mut words = vec!["run", "--release", "--package", "ten-benches", "--bin", bench, "--"];
    words.extend(rest);
    shell::run(&cargo, &words)
}
