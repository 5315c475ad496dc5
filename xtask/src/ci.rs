//! `cargo xtask ci`: what must hold before a change is merged. Cheap checks first.

use crate::{failure::Failure, shell, test};

pub(crate) fn run() -> Result<(), Failure> {
    let cargo = shell::cargo();
    for component in ["fmt", "clippy"] {
        ensure_component(&cargo, component)?;
    }
    shell::run(&cargo, &["fmt", "--all", "--check"])?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    shell::run(&cargo, &clippy)?;
    deny(&cargo)?;
    test::run(&[])
}

/// A minimal toolchain comes without them.
fn ensure_component(cargo: &str, name: &str) -> Result<(), Failure> {
    if shell::works(cargo, &[name, "--version"])? {
        return Ok(());
    }
    let component = if name == "fmt" { "rustfmt" } else { name };
    shell::run("rustup", &["component", "add", component])
}

/// Licences, bans and sources are checked by `tidy` from the same deny.toml, because to
/// compile cargo-deny takes longer than all the rest. Whoever has it gets the original.
fn deny(cargo: &str) -> Result<(), Failure> {
    match shell::works(cargo, &["deny", "--version"])? {
        true => shell::run(cargo, &["deny", "check", "licenses", "bans", "sources"]),
        false => Ok(()),
    }
}
