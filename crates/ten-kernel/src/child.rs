//! A child process and the descriptor that names it for as long as we hold it.

use std::{
    ffi::c_void,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, waitid},
};

use crate::failure::{Failure, Step};

/// Birth in another cgroup (clone(2)); libc's constant is too narrow to hold it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A process, named by a pidfd: signals never reach a stranger that got the same pid later.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    pidfd: OwnedFd,
}

impl Child {
    /// The running process that has this pid now.
    pub fn open(pid: u32) -> Result<Self, Errno> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        Ok(Self { pid, pidfd: pidfd_open(raw, PidfdFlags::empty())? })
    }

    /// Its pid as its opener sees it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends any signal, real-time ones included. A process that has ended is no error.
    pub fn signal(&self, signal: i32) -> Result<(), Errno> {
        // SAFETY: the call takes no pointer but a null siginfo, which pidfd_send_signal(2)
        // allows, and acts on a descriptor that we own.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                std::os::fd::AsRawFd::as_raw_fd(&self.pidfd),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        match result {
            0 => Ok(()),
            _ => match last_errno() {
                Errno::SRCH => Ok(()),
                errno => Err(errno),
            },
        }
    }

    /// Kills it; one that has ended is no error.
    pub fn kill(&self) -> Result<(), Errno> {
        self.signal(Signal::KILL.as_raw())
    }

    /// Waits for its end and reaps it; only its parent may.
    pub fn wait(&self) -> Result<(), Errno> {
        waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED).map(drop)
    }

    /// Reaps it if it has ended; only its parent may.
    pub fn try_wait(&self) -> Result<Option<WaitIdStatus>, Errno> {
        waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }
}

/// Readable once the process has ended.
impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Forks with clone3(2), without a new address space for threads to share: the parent gets
/// the child, the child gets `None` and owns a copy of everything.
///
/// Refuses where this process has more than one thread, whose locks would stay locked
/// forever in the child.
pub(crate) fn fork(
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Option<Child>, Failure> {
    single_threaded()?;
    let mut pidfd: libc::c_int = -1;
    let mut flags = namespaces | libc::CLONE_PIDFD as u64;
    let mut cgroup_fd = 0;
    if let Some(cgroup) = cgroup {
        flags |= CLONE_INTO_CGROUP;
        cgroup_fd = std::os::fd::AsRawFd::as_raw_fd(&cgroup) as u64;
    }
    let args = libc::clone_args {
        flags,
        pidfd: std::ptr::from_mut(&mut pidfd).expose_provenance() as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup_fd,
    };
    // SAFETY: without CLONE_VM this is fork(2): the child runs on a copy of this stack. The
    // process has one thread (checked above), so no lock of the allocator's or of the
    // standard library's is held by a thread that the child lacks. `args` and the pidfd
    // slot it names outlive the call.
    let pid = unsafe {
        libc::syscall(libc::SYS_clone3, std::ptr::from_ref(&args), size_of::<libc::clone_args>())
    };
    match pid {
        ..0 => Err(Failure::of(Step::Clone)(last_errno())),
        0 => Ok(None),
        // SAFETY: clone3 succeeded with CLONE_PIDFD, so the slot holds a new descriptor
        // that nobody else owns.
        1.. => Ok(Some(Child { pid: pid as u32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })),
    }
}

/// Room for what runs between clone and execve, and for what a panic has to say there.
const STACK: usize = 256 * 1024;
/// A page, however large this machine has them.
const GUARD: usize = 64 * 1024;
/// What the shell uses for a command that cannot be executed.
pub(crate) const NOT_EXECUTED: i32 = 126;

/// Runs `then`, which executes a program, in a new process that has this one's memory until it has
/// executed something or ended; this process waits until then (clone(2): CLONE_VM, CLONE_VFORK).
/// So nothing is copied that execve(2) throws away, and whatever kept it from executing is known
/// here, as what `then` has returned. All else that a process has is its own from the beginning:
/// descriptors, signals, working folder, limits.
pub(crate) fn execute<E>(then: impl FnOnce() -> E) -> Result<(Pid, Option<E>), Errno> {
    let stack = Stack::new()?;
    let mut shared = Shared { then: Some(then), kept: None };
    let entry = enter_of(&shared);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is aligned and nobody else's, and what goes beyond it faults; it and
    // `shared` outlive the child's use of them, because the kernel resumes this thread only when
    // the child has left this memory.
    let pid = unsafe { libc::clone(entry, stack.top(), flags, (&raw mut shared).cast()) };
    let pid = Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(last_errno)?;
    Ok((pid, shared.kept))
}

/// Memory for a stack, above some that nobody may touch: the memory below is another process's.
struct Stack(*mut c_void);

impl Stack {
    const LENGTH: usize = STACK + GUARD;

    fn new() -> Result<Self, Errno> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new memory, wherever the kernel likes.
        let memory = unsafe { libc::mmap(ptr::null_mut(), Self::LENGTH, protection, flags, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(last_errno());
        }
        let stack = Self(memory);
        // SAFETY: the lowest pages of what was just mapped, which nothing uses yet.
        match unsafe { libc::mprotect(memory, GUARD, libc::PROT_NONE) } {
            0 => Ok(stack),
            _ => Err(last_errno()),
        }
    }

    fn top(&self) -> *mut c_void {
        self.0.wrapping_byte_add(Self::LENGTH)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and nobody runs on it any more.
        unsafe { libc::munmap(self.0, Self::LENGTH) };
    }
}

struct Shared<F, E> {
    then: Option<F>,
    kept: Option<E>,
}

/// Names the types that only the compiler can.
fn enter_of<F: FnOnce() -> E, E>(_: &Shared<F, E>) -> extern "C" fn(*mut c_void) -> i32 {
    enter::<F, E>
}

extern "C" fn enter<F: FnOnce() -> E, E>(shared: *mut c_void) -> i32 {
    // SAFETY: it is what `execute` has given, which waits: this is the only reference.
    let shared = unsafe { &mut *shared.cast::<Shared<F, E>>() };
    let then = shared.then.take();
    let run = AssertUnwindSafe(|| then.map(|then| then()));
    shared.kept = catch_unwind(run).ok().flatten();
    crate::init::exit(NOT_EXECUTED)
}

/// /proc/self/task has two links and one for each thread: one system call, no listing.
fn single_threaded() -> Result<(), Failure> {
    let task = rustix::fs::stat("/proc/self/task").map_err(Failure::of(Step::SingleThread))?;
    if task.st_nlink == 3 { Ok(()) } else { Err(Failure::of(Step::SingleThread)(Errno::AGAIN)) }
}

/// What the last libc call of this thread complained of.
pub(crate) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
