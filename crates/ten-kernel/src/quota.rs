//! What bounds the space that a tree's folders take together, by whatever their filesystem has
//! for it.
//!
//! ```text
//! hold ─► there is an image ───────────────────────────► image: mounted, its folders shown
//!     └─► none ─► ext4 or XFS that counts by project ──► project: folders marked, limit set
//!             └─► any other ─► image: made, filled ────► the same as above
//! ```
//!
//! What is on the disk decides: data that an image holds stay in it, whatever the filesystem
//! has learnt since. It is done by the tree's init, before it gives up root, so that nobody
//! waits for it; what it opens for that ends with the tree, and so do mount and loop device.
//!
//! There is no way from here to a tree without its limit: what cannot be applied is a failure.

mod image;
mod loops;
mod project;

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FsWord, Mode, OFlags, fstatvfs, open, openat, statfs},
    io::Errno,
    process::geteuid,
};

use crate::{
    failure::{Failure, Step},
    plan::{LaunchPlan, Storage},
    report::Reporter,
};

pub use image::{SCRATCH, Seen, discard_bare, has_image, look_into, mkfs};

/// Bytes of a limit that allow one more file. Files are counted too, as an empty one takes
/// room that no limit of bytes sees; it is what mke2fs(8) would make for a disk of that size.
const BYTES_PER_FILE: u64 = 16 * 1024;
/// Files that the smallest limit allows.
const FILES_MIN: u64 = 1024;

const EXT4: FsWord = 0xef53;
const XFS: FsWord = 0x5846_5342;

/// How a filesystem can bound a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Its own project quotas.
    Project,
    /// It has none that are in force: an image is made in it for each tree.
    Image,
}

/// The mechanism for folders below an existing one.
pub fn mechanism(folder: &Path) -> Result<Mechanism, Errno> {
    let kind = statfs(folder)?.f_type;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let counts =
        [EXT4, XFS].contains(&kind) && project::is_enforced(&open(folder, flags, Mode::empty())?);
    Ok(if counts { Mechanism::Project } else { Mechanism::Image })
}

/// What a tree keeps of its storage.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Where its use can be asked for, if it is limited.
    pub(crate) meter: Option<OwnedFd>,
    /// Folders of the plan, and what holds their data in their place.
    pub(crate) shown: Vec<(PathBuf, OwnedFd)>,
}

/// The data folder of a plan, as it is mounted for whoever opens it: the launcher, before the fork.
pub(crate) fn outside(plan: &LaunchPlan) -> Result<Option<OwnedFd>, Failure> {
    let Some(storage) = &plan.storage else { return Ok(None) };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = open(&storage.data_dir, flags, Mode::empty());
    opened.map(Some).map_err(Failure::on(Step::Storage, &storage.data_dir))
}

/// Applies what the plan says of storage. The mounts of this process are its own. `reporter` is
/// told before data are moved.
pub(crate) fn hold(
    plan: &LaunchPlan,
    outside: Option<&OwnedFd>,
    reporter: &Reporter,
) -> Result<Held, Failure> {
    let (Some(storage), Some(outside)) = (&plan.storage, outside) else {
        return Ok(Held::default());
    };
    let failed = |errno| Failure::on(Step::Storage, &storage.home)(errno);
    if storage.limit.is_some() && !geteuid().is_root() {
        return Err(failed(Errno::PERM));
    }
    if image::is_there(storage).map_err(failed)? {
        return image::hold(plan, storage, outside, reporter);
    }
    image::take_back(storage, reporter)?;
    let Some(limit) = storage.limit else {
        project::lift(storage)?;
        return Ok(Held::default());
    };
    match mechanism(&storage.data_dir).map_err(failed)? {
        Mechanism::Project => project::hold(plan, storage, limit),
        Mechanism::Image => image::hold(plan, storage, outside, reporter),
    }
}

/// What is used of a limit, in bytes. Never blocks, and needs no right.
///
/// `meter` is what a tree's launcher was handed: to the kernel a filesystem as large as the
/// limit, or an image.
pub fn storage_used(meter: &OwnedFd) -> Result<u64, Errno> {
    let stat = fstatvfs(meter)?;
    Ok(stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize))
}

/// The most files that a limit of bytes allows.
fn files(limit: u64) -> u64 {
    (limit / BYTES_PER_FILE).max(FILES_MIN)
}

/// The path of a folder below the data folder.
fn below<'a>(storage: &Storage, folder: &'a Path) -> Result<&'a Path, Failure> {
    folder
        .strip_prefix(&storage.data_dir)
        .map_err(|_| Failure::on(Step::Storage, folder)(Errno::XDEV))
}

/// Opens a folder, and no link to one.
fn open_folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open(path, flags, Mode::empty())
}

/// Opens a folder for itself alone, for statvfs(3).
fn meter(folder: &OwnedFd) -> Result<OwnedFd, Errno> {
    openat(folder, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests;
