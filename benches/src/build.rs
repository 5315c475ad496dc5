//! Building what is measured, so that no number is ever of a stale program.

use std::{env, path::PathBuf, process::Command};

use crate::Failure;

/// cargo's profile of this program, and so of those that it measures: they are beside it.
pub const PROFILE: &str = if cfg!(debug_assertions) { "dev" } else { "release" };

/// Builds `ten`, `tenant` and `origin` in the profile of this program.
///
/// # Errors
///
/// Where cargo is not there, or does not succeed.
pub fn build() -> Result<(), Failure> {
    let cargo = PathBuf::from(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let status = Command::new(&cargo)
        .args(["build", "--profile", PROFILE])
        .args(["--package", "tenement-cli", "--package", "ten-testkit"])
        .args(["--package", "ten-benches"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .map_err(|source| Failure::Cargo { cargo, source })?;
    if status.success() { Ok(()) } else { Err(Failure::Build { status }) }
}
