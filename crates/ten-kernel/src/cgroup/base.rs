//! Which cgroup is divided among the trees.
//!
//! ```text
//! top                 the root of all, or of a container
//! └── …
//!     └── own         where ten was started; ours if nobody else is in it
//! ```
//!
//! A cgroup with processes cannot give controllers on (kernel: admin-guide/cgroup-v2, "No Internal
//! Process Constraint"), and nobody but us is ever moved. So where others are in our own, as in a
//! login session, trees get their place right below the top: nobody's but the host's. What is in
//! between belongs to others and is never written to.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, access},
    io::Errno,
};

/// The leaf that a server moves to. systemd's `DelegateSubgroup=ten` starts it there.
pub(super) const SEAT: &str = "ten";

/// Where the trees of a server get their cgroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// The cgroup that is divided, if it can be.
    pub(super) path: PathBuf,
    /// The server's own one, where that is not it.
    pub(super) shared: Option<PathBuf>,
}

impl Base {
    /// That of a server with this pid. `None` where it sees no cgroup v2.
    pub(super) fn of(server: u32) -> io::Result<Option<Self>> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let cgroup = fs::read_to_string(format!("/proc/{server}/cgroup"))?;
        let Some((top, own)) = seen(&mounts, &cgroup) else { return Ok(None) };
        let own = above_seat(own);
        let others = |cgroup: &Path| has_others(cgroup, server);
        if own == top || !others(&own)? || !is_writable(&top) || others(&top)? {
            return Ok(Some(Self { path: own, shared: None }));
        }
        Ok(Some(Self { path: top, shared: Some(own) }))
    }
}

/// Whether a cgroup has processes beside this one that keep it from being divided.
pub(super) fn has_others(cgroup: &Path, own: u32) -> io::Result<bool> {
    if is_root(cgroup) {
        return Ok(false);
    }
    let own = own.to_string();
    match fs::read_to_string(cgroup.join("cgroup.procs")) {
        Ok(pids) => Ok(pids.lines().any(|pid| pid != own)),
        // One in which there are threads of processes elsewhere, which is no place for trees.
        Err(why) if why.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => Ok(true),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(false),
        Err(why) => Err(why),
    }
}

/// The root of all alone has no such file, and is the one that may keep its processes.
pub(super) fn is_root(cgroup: &Path) -> bool {
    !cgroup.join("cgroup.events").exists()
}

pub(super) fn is_writable(cgroup: &Path) -> bool {
    access(cgroup.join("cgroup.procs"), Access::WRITE_OK).is_ok()
}

/// Our own cgroup, or the one above the seat where we sit in it already.
fn above_seat(own: PathBuf) -> PathBuf {
    let above = own.parent().filter(|_| own.ends_with(SEAT));
    match above {
        Some(above) if is_writable(above) => above.into(),
        _ => own,
    }
}

/// Where the topmost cgroup and a process's own are in the file tree: the cgroup2 mount of
/// mountinfo (proc_pid_mountinfo(5)) and the `0::` line of cgroup (cgroups(7)).
fn seen(mountinfo: &str, cgroup: &str) -> Option<(PathBuf, PathBuf)> {
    let own = Path::new(cgroup.lines().find_map(|line| line.strip_prefix("0::"))?);
    mountinfo.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, top) = (fields.next()?, PathBuf::from(fields.next()?));
        // Else it is outside of what this mount, or this namespace, shows.
        let below = own.strip_prefix(root).ok().filter(|below| !below.starts_with(".."))?;
        // Not `join` alone, which ends in a slash for nothing.
        let own = top.join(below).components().collect();
        kind.starts_with("cgroup2 ").then_some((top, own))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(mountinfo: &str, cgroup: &str) -> Option<PathBuf> {
        seen(mountinfo, cgroup).map(|(_, own)| own)
    }

    #[test]
    fn finds_its_own_folder() {
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        let in_service = "9:name=systemd:/\n0::/system.slice/ten.service\n";
        assert_eq!(
            seen(hybrid, in_service),
            Some((
                "/sys/fs/cgroup/unified".into(),
                "/sys/fs/cgroup/unified/system.slice/ten.service".into()
            ))
        );
        assert_eq!(own(hybrid, "0::/\n"), Some("/sys/fs/cgroup/unified".into()));
        let container = "41 31 0:38 /pod /sys/fs/cgroup ro - cgroup2 cgroup ro\n";
        assert_eq!(own(container, "0::/pod/ten\n"), Some("/sys/fs/cgroup/ten".into()));
        assert_eq!(own(container, "0::/other\n"), None);
        assert_eq!(own("31 23 0:28 / /x rw - cgroup cgroup rw\n", in_service), None);
        // A mount from outside of our cgroup namespace, and our own.
        let two = "41 31 0:38 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
                   42 41 0:38 / /mnt rw - cgroup2 cgroup2 rw\n";
        assert_eq!(own(two, "0::/\n"), Some("/mnt".into()));
        // Of a process that is not below the root of our cgroup namespace.
        assert_eq!(own(hybrid, "0::/../other\n"), None);
    }
}
