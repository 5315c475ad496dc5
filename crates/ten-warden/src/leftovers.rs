//! Clearing away what a warden that was killed left behind.
//!
//! Its trees live on without it. Until they can be adopted they are ended here, before
//! anything else is started: two processes on one data folder must never happen.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use ten_kernel::{CgroupError, Child, KILL_ORDER, Leaf, procfs};

use crate::record::{Record, RunDir};

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
    #[error("{name} (init {pid}) is still running {} s after it was killed", PATIENCE.as_secs())]
    Alive {
        /// The tree.
        name: String,
        /// Its init.
        pid: u32,
    },
    /// It cannot be killed.
    #[error("cannot kill {name} (init {pid})")]
    Kill {
        /// The tree.
        name: String,
        /// Its init.
        pid: u32,
        /// Why.
        #[source]
        source: Errno,
    },
}

/// Ends every tree on record and removes its traces.
pub(crate) fn clear(run_dir: &Path, folders: &RunDir, boot_id: &str) -> Result<(), LeftoverError> {
    let unreadable = |path: &Path| {
        let path = path.to_path_buf();
        move |source| LeftoverError::Record { path, source }
    };
    for (path, record) in folders.records().map_err(unreadable(run_dir))? {
        let record = record.map_err(unreadable(&path))?;
        if record.boot_id == boot_id {
            end(&record)?;
        }
        let removed =
            folders.remove(&record.name, record.scratch.as_deref(), record.socket.as_deref());
        removed.map_err(|source| LeftoverError::Files {
            name: record.name.clone(),
            path: run_dir.into(),
            source,
        })?;
        tracing::info!(tree = record.name, "cleared what an earlier run left");
    }
    folders.remove_stray_pipes().map_err(unreadable(run_dir))
}

fn end(record: &Record) -> Result<(), LeftoverError> {
    if let Some(path) = &record.cgroup
        && path.exists()
    {
        end_cgroup(record, path)?;
    }
    // Without a cgroup, and for whoever moved out of it.
    end_init(record)
}

fn end_cgroup(record: &Record, path: &Path) -> Result<(), LeftoverError> {
    let failed = |source| LeftoverError::Cgroup { name: record.name.clone(), source };
    let leaf = Leaf::open(path.into()).map_err(failed)?;
    let watch = leaf.watch().map_err(failed)?;
    leaf.kill().map_err(failed)?;
    let deadline = Instant::now() + PATIENCE;
    while watch.is_populated().map_err(failed)? {
        wait(record, watch.as_fd(), PollFlags::PRI, deadline)?;
    }
    leaf.remove().map_err(failed)
}

fn end_init(record: &Record) -> Result<(), LeftoverError> {
    // The pidfd first, the start time second: what the pidfd names is then what was looked at.
    let Ok(init) = Child::open(record.init) else { return Ok(()) };
    if procfs::start_time(record.init) != Some(record.start_time) {
        return Ok(());
    }
    let killed = if record.bare {
        init.signal(rustix::process::Signal::CONT.as_raw()).and_then(|()| init.signal(KILL_ORDER))
    } else {
        init.kill()
    };
    killed.map_err(|source| LeftoverError::Kill {
        name: record.name.clone(),
        pid: record.init,
        source,
    })?;
    wait(record, init.as_fd(), PollFlags::IN, Instant::now() + PATIENCE)
}

/// Until `fd` is ready; an error at the deadline.
fn wait(
    record: &Record,
    fd: BorrowedFd<'_>,
    flags: PollFlags,
    deadline: Instant,
) -> Result<(), LeftoverError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&timeout)) {
            Err(Errno::INTR) => {}
            Ok(1..) => return Ok(()),
            _ => {
                return Err(LeftoverError::Alive { name: record.name.clone(), pid: record.init });
            }
        }
    }
}
