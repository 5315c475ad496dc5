//! Whether an instance will be able to execute its command: asked before it may run, because
//! the kernel's own answer names neither the file that is missing nor the wall before it. Apart from
//! the plan, because it takes longer, and its walls can be built meanwhile.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use ten_kernel::{LaunchPlan, open_regular};

use crate::{PlanError, person::Person, program, walls::View};

/// As many interpreters of interpreters as the kernel follows (execve(2)).
const INTERPRETERS: usize = 4;
/// As many links as the kernel follows (path_resolution(7)).
const LINKS: usize = 40;
/// As much of a `#!` line as the kernel reads (execve(2)).
const SHEBANG: usize = 256;

const EXECUTE: u32 = 1;
const READ: u32 = 4;

/// What an instance must be able to do, and must not, behind its walls.
#[derive(Debug)]
pub struct Preflight {
    /// `None`: it sees everything.
    pub(crate) view: Option<View>,
    pub(crate) person: Person,
    pub(crate) program: PathBuf,
    pub(crate) workdir: PathBuf,
    /// PATH.
    pub(crate) search: String,
    /// The server's own.
    pub(crate) key: Option<PathBuf>,
}

impl Preflight {
    /// Looks at the program, the links that lead to it, what its `#!` line names, the workdir, and
    /// the server's key.
    ///
    /// # Errors
    ///
    /// What would keep it from running, or what it would see of the server's own.
    pub fn check(&self) -> Result<(), PlanError> {
        let Some(view) = &self.view else { return Ok(()) };
        let check = Check { view, person: &self.person };
        check.open(&self.workdir, &self.workdir, EXECUTE)?;
        self.executable(&check)?;
        self.key.as_deref().map_or(Ok(()), |key| keeps(view, &self.person, key))
    }

    /// A plan that has been asked all of it.
    pub(crate) fn passed((plan, preflight): (LaunchPlan, Self)) -> Result<LaunchPlan, PlanError> {
        preflight.check().map(|()| plan)
    }

    fn executable(&self, check: &Check<'_>) -> Result<(), PlanError> {
        let mut file = self.program.clone();
        for _ in 0..INTERPRETERS {
            let real = check.visible(&file)?;
            let Some(line) = shebang(&real) else { return check.open(&file, &real, EXECUTE) };
            check.open(&file, &real, EXECUTE | READ)?;
            let mut words = line.split_ascii_whitespace();
            let Some(interpreter) = words.next() else { return Ok(()) };
            file = self.workdir.join(interpreter);
            if file.file_name().is_some_and(|name| name == "env") {
                let is_command = |word: &&str| !word.starts_with('-') && !word.contains('=');
                let Some(command) = words.find(is_command) else { return Ok(()) };
                check.visible(&file)?;
                file = program::find(command, &self.workdir, &self.search)?;
            }
        }
        Ok(())
    }
}

/// Sees to it that a file of the server's own cannot be read.
fn keeps(view: &View, person: &Person, secret: &Path) -> Result<(), PlanError> {
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
    let mut head = [0; SHEBANG];
    let read = open_regular(file).ok()?.read(&mut head).ok()?;
    let line = head[..read].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).into_owned())
}
