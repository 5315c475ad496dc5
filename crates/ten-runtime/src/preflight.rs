//! Whether an instance will be able to execute its command: asked before the start, because
//! the kernel's own answer names neither the file that is missing nor the wall before it.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use ten_kernel::open_regular;

use crate::{PlanError, person::Person, program, walls::View};

/// As many interpreters of interpreters as the kernel follows (execve(2)).
const INTERPRETERS: usize = 4;
/// As many links as the kernel follows (path_resolution(7)).
const LINKS: usize = 40;
/// As much of a `#!` line as the kernel reads (execve(2)).
const SHEBANG: u64 = 256;

const EXECUTE: u32 = 1;
const READ: u32 = 4;

/// Looks at the program, the links that lead to it, what its `#!` line names, and the workdir.
pub(crate) fn check(
    view: &View,
    person: &Person,
    program: &Path,
    workdir: &Path,
    env: &BTreeMap<String, String>,
) -> Result<(), PlanError> {
    let check = Check { view, person };
    check.open(workdir, workdir, EXECUTE)?;
    let mut file = program.to_path_buf();
    for _ in 0..INTERPRETERS {
        let real = check.visible(&file)?;
        let Some(line) = shebang(&real) else { return check.open(&file, &real, EXECUTE) };
        check.open(&file, &real, EXECUTE | READ)?;
        let mut words = line.split_ascii_whitespace();
        let Some(interpreter) = words.next() else { return Ok(()) };
        file = workdir.join(interpreter);
        if file.file_name().is_some_and(|name| name == "env") {
            let is_command = |word: &&str| !word.starts_with('-') && !word.contains('=');
            let Some(command) = words.find(is_command) else { return Ok(()) };
            check.visible(&file)?;
            file = program::find(command, workdir, env)?;
        }
    }
    Ok(())
}

/// Sees to it that a file of the server's own cannot be read.
pub(crate) fn keeps(view: &View, person: &Person, secret: &Path) -> Result<(), PlanError> {
    // What is not there cannot be read, and what is put there later is looked at when a start is.
    let Ok(real) = fs::canonicalize(secret) else { return Ok(()) };
    let seen = |step: &Path| view.hidden(step).is_none();
    match seen(&real) && person.stopped_at(&real, READ, seen).is_none() {
        true => Err(PlanError::ShowsKey { path: secret.into() }),
        false => Ok(()),
    }
}

struct Check<'a> {
    view: &'a View,
    person: &'a Person,
}

impl Check<'_> {
    /// Follows the links from a file, each of which must be visible; the file in the end.
    fn visible(&self, file: &Path) -> Result<PathBuf, PlanError> {
        let mut at = file.to_path_buf();
        for _ in 0..LINKS {
            if let Some(bind) = self.view.to_show(&at) {
                return Err(PlanError::Hidden { path: file.into(), hidden: at, bind });
            }
            let Ok(target) = fs::read_link(&at) else { break };
            at = at.parent().unwrap_or(Path::new("/")).join(target);
        }
        at = fs::canonicalize(&at).unwrap_or(at);
        Ok(at)
    }

    fn open(&self, named: &Path, real: &Path, bits: u32) -> Result<(), PlanError> {
        let stopped = self.person.stopped_at(real, bits, |step| self.view.hidden(step).is_none());
        match stopped {
            None => Ok(()),
            Some(closed) => Err(PlanError::Closed { path: named.into(), closed: closed.into() }),
        }
    }
}

/// What follows `#!` in the first line of a script. The file may be the tenant's own, and so may be
/// whatever it names.
fn shebang(file: &Path) -> Option<String> {
    let mut head = Vec::new();
    open_regular(file).ok()?.take(SHEBANG).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).into_owned())
}
