//! A /dev with what programs may expect of any machine, and nothing of this one.

use std::{os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{FileType, Mode, OFlags, mkdirat, mknodat, openat, symlinkat},
    io::Errno,
    mount::{FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_set_string, fsopen, move_mount},
};

use super::{attach, kernel::copy, mount, move_to, private, set_attributes, tmpfs};
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
/// Room for mount points alone, in the syntax of tmpfs(5); files of their own belong elsewhere.
const SIZE: &str = "64k";
const FILES: &str = "256";

pub(super) fn make() -> Result<OwnedFd, Failure> {
    let at = Path::new("/dev");
    let failed = || Failure::on(Step::MountDevices, at);
    let nosuid = MountAttrFlags::MOUNT_ATTR_NOSUID;
    let nodes = NODES.map(|name| (name, copy(&at.join(name))));
    let dev = tmpfs(0o755, SIZE, FILES, nosuid | MountAttrFlags::MOUNT_ATTR_NOEXEC);
    let dev = dev.map_err(failed())?;
    attach(&dev, at, true, Step::MountDevices)?;
    for (name, node) in nodes {
        let node = node.map_err(Failure::on(Step::MountDevices, &at.join(name)))?;
        let place = || {
            mknodat(&dev, name, FileType::RegularFile, Mode::empty(), 0)?;
            set_attributes(&node, nosuid | MountAttrFlags::MOUNT_ATTR_NOEXEC)?;
            move_mount(&node, "", &dev, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        };
        place().map_err(Failure::on(Step::MountDevices, &at.join(name)))?;
    }
    LINKS.iter().try_for_each(|(name, target)| symlinkat(*target, &dev, *name)).map_err(failed())?;
    let folder = |name: &str| -> Result<_, Errno> {
        mkdirat(&dev, name, Mode::from_raw_mode(0o755))?;
        openat(&dev, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    };
    let terminals = || {
        let fs = fsopen("devpts", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&fs, "mode", "620")?;
        fsconfig_set_string(&fs, "ptmxmode", "666")?;
        move_to(&mount(&fs, nosuid | MountAttrFlags::MOUNT_ATTR_NOEXEC)?, &folder("pts")?)
    };
    terminals().map_err(Failure::on(Step::MountDevices, &at.join("pts")))?;
    let memory = || move_to(&private(0o1777)?, &folder("shm")?);
    memory().map_err(Failure::on(Step::MountDevices, &at.join("shm")))?;
    Ok(dev)
}
