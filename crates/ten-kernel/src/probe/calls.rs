//! Which system calls the kernel has and lets us have: each is called with arguments that it
//! must refuse. A kernel without it says ENOSYS; so do the filters of most containers.

use libc::{c_int, c_long};
use rustix::io::Errno;

use crate::child::last_errno;

/// landlock_create_ruleset(2): asks for the version of its interface.
const LANDLOCK_VERSION: c_long = 1;
/// The first version of it with a wall for abstract Unix sockets (Linux 6.12).
const LANDLOCK_SCOPES: u32 = 6;
/// No flags that any of these calls knows.
const NONSENSE: c_long = 0x7fff_ffff;

/// What every start needs, each with the Linux that brought it.
const NEEDED: [(&str, c_long, [c_long; 5]); 8] = [
    ("pidfd_send_signal (5.1)", libc::SYS_pidfd_send_signal, [-1, 0, 0, NONSENSE, 0]),
    ("open_tree (5.2)", libc::SYS_open_tree, [-1, 0, NONSENSE, 0, 0]),
    ("move_mount (5.2)", libc::SYS_move_mount, [-1, 0, -1, 0, NONSENSE]),
    ("clone3 (5.3)", libc::SYS_clone3, [0, 0, 0, 0, 0]),
    ("pidfd_open (5.3)", libc::SYS_pidfd_open, [0, NONSENSE, 0, 0, 0]),
    ("openat2 (5.6)", libc::SYS_openat2, [-1, 0, 0, 0, 0]),
    ("close_range (5.9)", libc::SYS_close_range, [1, 0, 0, 0, 0]),
    ("mount_setattr (5.12)", libc::SYS_mount_setattr, [-1, 0, NONSENSE, 0, 0]),
];

/// The kernel's own name for its version, such as `6.12.9-amd64`.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The system calls that every start needs and that are not there, each with the version of
/// Linux that has it.
pub fn absent_calls() -> Vec<&'static str> {
    let absent =
        |(_, number, args): &&(_, c_long, [c_long; 5])| call(*number, *args) == Err(Errno::NOSYS);
    NEEDED.iter().filter(absent).map(|(name, ..)| *name).collect()
}

/// The version of Landlock's interface (landlock(7)); `None` where it is not built in or off.
pub fn landlock_abi() -> Option<u32> {
    let version = call(libc::SYS_landlock_create_ruleset, [0, 0, LANDLOCK_VERSION, 0, 0]);
    version.ok().and_then(|version| u32::try_from(version).ok())
}

/// Whether Landlock keeps a tree that shares its network from the abstract Unix sockets of others,
/// for which no namespace but that of the network has a wall.
pub fn closes_abstract_sockets() -> bool {
    landlock_abi().is_some_and(|version| version >= LANDLOCK_SCOPES)
}

/// Whether processes can be given filters that answer with an error (seccomp(2)).
pub fn seccomp_filters() -> bool {
    let errno: u32 = libc::SECCOMP_RET_ERRNO;
    let available = libc::SECCOMP_GET_ACTION_AVAIL as c_long;
    let action = std::ptr::from_ref(&errno).expose_provenance() as c_long;
    call(libc::SYS_seccomp, [available, 0, action, 0, 0]).is_ok()
}

fn call(number: c_long, [a, b, c, d, e]: [c_long; 5]) -> Result<c_long, Errno> {
    // SAFETY: every caller passes null pointers, or one to a value that outlives the call, and
    // arguments for which these calls change nothing.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, 0 as c_int) };
    if result < 0 { Err(last_errno()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_is_there_and_what_is_not() {
        assert_eq!(absent_calls(), Vec::<&str>::new(), "other tests need them, too");
        assert_eq!(call(NONSENSE, [0; 5]), Err(Errno::NOSYS));
        assert!(release().contains('.'));
    }
}
