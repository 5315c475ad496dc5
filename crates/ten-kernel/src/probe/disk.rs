//! What a folder lies on.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filesystem {
    /// Its type, such as `ext4`.
    pub kind: String,
    /// Where it is mounted.
    pub mount_point: PathBuf,
}

/// The file system of an absolute path that exists.
pub fn filesystem(path: &Path) -> io::Result<Filesystem> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let path = fs::canonicalize(path)?;
    of(&table, &path).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Whether this process may make files in a folder.
pub fn is_writable(folder: &Path) -> bool {
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, folder, wanted, AtFlags::EACCESS).is_ok()
}

/// The last of the deepest mount points above it: later mounts cover earlier ones
/// (proc_pid_mountinfo(5)).
fn of(table: &str, path: &Path) -> Option<Filesystem> {
    let mounts = table.lines().filter_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mount_point = PathBuf::from(mount.split(' ').nth(4)?);
        let kind = filesystem.split(' ').next()?.to_owned();
        Some(Filesystem { kind, mount_point })
    });
    let above = mounts.filter(|mount| path.starts_with(&mount.mount_point));
    above.max_by_key(|mount| mount.mount_point.components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_and_latest_mount_counts() {
        let table = "22 1 8:1 / / rw - ext4 /dev/sda1 rw,prjquota\n\
                     23 22 8:2 / /srv rw shared:1 - xfs /dev/sdb rw\n\
                     24 22 8:3 / /srv rw shared:2 - btrfs /dev/sdc rw,ssd\n";
        assert_eq!(of(table, Path::new("/srv/a")).unwrap().kind, "btrfs");
        assert_eq!(of(table, Path::new("/srvx")).unwrap().kind, "ext4");
        assert!(filesystem(Path::new("/proc")).unwrap().kind.contains("proc"));
    }
}
