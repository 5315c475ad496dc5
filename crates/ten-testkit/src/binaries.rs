//! Where the programs under test are: beside the running test, in cargo's target folder.

use std::{env, path::PathBuf};

/// The `ten` under test.
///
/// # Panics
///
/// When it has not been built.
pub fn ten_binary() -> PathBuf {
    binary("ten", "tenement-cli")
}

/// The tenant that does as it is told; its paths and options are in its source,
/// `src/bin/tenant`.
///
/// # Panics
///
/// When it has not been built.
pub fn tenant_binary() -> PathBuf {
    binary("tenant", "ten-testkit")
}

/// A test runs as `target/PROFILE/deps/NAME-HASH`, a program of the workspace is
/// `target/PROFILE/NAME`.
fn binary(name: &str, package: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows where it is");
    let folders = test.ancestors().skip(1).take(2);
    let candidates: Vec<_> = folders.map(|folder| folder.join(name)).collect();
    let found = candidates.iter().find(|path| path.is_file());
    found.cloned().unwrap_or_else(|| {
        panic!("{name} is not at {candidates:?}; build it first: cargo build -p {package}")
    })
}
