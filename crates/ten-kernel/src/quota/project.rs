//! Project quotas of ext4 and XFS (quotactl_fd(2), ioctl_xfs_fsgetxattr(2)): every file of a
//! tree's folders has a number, and the kernel counts what has that number.
//!
//! The folders are the memory of the number, as their owner is that of the uid. A number is
//! new where nothing is counted by it and nothing bounded; two servers on one filesystem begin
//! to look at different places. Whoever owns a file may change its number, so the ioctls that
//! do are refused inside (`walls/syscalls.rs`).

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{Dir, FileType, Mode, OFlags, fstat, openat},
    io::Errno,
};

use super::{Held, below, files, meter, open_folder};
use crate::{
    beneath,
    child::last_errno,
    failure::{Failure, Step},
    plan::{LaunchPlan, Storage},
};

/// Numbers that are ours to give. The kernel takes all; people's own tables of projects begin
/// at 1 (projid(5)).
const OWN: Range<u32> = 0x7000_0000..0x7fff_ffff;

/// Files and folders in a folder take its number (FS_XFLAG_PROJINHERIT).
const INHERIT: u32 = 0x200;
const GET_ATTRIBUTES: u32 = 0x801c_581f;
const SET_ATTRIBUTES: u32 = 0x401c_5820;

/// Commands of quotactl(2) for projects (linux/dqblk_xfs.h; ext4 knows them too).
const GET_QUOTA: u32 = command(3);
const SET_LIMIT: u32 = command(4);
const GET_STATE: u32 = command(8);
/// Of the state's flags: projects are bounded.
const ENFORCED: u16 = 1 << 5;
/// Of a quota: the fields that are set; and that it is one of a project.
const HARD_LIMITS: u16 = 1 << 1 | 1 << 3;
const PROJECT: i8 = 2;
/// The unit of blocks in a quota, in bytes.
const BLOCK: u64 = 512;

const fn command(number: u32) -> u32 {
    const PROJECTS: u32 = 2;
    (((b'X' as u32) << 8) + number) << 8 | PROJECTS
}

/// `struct fsxattr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

/// `struct fs_disk_quota`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Quota {
    version: i8,
    flags: i8,
    fields: u16,
    id: u32,
    blocks_hard: u64,
    blocks_soft: u64,
    files_hard: u64,
    files_soft: u64,
    blocks: u64,
    files: u64,
    timers: [i32; 2],
    warnings: [u16; 2],
    padding: i32,
    realtime: [u64; 3],
    realtime_timer: i32,
    realtime_warnings: u16,
    more_padding: [u16; 5],
}

/// `struct fs_quota_statv`, of which only the beginning matters here.
#[repr(C)]
struct State {
    version: i8,
    padding: u8,
    flags: u16,
    rest: [u64; 24],
}

/// Whether a filesystem counts and bounds projects.
pub(super) fn is_enforced(folder: &OwnedFd) -> bool {
    let mut state = State { version: 1, padding: 0, flags: 0, rest: [0; 24] };
    quotactl(folder, GET_STATE, 0, &raw mut state).is_ok() && state.flags & ENFORCED != 0
}

/// Bounds all folders together; the scratch folder too, or it would be a place without a limit.
pub(super) fn hold(plan: &LaunchPlan, storage: &Storage, limit: u64) -> Result<Held, Failure> {
    let data = open_folder(&storage.data_dir).map_err(failed(&storage.data_dir))?;
    let mut folders = Vec::new();
    for path in storage.folders.iter().chain(&plan.scratch) {
        let opened = beneath::folder(&data, below(storage, path)?).map_err(failed(path))?;
        // Where another filesystem is mounted, nothing would be counted.
        let (own, around) = (fstat(&opened), fstat(&data));
        if own.map_err(failed(path))?.st_dev != around.map_err(failed(path))?.st_dev {
            return Err(failed(path)(Errno::XDEV));
        }
        folders.push((path, opened));
    }
    let Some((first, top)) = folders.first() else { return Ok(Held::default()) };
    let own = project_of(top).map_err(failed(first))?;
    let number = match own {
        Some(number) => number,
        None => unused(&data, first).map_err(failed(first))?,
    };
    let quota =
        Quota { blocks_hard: limit.div_ceil(BLOCK), files_hard: files(limit), ..blank(number) };
    set_limit(&data, quota).map_err(failed(first))?;
    for (path, folder) in &folders {
        mark(folder, number).map_err(failed(path))?;
    }
    let meter = meter(top).map_err(failed(first))?;
    Ok(Held { meter: Some(meter), shown: Vec::new() })
}

