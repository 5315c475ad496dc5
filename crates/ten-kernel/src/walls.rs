//! What init builds around itself before it forks: ids, name, mounts, and then the loss of
//! every power that could undo them. The order matters: each step needs what the next
//! takes away.
//!
//! ```text
//! part_mounts (after it, nothing mounted here is seen outside)
//! build: ids ► cgroup namespace ► host name ► network ► mounts ► bounding set ► user ►
//!        capabilities
//! close: Landlock (places) ► seccomp (syscalls), which both need no_new_privs
//! ```

mod loopback;
pub(crate) mod mounts;
mod places;
mod syscalls;

use std::{fs, os::fd::OwnedFd, path::PathBuf};

pub use self::mounts::{Blanks, Recipe};
pub(crate) use self::{
    mounts::replace as replace_tree,
    syscalls::{Keeps, refuse},
};

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
    plan::{Mount, Network},
    uplink::Link,
};

/// No kernel has more capabilities than bits in the set that it keeps them in.
const CAPABILITY_BITS: u32 = 64;

pub(crate) use self::mounts::part as part_mounts;

/// Builds the walls of [`Walls::Namespaces`](crate::Walls) around this process, which was
/// born in those namespaces. `shown` is what is bound in place of folders of the same paths,
/// `blanks` what need not be made. `take_on` is called when nothing is left to do for which one must
/// be root. The places in which the tree may change something are what it gives.
pub(crate) fn build(
    ids: Option<Ids>,
    hostname: &str,
    (network, link): (Network, Option<&Link>),
    mounts: &[Mount],
    (shown, blanks): (&[(PathBuf, OwnedFd)], &Blanks),
    take_on: impl FnOnce() -> Result<(), Failure>,
) -> Result<Vec<OwnedFd>, Failure> {
    ids.map_or(Ok(()), map)?;
    // Made here and not at birth, so that its root is the cgroup this process is in.
    // SAFETY: a cgroup namespace changes what paths of cgroups look like, and no memory,
    // descriptor or credential of this process.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }
        .map_err(Failure::of(Step::CgroupNamespace))?;
    sethostname(hostname.as_bytes()).map_err(Failure::of(Step::Hostname))?;
    match network {
        Network::Host => {}
        Network::Loopback => raise_loopback()?,
        Network::Uplink => link.ok_or(Errno::INVAL).map_err(Failure::of(Step::Link))?.enter()?,
    }
    let own = mounts::make(network, mounts, shown, blanks)?;
    drop_bounding_set().map_err(Failure::of(Step::Capabilities))?;
    take_on()?;
    drop_capabilities().map_err(Failure::of(Step::Capabilities))?;
    Ok(own)
}

/// Of the network that this process is in.
pub(crate) fn raise_loopback() -> Result<(), Failure> {
    loopback::raise().map_err(Failure::of(Step::Loopback))
}

/// The second layer, behind namespaces and credentials.
pub(crate) fn close(
    network: Network,
    own: &[OwnedFd],
    pipes: [&OwnedFd; 2],
) -> Result<(), Failure> {
    places::confine(own, pipes)?;
    syscalls::refuse(Keeps::Programs(network)).map_err(Failure::of(Step::Syscalls))
}

/// Makes once, before a fork, what every wall needs.
pub(crate) fn prepare() {
    syscalls::prepare();
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

/// First of the five sets (capabilities(7)), while we still may.
pub(crate) fn drop_bounding_set() -> Result<(), Errno> {
    for bit in 0..CAPABILITY_BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            // The kernel knows no further one.
            Err(Errno::INVAL) => break,
            other => other?,
        }
    }
    Ok(())
}

/// The other four.
pub(crate) fn drop_capabilities() -> Result<(), Errno> {
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}
