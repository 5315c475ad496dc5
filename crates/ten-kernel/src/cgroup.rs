//! cgroup v2: a folder of our own, one leaf in it for each tree.
//!
//! A leaf names every process of a tree, however it forked, limits what they use together,
//! and kills them in one step (kernel: admin-guide/cgroup-v2). The controllers have a file
//! each. Nothing here is shared with another writer: below our own cgroup we are the only one.

mod base;
mod controllers;
mod cpu;
mod foresight;
mod io;
mod limits;
mod memory;
mod pids;
mod usage;

pub use controllers::{Controller, Lack};
pub use foresight::{Foresight, foresee};
pub use limits::{LimitError, limit};
pub use usage::{BlockIo, Usage, usage};

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
    str::FromStr,
};

use base::{Base, is_writable};
use controllers::Delegation;

/// A cgroup file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {path}")]
pub struct CgroupError {
    /// What was being done.
    pub doing: &'static str,
    /// To which file or folder.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: std::io::Error,
}

impl CgroupError {
    fn of(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self { doing, path: path.into(), source }
    }
}

/// The folder of our leaves, below our own cgroup or, where others are in that, below the topmost.
#[derive(Debug)]
pub struct CgroupTree {
    path: PathBuf,
    shared: Option<PathBuf>,
    delegation: Delegation,
}

impl CgroupTree {
    /// Makes the folder `name`, or finds it, and enables the controllers that can be had.
    /// `None` where this host has no cgroup v2, or none that we may write to.
    ///
    /// This process may move to a cgroup `ten` beside the folder.
    pub fn open(name: &str) -> Result<Option<Self>, CgroupError> {
        let own = Path::new("/proc/self/cgroup");
        let found =
            Base::of(std::process::id()).map_err(CgroupError::of("look for the cgroup of", own))?;
        let Some(Base { path: base, shared }) = found else { return Ok(None) };
        let path = base.join(name);
        match fs::create_dir(&path) {
            Ok(()) => {}
            Err(why) if why.kind() == ErrorKind::AlreadyExists => {}
            Err(why) if denied(why.kind()) => return Ok(None),
            Err(why) => return Err(CgroupError::of("make the cgroup", &path)(why)),
        }
        // One that another user made is there, but not ours.
        if !is_writable(&path) {
            return Ok(None);
        }
        let delegation = Delegation::begin(&base, &path)
            .map_err(CgroupError::of("give on the controllers of", &base))?;
        Ok(Some(Self { path, shared, delegation }))
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Our own cgroup, where others are in it and the folder is below the topmost instead.
    pub fn shared(&self) -> Option<&Path> {
        self.shared.as_deref()
    }

    /// Every controller that leaves lack, and why.
    pub fn lacks(&self) -> impl Iterator<Item = &Lack> {
        self.delegation.lacks().iter().map(|(_, lack)| lack)
    }

    fn lack(&self, controller: Controller) -> Option<&Lack> {
        let found = self.delegation.lacks().iter().find(|(lacking, _)| *lacking == controller);
        found.map(|(_, lack)| lack)
    }

    /// A new leaf, in place of an empty one that a dead process left: that has its limits
    /// and its counts.
    pub fn leaf(&self, name: &str) -> Result<Leaf, CgroupError> {
        let path = self.path.join(name);
        if path.exists() {
            remove_below(&path).map_err(CgroupError::of("remove the old cgroup", &path))?;
        }
        fs::create_dir(&path).map_err(CgroupError::of("make the cgroup", &path))?;
        Leaf::open(path)
    }

    /// Removes the folder if it has no leaf, and goes back to where this process was.
    pub fn remove(&self) {
        // Otherwise it is left for whoever comes next, as it was found.
        if fs::remove_dir(&self.path).is_ok() {
            self.delegation.end();
        }
    }
}

/// The cgroup of one tree.
#[derive(Debug)]
pub struct Leaf {
    path: PathBuf,
    folder: File,
}

impl Leaf {
    /// One that exists.
    pub fn open(path: PathBuf) -> Result<Self, CgroupError> {
        let folder = File::open(&path).map_err(CgroupError::of("open the cgroup", &path))?;
        Ok(Self { path, folder })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number by which the kernel names it elsewhere: the inode of its folder (cgroups(7)).
    pub fn id(&self) -> Result<u64, CgroupError> {
        let meta =
            self.folder.metadata().map_err(CgroupError::of("look at the cgroup", &self.path));
        meta.map(|meta| meta.ino())
    }

    /// Kills every process in it and below it, and every one born meanwhile.
    pub fn kill(&self) -> Result<(), CgroupError> {
        let file = self.path.join("cgroup.kill");
        fs::write(&file, "1").map_err(CgroupError::of("kill through", &file))
    }

    /// Something that tells when its last process is gone.
    pub fn watch(&self) -> Result<Watch, CgroupError> {
        let path = self.path.join("cgroup.events");
        let file = File::open(&path).map_err(CgroupError::of("open", &path))?;
        Ok(Watch { path, file })
    }

    /// Whether the kernel has killed any of its processes because memory ran out.
    pub fn ran_out_of_memory(&self) -> Result<bool, CgroupError> {
        let kills = memory::oom_kills(&self.path);
        kills.map(|kills| kills > 0).map_err(CgroupError::of("read the events of", &self.path))
    }

    /// Removes it and those that its processes made in it, innermost first. All must be empty.
    pub fn remove(&self) -> Result<(), CgroupError> {
        remove_below(&self.path).map_err(CgroupError::of("remove the cgroup", &self.path))
    }
}

impl AsFd for Leaf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

/// Says whether a cgroup has processes. Its descriptor gets POLLPRI each time the answer
/// may have changed since it was last asked.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    file: File,
}

impl Watch {
    /// Whether any process, not counting zombies, is in the cgroup or below it.
    pub fn is_populated(&self) -> Result<bool, CgroupError> {
        let mut text = [0; 256];
        let len = self.file.read_at(&mut text, 0).map_err(CgroupError::of("read", &self.path))?;
        Ok(text[..len].split(|byte| *byte == b'\n').any(|line| line == b"populated 1"))
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn denied(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotFound
    )
}

/// The number after `key` in a file of keys and numbers.
fn field<T: FromStr>(text: &str, key: &str) -> Option<T> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}

/// A cgroup's files are not removed, only its folders.
fn remove_below(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_below(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}
