//! Descriptors that a process was born with.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::io::{FdFlags, fcntl_setfd};

/// The descriptor that [`spawn`](crate::spawn) hands to a child.
const GIVEN: RawFd = 3;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes the one descriptor that this process was given at birth (fd 3), and keeps it from
/// its own children.
///
/// # Errors
///
/// `EBADF` where the process was given none, or where it has been taken already.
pub fn take_given() -> io::Result<OwnedFd> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(rustix::io::Errno::BADF.into());
    }
    // SAFETY: fcntl(2) with F_GETFD only asks whether the number is an open descriptor.
    if unsafe { libc::fcntl(GIVEN, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, as just seen, and nobody else owns it: it was open before `main`,
    // no library opens fixed numbers, and `TAKEN` lets this line be reached once.
    let given = unsafe { OwnedFd::from_raw_fd(GIVEN) };
    fcntl_setfd(&given, FdFlags::CLOEXEC)?;
    Ok(given)
}
