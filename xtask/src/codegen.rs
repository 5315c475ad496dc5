//! `cargo xtask codegen`: files that are made from code, committed, and checked for drift.
//!
//! Now: docs/configuration.md from the schema of `tenement.toml`.

mod configuration;

use std::fs;

use crate::{failure::Failure, tree};

/// Where a generated file goes, and what makes its text.
pub(crate) type Generated = (&'static str, fn() -> String);

pub(crate) const GENERATED: [Generated; 1] = [("docs/configuration.md", configuration::render)];

pub(crate) fn run() -> Result<(), Failure> {
    for (path, render) in GENERATED {
        fs::write(tree::root().join(path), render())
            .map_err(Failure::io(format!("write {path}")))?;
        println!("wrote {path}");
    }
    Ok(())
}
