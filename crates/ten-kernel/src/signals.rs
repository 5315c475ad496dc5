//! Signals as something to read, and the small change of signalling that rustix lacks.

use std::{
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    sync::OnceLock,
};

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use crate::child::last_errno;

/// The highest signal number (signal(7)).
const SIGNAL_MAX: i32 = 64;

/// Blocked signals, to be read from a descriptor (signalfd(2)); non-blocking.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks these signals and no others for this thread, and makes them readable.
    pub fn take(list: &[i32]) -> Result<Self, Errno> {
        Self::take_set(&set_of(list))
    }

    /// Every signal that can be blocked.
    pub(crate) fn take_all() -> Result<Self, Errno> {
        Self::take_set(&full_set())
    }

    fn take_set(set: &libc::sigset_t) -> Result<Self, Errno> {
        block(libc::SIG_SETMASK, set)?;
        Self::read(set)
    }

    /// One signal that is blocked already, ahead of all others: the kernel gives pending ones
    /// in the order of their numbers (signal(7)).
    pub(crate) fn ahead(signal: i32) -> Result<Self, Errno> {
        Self::read(&set_of(&[signal]))
    }

    fn read(set: &libc::sigset_t) -> Result<Self, Errno> {
        // SAFETY: `set` is initialised and outlives the call; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(last_errno());
        }
        // SAFETY: signalfd just returned it, nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next pending signal's number.
    pub fn next(&self) -> Option<i32> {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        let bytes = rustix::io::read(&self.0, &mut info).ok()?;
        (bytes == info.len()).then(|| i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))
    }
}

/// Readable while signals are pending.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Blocks every signal: what arrives waits for whoever asks for it.
pub(crate) fn block_all() -> Result<(), Errno> {
    block(libc::SIG_SETMASK, &full_set())
}

/// Dispositions and mask as a freshly started program expects them: whatever was ignored or
/// blocked before would stay so across execve(2).
pub(crate) fn reset() -> Result<(), Errno> {
    to_default();
    let_in()
}

/// The mask alone.
pub(crate) fn let_in() -> Result<(), Errno> {
    block(libc::SIG_SETMASK, &set_of(&[]))
}

/// What this process ignores, a bit for each signal, which all its forks have from it: nothing here
/// changes it, and what has a handler loses that with execve(2). On no heap, since an init has another
/// (`heap.rs`).
static IGNORED: OnceLock<u64> = OnceLock::new();

/// Finds out what [`to_default`] must know, so that no fork has to ask 64 times.
pub(crate) fn prepare() {
    IGNORED.get_or_init(ignored);
}

/// Dispositions alone.
pub(crate) fn to_default() {
    // The kernel's own sigaction, all zero: SIG_DFL, no flags, no mask.
    let default = [0; ACTION];
    let ignored = *IGNORED.get_or_init(ignored);
    for signal in (1..=SIGNAL_MAX).filter(|signal| ignored & bit(*signal) != 0) {
        action(signal, default.as_ptr(), ptr::null_mut());
    }
}

fn ignored() -> u64 {
    let is_ignored = |signal: &i32| {
        let mut found = [0; ACTION];
        action(*signal, ptr::null(), found.as_mut_ptr());
        // Its first word is the handler.
        found[0] == libc::SIG_IGN as u64
    };
    (1..=SIGNAL_MAX).filter(is_ignored).map(bit).sum()
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Words of the kernel's own sigaction, at most.
const ACTION: usize = 8;

/// Not through libc, which refuses to touch the signals that it keeps for itself, and those may be
/// ignored too. SIGKILL and SIGSTOP are refused.
fn action(signal: i32, new: *const u64, old: *mut u64) {
    // SAFETY: each pointer is null, or leads to `ACTION` words, which is more than the kernel reads
    // or writes and outlives the call. What is set is SIG_DFL, which is no handler, so no code of
    // ours ever runs in a signal's context.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, old, size_of::<u64>()) };
}

/// Sends a signal by number; `-1` reaches everyone we may signal (kill(2)). A target that
/// is gone is no error, and there is no other for a process that signals its own tree.
pub(crate) fn send(pid: i32, signal: i32) {
    // SAFETY: kill takes no pointers.
    unsafe { libc::kill(pid, signal) };
}

/// Raises this process's soft limit of open files to its hard limit, so that thousands of
/// trees and connections fit. Programs that we launch get a soft limit of their own.
pub fn raise_open_files() -> Result<(), Errno> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
}

fn block(how: i32, set: &libc::sigset_t) -> Result<(), Errno> {
    // SAFETY: `set` is initialised and outlives the call; a null old set is allowed.
    match unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(Errno::from_raw_os_error(errno)),
    }
}

fn set_of(list: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before anything else touches it.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for signal in list {
        // SAFETY: the set is initialised; a bad number is refused.
        unsafe { libc::sigaddset(&mut set, *signal) };
    }
    set
}

fn full_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the whole set.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}
