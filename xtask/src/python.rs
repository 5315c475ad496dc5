//! The Python that conformance cases stand on: Debian's own, in a virtual environment in the
//! target folder, with what `conformance/requirements.txt` pins.
//!
//! Nothing is installed while that file stays as it is: its copy beside the environment says
//! what is there.

use std::fs;

use crate::{failure::Failure, shell, tree};

/// Not the first `python3` in PATH: that may live in a home folder, which instances do not see.
pub(crate) const INTERPRETER: &str = "/usr/bin/python3";
const ENVIRONMENT: &str = "target/venv";
const REQUIREMENTS: &str = "conformance/requirements.txt";
/// A copy of the requirements that were installed; the last thing to be written.
const INSTALLED: &str = "target/venv/installed.txt";

/// Makes the environment, or leaves it where it has what is wanted.
pub(crate) fn ensure() -> Result<(), Failure> {
    let wanted = fs::read(tree::root().join(REQUIREMENTS));
    let wanted = wanted.map_err(Failure::io(format!("read {REQUIREMENTS}")))?;
    let installed = tree::root().join(INSTALLED);
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    shell::run(INTERPRETER, &["-m", "venv", "--clear", ENVIRONMENT])?;
    let pip = format!("{ENVIRONMENT}/bin/python");
    let quiet = ["--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
    let mut words = vec!["-m", "pip", "install"];
    words.extend(quiet);
    words.extend(["--requirement", REQUIREMENTS]);
    shell::run(&pip, &words)?;
    fs::write(&installed, wanted).map_err(Failure::io(format!("write {INSTALLED}")))
}

/// Whether the interpreter can make environments; Debian has that in a package of its own.
pub(crate) fn makes_environments() -> Result<bool, Failure> {
    shell::works(INTERPRETER, &["-c", "import ensurepip"])
}