/// Takes a limit away that was set here before.
pub(super) fn lift(storage: &Storage) -> Result<(), Failure> {
    let Some(first) = storage.folders.first() else { return Ok(()) };
    let folder = open_folder(first).map_err(failed(first))?;
    match project_of(&folder).map_err(failed(first))? {
        Some(number) if is_enforced(&folder) => {
            set_limit(&folder, blank(number)).map_err(failed(first))
        }
        _ => Ok(()),
    }
}

fn failed(path: &Path) -> impl FnOnce(Errno) -> Failure {
    Failure::on(Step::StorageProject, path)
}

/// The number that a folder has from us, if it has one.
fn project_of(folder: &OwnedFd) -> Result<Option<u32>, Errno> {
    match attributes(folder) {
        Ok(found) => Ok(OWN.contains(&found.project).then_some(found.project)),
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A number by which nothing is counted.
fn unused(data: &OwnedFd, folder: &Path) -> Result<u32, Errno> {
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    let range = OWN.end - OWN.start;
    let mut number = OWN.start + (hasher.finish() % u64::from(range)) as u32;
    for _ in 0..range {
        let mut quota = Quota::default();
        match quotactl(data, GET_QUOTA, number, &raw mut quota) {
            // XFS says so of one that it has never seen.
            Err(Errno::NOENT) => return Ok(number),
            Err(errno) => return Err(errno),
            Ok(()) if quota.blocks | quota.files | quota.blocks_hard | quota.files_hard == 0 => {
                return Ok(number);
            }
            Ok(()) => number = if number + 1 == OWN.end { OWN.start } else { number + 1 },
        }
    }
    Err(Errno::USERS)
}

fn blank(number: u32) -> Quota {
    Quota { version: 1, flags: PROJECT, fields: HARD_LIMITS, id: number, ..Quota::default() }
}

fn set_limit(folder: &OwnedFd, mut quota: Quota) -> Result<(), Errno> {
    quotactl(folder, SET_LIMIT, quota.id, &raw mut quota)
}

/// Gives a folder and all that is in it a number, itself last: where that is interrupted, the
/// next start does it again. A file of a kind that cannot be opened without effect has no
/// content to be counted.
fn mark(folder: &OwnedFd, number: u32) -> Result<(), Errno> {
    let found = attributes(folder)?;
    if found.project == number && found.flags & INHERIT != 0 {
        return Ok(());
    }
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match entry.file_type() {
            FileType::Directory if ![c".", c".."].contains(&name) => {
                mark(&openat(folder, name, flags | OFlags::DIRECTORY, Mode::empty())?, number)?;
            }
            FileType::RegularFile => {
                let file = openat(folder, name, flags, Mode::empty())?;
                let found = attributes(&file)?;
                set(&file, Attributes { project: number, ..found })?;
            }
            _ => {}
        }
    }
    set(folder, Attributes { project: number, flags: found.flags | INHERIT, ..found })
}

fn attributes(file: &OwnedFd) -> Result<Attributes, Errno> {
    let mut found = Attributes::default();
    // SAFETY: `found` has room for what the call writes, and outlives it.
    match unsafe { libc::ioctl(file.as_raw_fd(), GET_ATTRIBUTES as _, &raw mut found) } {
        0 => Ok(found),
        _ => Err(last_errno()),
    }
}

fn set(file: &OwnedFd, attributes: Attributes) -> Result<(), Errno> {
    // SAFETY: `attributes` is what the call reads, and outlives it.
    match unsafe { libc::ioctl(file.as_raw_fd(), SET_ATTRIBUTES as _, &raw const attributes) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// quotactl_fd(2), which neither rustix nor libc knows on every target.
fn quotactl<T>(at: impl AsFd, command: u32, id: u32, data: *mut T) -> Result<(), Errno> {
    const QUOTACTL_FD: libc::c_long = 443;
    let fd = at.as_fd().as_raw_fd();
    // SAFETY: each command above reads or writes one `T` of ours, to which `data` points.
    match unsafe { libc::syscall(QUOTACTL_FD, fd, command, id, data) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel reads and writes by these sizes (linux/fs.h, linux/dqblk_xfs.h).
    #[test]
    fn what_the_kernel_is_given_has_its_shape() {
        assert_eq!(size_of::<Attributes>(), 28);
        assert_eq!(size_of::<Quota>(), 112);
        assert!(size_of::<State>() >= 144);
        assert_eq!((GET_QUOTA, SET_LIMIT, GET_STATE), (0x58_0302, 0x58_0402, 0x58_0802));
    }
}
