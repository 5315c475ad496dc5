//! Debian's Python, with as little of its library as the probe loads: bytecode in the place of
//! sources, because compiling takes an interpreted processor long.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use ten_testkit::probe::{PROBE, PYTHON};

use crate::kernel::run;

/// Says where each module is that is loaded now, and its bytecode.
const LIST: &str = "
for module in list(sys.modules.values()):
    if file := getattr(module, '__file__', None):
        print(file, getattr(module, '__cached__', None))";

/// A file, and where it is to be in the machine.
pub(crate) struct Part {
    pub(crate) from: PathBuf,
    pub(crate) at: PathBuf,
}

/// Its interpreter first.
pub(crate) fn parts() -> io::Result<Vec<Part>> {
    let imports = PROBE.lines().filter(|line| line.starts_with("import "));
    let program = imports.collect::<Vec<_>>().join("\n") + LIST;
    let said = run(Command::new(PYTHON).args(["-I", "-c", &program])).map_err(io::Error::other)?;
    let part = |line: &str| {
        let (file, bytecode) = line.split_once(' ')?;
        let file = Path::new(file);
        Some(match Path::new(bytecode) {
            bytecode if bytecode.is_file() => {
                Part { from: bytecode.into(), at: file.with_extension("pyc") }
            }
            _ => Part { from: file.into(), at: file.into() },
        })
    };
    let interpreter = Part { from: PYTHON.into(), at: PYTHON.into() };
    Ok([interpreter].into_iter().chain(said.lines().filter_map(part)).collect())
}
