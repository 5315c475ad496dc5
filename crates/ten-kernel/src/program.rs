//! The last steps before execve(2), in the process that becomes the program.

use std::{
    convert::Infallible,
    ffi::CString,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    io::{Errno, FdFlags},
    process::{Resource, Rlimit, chdir, getrlimit, setrlimit, setsid},
};

use crate::{
    child::last_errno,
    failure::{Failure, Step},
    init::{Ends, close_range, exit},
    plan::LaunchPlan,
    report::{Report, Reporter},
    signals,
};

/// The soft limit of open files that programs expect: above it, those that use select(2)
/// corrupt their memory. They can raise it to the hard limit themselves.
const OPEN_FILES: u64 = 1024;
/// Where an activated program finds its socket (sd_listen_fds(3)).
const ACTIVATION_FD: RawFd = 3;
/// What the shell uses for a command that cannot be executed.
pub(crate) const NOT_EXECUTED: i32 = 126;

/// Becomes the program, or says through `failing` why not.
pub(crate) fn run(plan: &LaunchPlan, ends: &Ends, reporter: &Reporter, failing: &OwnedFd) -> ! {
    reporter.say(&Report::Main(0));
    // Above the place of the activation socket, which is about to be taken.
    let failing = rustix::io::fcntl_dupfd_cloexec(failing, ACTIVATION_FD + 1);
    if let Ok(failing) = failing
        && let Err(failure) = become_program(plan, ends)
    {
        // Init holds the other end and waits for it.
        let _ = rustix::io::write(&failing, &Report::Failed(failure).encode());
    }
    exit(NOT_EXECUTED)
}

fn become_program(plan: &LaunchPlan, ends: &Ends) -> Result<Infallible, Failure> {
    setsid().map_err(Failure::of(Step::Session))?;
    signals::reset().map_err(Failure::of(Step::Signals))?;
    descriptors(ends).map_err(Failure::of(Step::Descriptors))?;
    limits().map_err(Failure::of(Step::Limits))?;
    chdir(&plan.workdir).map_err(Failure::on(Step::Workdir, &plan.workdir))?;
    Err(Failure::on(Step::Execute, &plan.program)(execute(&plan.program, &plan.argv, &env(plan))))
}

fn descriptors(ends: &Ends) -> Result<(), Errno> {
    duplicate(ends.null.as_raw_fd(), 0)?;
    duplicate(ends.stdout, 1)?;
    duplicate(ends.stderr, 2)?;
    let mut first = ACTIVATION_FD;
    if let Some(socket) = ends.activation {
        duplicate(socket, ACTIVATION_FD)?;
        first += 1;
    }
    close_range(first, RawFd::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// dup2(2), and where both are the same, what it would have done to another: not closed on exec.
pub(crate) fn duplicate(from: RawFd, to: RawFd) -> Result<(), Errno> {
    if from == to {
        // SAFETY: `from` stays open during the call: its owner is in the caller's hands.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(from) };
        return rustix::io::fcntl_setfd(fd, FdFlags::empty());
    }
    // SAFETY: takes no pointers. What `to` named before is lost, which is the purpose: this
    // runs between fork and execve, where no owner of it is ever used again.
    if unsafe { libc::dup2(from, to) } < 0 { Err(last_errno()) } else { Ok(()) }
}

fn limits() -> Result<(), Errno> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)?;
    // Half of ours. It is also how many descriptors may be on their way between all processes
    // of a user (unix(7), ETOOMANYREFS): where programs share a user with their inits or with
    // our launcher, those still have the other half when programs have used up theirs.
    let files = getrlimit(Resource::Nofile).maximum.map(|ours| ours / 2);
    let soft = files.map_or(OPEN_FILES, |hard| hard.min(OPEN_FILES));
    setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: files })
}

/// The plan's environment, and what an activated program looks for.
fn env(plan: &LaunchPlan) -> Vec<String> {
    let mut env: Vec<_> = plan.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if plan.activation {
        env.push("LISTEN_FDS=1".into());
        env.push(format!("LISTEN_PID={}", std::process::id()));
    }
    env
}

/// Returns only with an error.
pub(crate) fn execute(program: &Path, argv: &[String], env: &[String]) -> Errno {
    let text = |list: &[String]| -> Result<Vec<CString>, _> {
        list.iter().map(|item| CString::new(item.as_bytes())).collect()
    };
    let (Ok(program), Ok(argv), Ok(env)) =
        (CString::new(program.as_os_str().as_bytes()), text(argv), text(env))
    else {
        return Errno::INVAL;
    };
    let pointers = |list: &[CString]| -> Vec<_> {
        list.iter().map(|item| item.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (args, vars) = (pointers(&argv), pointers(&env));
    // SAFETY: all three are NUL-terminated, the lists end with a null pointer, and their
    // owners live until the call returns, if it does.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), vars.as_ptr()) };
    last_errno()
}
