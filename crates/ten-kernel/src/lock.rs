//! One process at a time, for as long as it lives and not a moment longer (flock(2)).

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock, ftruncate};

/// Held until dropped, or until this process dies however it dies. The file stays: to
/// remove it would let two processes lock two files of one name.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// Why the lock was not given.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("{path} is locked by process {}", pid.map_or("unknown".into(), |pid| pid.to_string()))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who wrote itself into it.
        pid: Option<u32>,
    },
    /// The file cannot be used.
    #[error("cannot lock {path}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl DirLock {
    /// Takes the lock at once or not at all, and writes this process's pid into the file.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.into(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(failed)?;
                return Err(LockError::Held { path: path.into(), pid: text.trim().parse().ok() });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        ftruncate(&file, 0).map_err(|errno| failed(errno.into()))?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_learns_who_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ten.lock");
        let first = DirLock::take(&path).unwrap();
        match DirLock::take(&path).unwrap_err() {
            LockError::Held { pid, .. } => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other}"),
        }
        drop(first);
        DirLock::take(&path).unwrap();
    }
}
