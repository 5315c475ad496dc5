//! /proc and /sys: what the kernel says of itself, without what only its administrator needs.

use std::{os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{CWD, FileType, fstatfs, lstat},
    io::Errno,
    mount::{
        FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_set_string, fsopen,
        move_mount, open_tree,
    },
};

use super::{again, attach, mount, move_to, open_path, set_attributes, tmpfs};
use crate::{
    failure::{Failure, Step},
    plan::Network,
};

/// Parts of /proc that act on the whole host, and that root may write to by mere ownership,
/// without any capability (runc keeps the same list).
const HOST_WIDE: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Parts that tell of the machine, of keys, or of all processes together (runc's list too).
const SECRETIVE_PROC: [&str; 8] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
];
const SECRETIVE_SYS: [&str; 6] = [
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/bpf",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
];

const CGROUPS: &str = "/sys/fs/cgroup";
/// A cgroup v2 hierarchy (linux/magic.h).
const CGROUP2: i64 = 0x6367_7270;

/// Nothing in these runs, has rights, or is a device.
fn inert() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
}

/// A /proc in which a process without capabilities sees itself, and nothing of the machine
/// (proc(5): hidepid, subset).
pub(super) fn own_proc() -> Result<(), Failure> {
    let at = Path::new("/proc");
    let failed = || Failure::on(Step::MountProc, at);
    let fs = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed())?;
    fsconfig_set_string(&fs, "hidepid", "invisible").map_err(failed())?;
    fsconfig_set_string(&fs, "subset", "pid").map_err(failed())?;
    attach(&mount(&fs, inert()).map_err(failed())?, at, true, Step::MountProc)
}

/// What covers what is not to be seen: one empty folder, and one empty file, over all of it. A
/// filesystem for each would cost as much time as all else that is mounted, and memory for as long
/// as the tree lives.
#[derive(Debug, Default)]
pub(super) struct Covers {
    folder: Option<OwnedFd>,
    file: Option<OwnedFd>,
}

impl Covers {
    fn folder(&mut self) -> Result<OwnedFd, Errno> {
        let empty = || tmpfs(0o555, "0", "1", inert() | MountAttrFlags::MOUNT_ATTR_RDONLY);
        Self::one_more(&mut self.folder, empty)
    }

    fn file(&mut self) -> Result<OwnedFd, Errno> {
        Self::one_more(&mut self.file, || copy(Path::new("/dev/null")))
    }

    /// The first is kept to be copied, as it can be once it was mounted.
    fn one_more(
        kept: &mut Option<OwnedFd>,
        new: impl FnOnce() -> Result<OwnedFd, Errno>,
    ) -> Result<OwnedFd, Errno> {
        if let Some(first) = kept {
            return again(first);
        }
        let first = new()?;
        *kept = Some(rustix::io::fcntl_dupfd_cloexec(&first, 0)?);
        Ok(first)
    }

    /// Covers what is at a path.
    fn over(&mut self, part: &Path) -> Result<(), Errno> {
        let kind = FileType::from_raw_mode(lstat(part)?.st_mode);
        let cover = if kind.is_dir() { self.folder()? } else { self.file()? };
        move_over(&cover, part)
    }

    fn over_all(&mut self, parts: &[&str], step: Step) -> Result<(), Failure> {
        let mut parts = parts.iter().map(Path::new);
        parts.try_for_each(|part| unless_missing(self.over(part), step, part))
    }
}

/// Where the host's own /proc is partly hidden from us, the kernel refuses a new one in a
/// user namespace (mount_too_revealing), and so do we.
pub(super) fn proc(covers: &mut Covers) -> Result<OwnedFd, Failure> {
    let at = Path::new("/proc");
    let failed = || Failure::on(Step::MountProc, at);
    let fs = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed())?;
    let proc = mount(&fs, inert()).map_err(failed())?;
    attach(&proc, at, true, Step::MountProc)?;
    for part in HOST_WIDE.map(Path::new) {
        unless_missing(read_only_over_itself(part), Step::MountProc, part)?;
    }
    covers.over_all(&SECRETIVE_PROC, Step::MountProc)?;
    Ok(proc)
}

/// The host's own, which is read-only by now, with holes. It names the network devices of the
/// network that it was mounted in, so a tree with its own network gets a new one.
pub(super) fn sys(network: Network, covers: &mut Covers) -> Result<(), Failure> {
    let (at, cgroups) = (Path::new("/sys"), Path::new(CGROUPS));
    // Asked while the host's is still seen.
    let unified = open_path(cgroups).and_then(fstatfs).is_ok_and(|fs| fs.f_type == CGROUP2);
    if network != Network::Host {
        let mounted = (|| {
            let fs = fsopen("sysfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            mount(&fs, inert() | MountAttrFlags::MOUNT_ATTR_RDONLY)
        })();
        attach(&mounted.map_err(Failure::on(Step::MountSys, at))?, at, true, Step::MountSys)?;
    }
    covers.over_all(&SECRETIVE_SYS, Step::MountSys)?;
    unless_missing(own_cgroups(cgroups, unified, covers), Step::MountSys, cgroups)
}

/// Its root is that of our cgroup namespace, so no other tree's name is seen. Programs look
/// here for how much memory and CPU they may use.
fn own_cgroups(at: &Path, unified: bool, covers: &mut Covers) -> Result<(), Errno> {
    if !unified {
        return covers.over(at);
    }
    let place = open_path(at)?;
    let fs = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    move_to(&mount(&fs, inert() | MountAttrFlags::MOUNT_ATTR_RDONLY)?, &place)
}

fn read_only_over_itself(path: &Path) -> Result<(), Errno> {
    let tree = copy(path)?;
    set_attributes(&tree, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    move_over(&tree, path)
}

/// What is at a path of the kernel's own, once more, without what is mounted below it.
pub(super) fn copy(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    open_tree(CWD, path, flags)
}

/// Attaches a tree at a path of the kernel's own, where nobody puts links: such a path may be named
/// as often as it is needed, and each name is two calls less than a descriptor.
fn move_over(tree: &OwnedFd, path: &Path) -> Result<(), Errno> {
    move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Kernels differ in what they are built with.
fn unless_missing(result: Result<(), Errno>, step: Step, path: &Path) -> Result<(), Failure> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other.map_err(Failure::on(step, path)),
    }
}
