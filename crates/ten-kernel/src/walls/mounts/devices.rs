//! A /dev with what programs may expect of any machine, and nothing of this one.

use std::{os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{FileType, Mode, OFlags, mkdirat, mknodat, openat, symlinkat},
    io::Errno,
    mount::{FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_set_string, fsopen, move_mount},
};

use super::{
    attach,
    blanks::{Blanks, Kind},
    kernel::copy,
    mount, move_to, set_attributes, tmpfs,
};
use crate::failure::{Failure, Step};

/// The host's own nodes: nobody may make new ones in a user namespace, and these are the same.
const NODES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("ptmx", "pts/ptmx"),
    ("stderr", "/proc/self/fd/2"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
];
const TERMINALS: &str = "pts";
const SHARED: &str = "shm";
/// Room for mount points alone, in the syntax of tmpfs(5); files of their own belong elsewhere.
const SIZE: &str = "64k";
const FILES: &str = "256";

/// What /dev/shm is.
pub(super) const MEMORY: Kind = Kind::Place(0o1777);

/// All of it but what is mounted in it, attached nowhere.
pub(super) fn furnish() -> Result<OwnedFd, Errno> {
    let dev = tmpfs(0o755, SIZE, FILES, nosuid_noexec())?;
    NODES
        .iter()
        .try_for_each(|name| mknodat(&dev, *name, FileType::RegularFile, Mode::empty(), 0))?;
    LINKS.iter().try_for_each(|(name, target)| symlinkat(*target, &dev, *name))?;
    [TERMINALS, SHARED]
        .iter()
        .try_for_each(|name| mkdirat(&dev, *name, Mode::from_raw_mode(0o755)))?;
    Ok(dev)
}

pub(super) fn make(blanks: &Blanks) -> Result<OwnedFd, Failure> {
    let at = Path::new("/dev");
    let failed = |name| {
        let at = at.join(name);
        move |errno| Failure::on(Step::MountDevices, &at)(errno)
    };
    let nodes = NODES.map(|name| (name, copy(&at.join(name))));
    let dev = blanks.take(Kind::Devices).map_err(Failure::on(Step::MountDevices, at))?;
    attach(&dev, at, true, Step::MountDevices)?;
    for (name, node) in nodes {
        let shown = node.and_then(|node| {
            set_attributes(&node, nosuid_noexec())?;
            move_mount(&node, "", &dev, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        });
        shown.map_err(failed(name))?;
    }
    let folder = |name: &str| {
        openat(&dev, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    };
    let terminals = || {
        let fs = fsopen("devpts", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&fs, "mode", "620")?;
        fsconfig_set_string(&fs, "ptmxmode", "666")?;
        move_to(&mount(&fs, nosuid_noexec())?, &folder(TERMINALS)?)
    };
    terminals().map_err(failed(TERMINALS))?;
    let memory = || move_to(&blanks.take(MEMORY)?, &folder(SHARED)?);
    memory().map_err(failed(SHARED))?;
    Ok(dev)
}

fn nosuid_noexec() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC
}
