//! What init builds around itself before it forks: ids, name, mounts, and then the loss of
//! every power that could undo them. The order matters: each step needs what the next
//! takes away.

mod mounts;

use std::fs;

use rustix::{
    io::Errno,
    process::{getegid, geteuid},
    system::sethostname,
    thread::{
        CapabilitySet, CapabilitySets, UnshareFlags, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities,
    },
};

use crate::{
    failure::{Failure, Step},
    plan::Mount,
};

/// No kernel has more capabilities than bits in the set that it keeps them in.
const CAPABILITY_BITS: u32 = 64;

/// Builds the walls of [`Walls::Namespaces`](crate::Walls) around this process, which was
/// born in those namespaces.
pub(crate) fn build(ids: Option<Ids>, hostname: &str, mounts: &[Mount]) -> Result<(), Failure> {
    ids.map_or(Ok(()), map)?;
    // Made here and not at birth, so that its root is the cgroup this process is in.
    // SAFETY: a cgroup namespace changes what paths of cgroups look like, and no memory,
    // descriptor or credential of this process.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }
        .map_err(Failure::of(Step::CgroupNamespace))?;
    sethostname(hostname.as_bytes()).map_err(Failure::of(Step::Hostname))?;
    mounts::make(mounts)?;
    drop_capabilities().map_err(Failure::of(Step::Capabilities))
}

/// The ids of a launcher that is not root, read before the fork: inside a new user
/// namespace nobody has a number until it is mapped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    uid: u32,
    gid: u32,
}

impl Ids {
    /// `None` for root, who needs no user namespace.
    pub(crate) fn unless_root() -> Option<Self> {
        let uid = geteuid();
        (!uid.is_root()).then(|| Self { uid: uid.as_raw(), gid: getegid().as_raw() })
    }
}

/// In a user namespace of our own, maps our ids to themselves: files keep the owner that
/// they have outside, and nobody else's id exists (user_namespaces(7)).
fn map(Ids { uid, gid }: Ids) -> Result<(), Failure> {
    let write = |file: &str, text: String| {
        fs::write(file, text).map_err(|why| {
            let errno = Errno::from_io_error(&why).unwrap_or(Errno::IO);
            Failure::on(Step::UserMap, file.as_ref())(errno)
        })
    };
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}

/// From all five sets (capabilities(7)). The bounding set goes first, while we still may.
fn drop_capabilities() -> Result<(), Errno> {
    for bit in 0..CAPABILITY_BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            // The kernel knows no further one.
            Err(Errno::INVAL) => break,
            other => other?,
        }
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}
