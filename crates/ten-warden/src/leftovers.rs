//! Clearing away what a warden that was killed left behind.
//!
//! Its front and its keeper die with it, but may take a moment to let go of sockets and folders.
//! Its trees live on. Until they can be adopted they are ended here, before anything else is
//! started: two processes on one data folder must never happen.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::Signal,
};
use ten_kernel::{CgroupError, Child, KILL_ORDER, Leaf};

use crate::record::{Record, RunDir, Servant};

/// How long killed processes may take to be gone. One that takes longer hangs in the kernel
/// (a dead network file system), and to start its successor would be wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// A leftover that cannot be cleared.
#[derive(Debug, thiserror::Error)]
pub enum LeftoverError {
    /// A record that nobody can read.
    #[error("cannot read the record {path}")]
    Record {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The tree's files cannot be removed.
    #[error("cannot remove what {name} left in {path}")]
    Files {
        /// The tree.
        name: String,
        /// The run folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its cgroup cannot be used.
    #[error("cannot clear the cgroup of {name}")]
    Cgroup {
        /// The tree.
        name: String,
        /// Why.
        #[source]
        source: CgroupError,
    },
    /// It does not die.
    #[error("{name} (process {pid}) is still running {} s after it was killed", PATIENCE.as_secs())]
    Alive {
        /// The tree, or the front.
        name: String,
        /// Its first process.
        pid: u32,
    },
    /// It cannot be killed.
    #[error("cannot kill {name} (process {pid})")]
    Kill {
        /// The tree, or the front.
        name: String,
        /// Its first process.
        pid: u32,
        /// Why.
        #[source]
        source: Errno,
    },
}

/// Ends the front and every tree on record, and removes their traces.
pub(crate) fn clear(run_dir: &Path, folders: &RunDir, boot_id: &str) -> Result<(), LeftoverError> {
    let unreadable = |path: &Path| {
        let path = path.to_path_buf();
        move |source| LeftoverError::Record { path, source }
    };
    for servant in Servant::ALL {
        let named = folders.servant(servant).map_err(unreadable(run_dir))?;
        if let Some(process) = named.and_then(|named| named.find(boot_id)) {
            end_process("a process of ten's own", &process, Child::kill)?;
        }
    }
    for (path, record) in folders.records().map_err(unreadable(run_dir))? {
        let record = record.map_err(unreadable(&path))?;
        end_tree(&record, boot_id)?;
        let removed =
            folders.remove(&record.name, record.scratch.as_deref(), record.socket.as_deref());
        removed.map_err(|source| LeftoverError::Files {
            name: record.name.clone(),
            path: run_dir.into(),
            source,
        })?;
        tracing::info!(tree = record.name, "cleared what an earlier run left");
    }
    folders.remove_stray_pipes().map_err(unreadable(run_dir))?;
    folders.discard_other_boots(run_dir).map_err(unreadable(run_dir))
}

fn end_tree(record: &Record, boot_id: &str) -> Result<(), LeftoverError> {
    if let Some(path) = &record.cgroup
        && record.init.boot_id == boot_id
        && path.exists()
    {
        end_cgroup(record, path)?;
    }
    // Without a cgroup, and for whoever moved out of it.
    let Some(init) = record.init.find(boot_id) else { return Ok(()) };
    end_process(&record.name, &init, |init| match record.bare {
        true => init.signal(Signal::CONT.as_raw()).and_then(|()| init.signal(KILL_ORDER)),
        false => init.kill(),
    })
}

fn end_cgroup(record: &Record, path: &Path) -> Result<(), LeftoverError> {
    let failed = |source| LeftoverError::Cgroup { name: record.name.clone(), source };
    let leaf = Leaf::open(path.into()).map_err(failed)?;
    let watch = leaf.watch().map_err(failed)?;
    leaf.kill().map_err(failed)?;
    let deadline = Instant::now() + PATIENCE;
    while watch.is_populated().map_err(failed)? {
        if !is_ready_by(deadline, watch.as_fd(), PollFlags::PRI) {
            return Err(LeftoverError::Alive { name: record.name.clone(), pid: record.init.pid });
        }
    }
    leaf.remove().map_err(failed)
}

fn end_process(
    name: &str,
    process: &Child,
    kill: impl FnOnce(&Child) -> Result<(), Errno>,
) -> Result<(), LeftoverError> {
    let (name, pid) = (name.to_owned(), process.pid());
    if let Err(source) = kill(process) {
        return Err(LeftoverError::Kill { name, pid, source });
    }
    match is_ready_by(Instant::now() + PATIENCE, process.as_fd(), PollFlags::IN) {
        true => Ok(()),
        false => Err(LeftoverError::Alive { name, pid }),
    }
}

/// Waits until `fd` is ready, or until the deadline.
fn is_ready_by(deadline: Instant, fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&timeout)) {
            Err(Errno::INTR) => {}
            ready => return ready.is_ok_and(|count| count > 0),
        }
    }
}
