//! Which file a command means.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::PlanError;

/// Finds the file as execvp(3) would: a name with a slash is a path, taken from the
/// workdir; any other is looked for in the folders of `search`, which is PATH.
pub(crate) fn find(program: &str, workdir: &Path, search: &str) -> Result<PathBuf, PlanError> {
    if program.contains('/') {
        let path = workdir.join(program);
        return match executable(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(PlanError::ProgramUnusable { path, source }),
        };
    }
    search
        .split(':')
        .map(|folder| workdir.join(folder).join(program))
        .find(|candidate| executable(candidate).is_ok())
        .ok_or_else(|| PlanError::ProgramNotFound { program: program.into(), path: search.into() })
}

fn executable(path: &Path) -> io::Result<()> {
    let meta = path.metadata()?;
    let runs = meta.is_file() && meta.permissions().mode() & 0o111 != 0;
    let refused = || io::Error::new(io::ErrorKind::PermissionDenied, "not an executable file");
    runs.then_some(()).ok_or_else(refused)
}
