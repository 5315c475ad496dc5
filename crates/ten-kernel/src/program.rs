//! How the program of a tree is started, or a command beside it: the last steps before execve(2)
//! are the same for both.

use std::{
    convert::Infallible,
    ffi::CString,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    io::{Errno, FdFlags},
    process::{Pid, Resource, Rlimit, chdir, getrlimit, ioctl_tiocsctty, setrlimit, setsid},
};

use crate::{
    child::{self, last_errno},
    command::CommandLine,
    failure::{Failure, Step},
    init::{Ends, close_range},
    minder::Inner,
    plan::LaunchPlan,
    report::{Report, Reporter},
    signals,
};

/// The soft limit of open files that programs expect: above it, those that use select(2)
/// corrupt their memory. They can raise it to the hard limit themselves.
const OPEN_FILES: u64 = 1024;
/// Where an activated program finds its socket (sd_listen_fds(3)).
const ACTIVATION_FD: RawFd = 3;

/// What becomes of a process after those steps.
struct Image<'a> {
    /// stdin, stdout and stderr to be.
    streams: [RawFd; 3],
    /// A terminal that is all three.
    terminal: Option<&'a OwnedFd>,
    activation: Option<RawFd>,
    /// The file to execute: the first of these that can be.
    files: Vec<PathBuf>,
    argv: &'a [String],
    env: Vec<String>,
}

/// Starts the program of the plan, and returns once it has been executed.
pub(crate) fn start(plan: &LaunchPlan, ends: &Ends, reporter: &Reporter) -> Result<Pid, Failure> {
    let image = Image {
        streams: [ends.null.as_raw_fd(), ends.stdout, ends.stderr],
        terminal: None,
        activation: ends.activation,
        files: vec![plan.program.clone()],
        argv: &plan.argv,
        env: variables(plan),
    };
    // Said by itself: the kernel tells the receiver whose pid that is.
    begin(plan, image, || reporter.say(&Report::Main(0)))
}

/// Starts a command beside the program of the plan, with its environment, and returns once it has
/// been executed.
pub(crate) fn start_command(
    plan: &LaunchPlan,
    line: &CommandLine,
    inner: &Inner,
) -> Result<Pid, Failure> {
    let mut env = variables(plan);
    if let Some(terminal) = line.terminal.as_ref().filter(|terminal| !terminal.kind.is_empty()) {
        env.retain(|variable| !variable.starts_with("TERM="));
        env.push(format!("TERM={}", terminal.kind));
    }
    let image = Image {
        streams: inner.streams(),
        terminal: inner.terminal(),
        activation: None,
        files: places(plan, line.argv.first().map_or("", String::as_str)),
        argv: &line.argv,
        env,
    };
    begin(plan, image, || {})
}

fn begin(plan: &LaunchPlan, image: Image<'_>, first: impl FnOnce()) -> Result<Pid, Failure> {
    let executed = child::execute(|| {
        first();
        let Err(failure) = become_image(plan, image);
        failure
    });
    match executed.map_err(Failure::of(Step::Fork))? {
        (program, None) => Ok(program),
        (_, Some(failure)) => Err(failure),
    }
}

/// Where a command may be: itself, where it is a path, else in the folders of PATH.
fn places(plan: &LaunchPlan, name: &str) -> Vec<PathBuf> {
    if name.contains('/') {
        return vec![name.into()];
    }
    let path = plan.env.iter().find(|(key, _)| key == "PATH");
    let folders = path.iter().flat_map(|(_, path)| path.split(':'));
    // An empty one means the working folder, and so does a path without folder.
    folders.filter(|_| !name.is_empty()).map(|folder| Path::new(folder).join(name)).collect()
}

fn become_image(plan: &LaunchPlan, mut image: Image<'_>) -> Result<Infallible, Failure> {
    setsid().map_err(Failure::of(Step::Session))?;
    signals::to_default();
    if let Some(terminal) = image.terminal {
        ioctl_tiocsctty(terminal).map_err(Failure::of(Step::Terminal))?;
    }
    if image.activation.is_some() {
        image.env.push("LISTEN_FDS=1".into());
        image.env.push(format!("LISTEN_PID={}", std::process::id()));
    }
    descriptors(&image).map_err(Failure::of(Step::Descriptors))?;
    limits().map_err(Failure::of(Step::Limits))?;
    chdir(&plan.workdir).map_err(Failure::on(Step::Workdir, &plan.workdir))?;
    Err(execute_first(&image))
}

/// As execvp(3): a file that is not there, or not for us, is passed over, and the refusal is
/// what counts in the end.
fn execute_first(image: &Image<'_>) -> Failure {
    let named = Path::new(image.argv.first().map_or("", String::as_str));
    let mut failure = Failure::on(Step::Execute, named)(Errno::NOENT);
    for file in &image.files {
        let errno = execute(file, image.argv, &image.env);
        match errno {
            Errno::NOENT | Errno::NOTDIR if image.files.len() > 1 => {}
            Errno::ACCESS if image.files.len() > 1 => {
                failure = Failure::on(Step::Execute, file)(errno);
            }
            errno => return Failure::on(Step::Execute, file)(errno),
        }
    }
    failure
}

fn descriptors(image: &Image<'_>) -> Result<(), Errno> {
    for (to, from) in (0..).zip(image.streams) {
        duplicate(from, to)?;
    }
    let mut first = ACTIVATION_FD;
    if let Some(socket) = image.activation {
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
    // SAFETY: takes no pointers. What `to` named before is lost, which is the purpose: this runs
    // before execve or _exit with descriptors of its own, where no owner of it is ever used again.
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

fn variables(plan: &LaunchPlan) -> Vec<String> {
    plan.env.iter().map(|(key, value)| format!("{key}={value}")).collect()
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
    // Last of all: this memory may be another's (`child::execute`), and who ends us now would leave
    // it in the middle of something.
    if let Err(errno) = signals::let_in() {
        return errno;
    }
    // SAFETY: all three are NUL-terminated, the lists end with a null pointer, and their
    // owners live until the call returns, if it does.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), vars.as_ptr()) };
    let errno = last_errno();
    // For the same reason. It cannot fail where letting them in did not.
    let _ = signals::block_all();
    errno
}
