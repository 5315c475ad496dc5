//! Programs that cases run, as tenants or as clients.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// A program of this crate, as cargo built it: `target/PROFILE/NAME`.
///
/// # Panics
///
/// When it has not been built; `cargo nextest run -p ten-conformance` builds it.
pub fn program(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows where it is");
    let path = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST").join(name);
    assert!(path.is_file(), "{path:?} is not built: cargo build -p ten-conformance");
    path
}

/// The virtual environment with what `requirements.txt` pins. Instances at level `namespace`
/// see it only if their service has it in `bind`.
///
/// # Panics
///
/// When it is not there; `cargo xtask test` makes it.
pub fn venv() -> PathBuf {
    let path = root().join("target/venv");
    assert!(path.join("installed.txt").is_file(), "no {path:?}: cargo xtask test makes it");
    path
}

/// Python with everything that `requirements.txt` names.
pub fn python() -> Command {
    Command::new(venv().join("bin/python"))
}

/// The `command` of a service that runs `tenants/NAME.py` in that Python.
pub fn script(name: &str) -> String {
    let script = root().join(format!("conformance/tenants/{name}.py"));
    assert!(script.is_file(), "{script:?} is not there");
    format!("{} -u {}", venv().join("bin/python").display(), script.display())
}

/// A service that runs `command` at level `process`, with these further keys. Its data and its
/// socket are where no other test's are.
pub fn service(name: &str, command: &str, keys: &str) -> String {
    format!(
        "[service.{name}]\ncommand = {command:?}\nsocket = \"{{instance_dir}}/s\"\n\
         isolation = \"process\"\n{keys}\n"
    )
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder of the repository")
}
