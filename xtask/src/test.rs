//! `cargo xtask test`: every test on a machine that has Rust and nothing else.
//!
//! ```text
//! packages, Python, corpus ─► build ─► nextest ─► doc tests ─► tidy ─► demo ─► what was skipped, and why
//! ```
//!
//! With filters: only the tests whose names match, and nothing else.

mod skips;

use std::time::Instant;

use crate::{
    corpus, demo,
    failure::Failure,
    packages, python, shell, tidy,
    tree::{self, Tree},
};

pub(crate) fn run(filters: &[&str]) -> Result<(), Failure> {
    let started = Instant::now();
    let cargo = shell::cargo();
    packages::ensure()?;
    python::ensure()?;
    corpus::ensure()?;
    let nextest = nextest(&cargo)?;
    // e2e cases and the demo run the binaries that lie in the target folder.
    shell::run(&cargo, &["build", "--workspace", "--bins", "--locked"])?;
    skips::forget()?;
    let mut words = vec!["nextest", "run", "--workspace", "--locked"];
    words.extend(filters);
    shell::run(&nextest, &words)?;
    if filters.is_empty() {
        shell::run(&cargo, &["test", "--doc", "--workspace", "--locked", "--quiet"])?;
        tidy::run()?;
        demo::run(&["--once"])?;
    }
    for skip in skips::read()?.into_iter().chain(skips::ignored(&Tree::read()?)) {
        println!("skipped  {skip}");
    }
    println!("all passed in {} s", started.elapsed().as_secs());
    Ok(())
}

/// The runner that gives every test a process of its own and a deadline: the user's own, else
/// one in the target folder. That one is a debug build, which compiles in two minutes on two
/// cores, and runs tests no slower.
fn nextest(cargo: &str) -> Result<String, Failure> {
    if shell::works("cargo-nextest", &["nextest", "--version"])? {
        return Ok("cargo-nextest".into());
    }
    let tools = tree::root().join("target/tools");
    let tools = tools.to_string_lossy();
    let program = format!("{tools}/bin/cargo-nextest");
    if !shell::works(&program, &["nextest", "--version"])? {
        let features = ["--no-default-features", "--features", "default-no-update"];
        let mut words = vec!["install", "cargo-nextest", "--locked", "--debug", "--root", &tools];
        words.extend(features);
        shell::run(cargo, &words)?;
    }
    Ok(program)
}
