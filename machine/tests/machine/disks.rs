//! The machine's disks: one for each filesystem that a case wants to see. They are made anew for
//! each boot, and are holes mostly.

use std::{
    env,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::kernel::run;

/// A disk, in the order in which the machine numbers them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disk {
    /// Its filesystem.
    pub(crate) kind: &'static str,
    /// Where the machine has it.
    pub(crate) device: &'static str,
    /// How it is mounted.
    pub(crate) options: &'static str,
    /// What makes it.
    maker: &'static [&'static str],
}

pub(crate) const EXT4: Disk = Disk {
    kind: "ext4",
    device: "/dev/vda",
    options: "prjquota",
    maker: &["mkfs.ext4", "-q", "-F", "-O", "project,quota", "-E", "quotatype=prjquota"],
};
pub(crate) const XFS: Disk =
    Disk { kind: "xfs", device: "/dev/vdb", options: "pquota", maker: &["mkfs.xfs", "-q", "-f"] };
pub(crate) const BTRFS: Disk =
    Disk { kind: "btrfs", device: "/dev/vdc", options: "", maker: &["mkfs.btrfs", "-q", "-f"] };
const ALL: [Disk; 3] = [EXT4, XFS, BTRFS];

/// The smallest that all three makers take.
const SIZE: u64 = 512 * 1024 * 1024;

/// Makes them in a folder, and gives the arguments by which QEMU has them.
pub(crate) fn make(folder: &Path) -> io::Result<Vec<String>> {
    let mut arguments = Vec::new();
    for Disk { kind, maker, .. } in ALL {
        let path = folder.join(kind).with_extension("disk");
        File::create(&path)?.set_len(SIZE)?;
        let (program, options) = maker.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let made = run(Command::new(tool(program)?).args(options).arg(&path));
        made.map_err(io::Error::other)?;
        // What is on it is of no use afterwards: nothing waits for the host's disk.
        let file = format!("file={},format=raw,if=virtio,cache=unsafe", path.display());
        arguments.extend(["-drive".to_owned(), file]);
    }
    Ok(arguments)
}

/// A program, also one that only root has in its PATH.
pub(crate) fn tool(name: &str) -> io::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let mut files = folders.map(|folder| folder.join(name));
    let packages = "e2fsprogs, xfsprogs and btrfs-progs have what the machine needs";
    files
        .find(|file| file.is_file())
        .ok_or_else(|| io::Error::other(format!("there is no {name}: {packages}")))
}
