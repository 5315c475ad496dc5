//! `cargo xtask bench wake`: how long waking takes, beside the same program spawned bare.
//!
//! The package `ten-benches` builds what it needs and measures, in the release profile.

use crate::{failure::Failure, shell};

pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let ["wake", rest @ ..] = args else {
        return Err(Failure::usage("cargo xtask bench wake [ARGS…]"));
    };
    let cargo = shell::cargo();
    let mut words = vec!["run", "--release", "--package", "ten-benches", "--bin", "wake", "--"];
    words.extend(rest);
    shell::run(&cargo, &words)
}
