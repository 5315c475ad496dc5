//! The process above a command in a tree: it makes the command's streams, starts it, and ends
//! with all of it when the command ends or nobody wants it any more.
//!
//! ```text
//! begin ──► streams ──► start ─► tell ──► keep ──(command ended)─────► clear ──► Ended
//!                                          └──(asker gone)─► hang up ──► clear
//! ```
//!
//! It is a fork of the tree's init, and so behind the same walls from its first instruction:
//! a Landlock domain and a seccomp filter can only be inherited. As a subreaper it stays the
//! ancestor of whatever the command forks, so that all of it can be found. Those inside may
//! kill it, which sets what it kept free: into the tree, which ends as a whole. Like init, it calls
//! nothing of the C library that allocates (`heap.rs`).

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, ioctl_fionbio},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, set_child_subreaper},
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{
    child::last_errno,
    command::{MinderEnd, Streams, Terminal},
    descendants,
    failure::{Failure, Step},
    init::{clear, close_all_but, exit, reap},
    plan::LaunchPlan,
    program,
    report::Report,
    signals::Signals,
    title,
};

/// How long those who have been hung up on may take to end by themselves.
const HANGUP_PATIENCE: Duration = Duration::from_secs(2);

/// Starts a minder for who asks at `end`. Init itself goes on at once.
pub(crate) fn begin(plan: &LaunchPlan, end: OwnedFd) {
    let end = MinderEnd(end);
    // SAFETY: init is the child of a fork of a single-threaded process and has started no
    // thread, so the child may run ordinary code.
    match unsafe { libc::fork() } {
        0 => run(plan, &end),
        ..0 => end.say(&Report::Failed(Failure::of(Step::Fork)(last_errno())), None),
        _ => {}
    }
}

/// The whole life of a minder; it never returns into init's code, not even by panic.
fn run(plan: &LaunchPlan, end: &MinderEnd) -> ! {
    let lived = catch_unwind(AssertUnwindSafe(|| match Minder::start(plan, end) {
        Ok(mut minder) => minder.keep(),
        Err(failure) => end.say(&Report::Failed(failure), None),
    }));
    exit(i32::from(lived.is_err()))
}

struct Minder<'a> {
    end: &'a MinderEnd,
    command: Pid,
    signals: Signals,
    /// Set once nobody wants the command any more: until when it may end by itself.
    hung_up: Option<Instant>,
}

impl<'a> Minder<'a> {
    fn start(plan: &LaunchPlan, end: &'a MinderEnd) -> Result<Self, Failure> {
        // /dev/null is 0 to 2, as in init.
        let keep = vec![end.as_fd().as_raw_fd()];
        close_all_but(keep).map_err(Failure::of(Step::Descriptors))?;
        title::set(c"ten-minder", &format!("ten-minder {}", plan.name));
        set_child_subreaper(Pid::from_raw(1)).map_err(Failure::of(Step::Subreaper))?;
        // What init passes on to all is blocked here: the command hears it from init itself.
        let signals = Signals::take_all().map_err(Failure::of(Step::Signals))?;
        let line = end.take().map_err(Failure::of(Step::Asked))?;
        let (inner, outer) = streams(line.terminal.as_ref())?;
        let command = program::start_command(plan, &line, &inner)?;
        drop(inner);
        end.say(&Report::Started, Some(&outer));
        Ok(Self { end, command, signals, hung_up: None })
    }

    /// Until nothing is left of the command.
    fn keep(&mut self) {
        loop {
            self.wait();
            while self.signals.next().is_some() {}
            if let Some(status) = reap(self.command) {
                clear();
                return self.end.say(&Report::Ended(status), None);
            }
            match self.hung_up {
                Some(until) if until <= Instant::now() => return clear(),
                Some(_) => {}
                None if self.end.is_alone() => {
                    descendants::signal_all(libc::SIGHUP);
                    self.hung_up = Some(Instant::now() + HANGUP_PATIENCE);
                }
                None => {}
            }
        }
    }

    /// Waits for a child's end, for the asker's, or until patience is over.
    fn wait(&self) {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let left = self.hung_up.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_none() {
            fds.push(PollFd::new(self.end, PollFlags::IN));
        }
        let left = left.map(|left| Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        });
        // All signals are blocked, so this cannot be interrupted; whatever it says, all is
        // looked at.
        let _ = poll(&mut fds, left.as_ref());
    }
}

/// The ends of its streams that a command gets; blocking, as programs expect them.
pub(crate) enum Inner {
    Terminal(OwnedFd),
    Pipes([OwnedFd; 3]),
}

impl Inner {
    pub(crate) fn streams(&self) -> [RawFd; 3] {
        match self {
            Self::Terminal(terminal) => [terminal.as_raw_fd(); 3],
            Self::Pipes(pipes) => pipes.each_ref().map(AsRawFd::as_raw_fd),
        }
    }

    pub(crate) fn terminal(&self) -> Option<&OwnedFd> {
        match self {
            Self::Terminal(terminal) => Some(terminal),
            Self::Pipes(_) => None,
        }
    }
}

fn streams(terminal: Option<&Terminal>) -> Result<(Inner, Streams), Failure> {
    if let Some(terminal) = terminal {
        return pair(terminal).map_err(Failure::on(Step::Terminal, Path::new("/dev/ptmx")));
    }
    let pipes = || {
        let [stdin, stdout, stderr] = [
            pipe_with(PipeFlags::CLOEXEC)?,
            pipe_with(PipeFlags::CLOEXEC)?,
            pipe_with(PipeFlags::CLOEXEC)?,
        ];
        let inner = Inner::Pipes([stdin.0, stdout.1, stderr.1]);
        let (stdin, stdout, stderr) = (stdin.1, stdout.0, stderr.0);
        for outer in [&stdin, &stdout, &stderr] {
            ioctl_fionbio(outer, true)?;
        }
        Ok((inner, Streams::Pipes { stdin, stdout, stderr }))
    };
    pipes().map_err(Failure::of(Step::Pipes))
}

/// A terminal of the tree's own /dev/pts. Its name is not used: nobody inside can put another
/// in its place.
fn pair(terminal: &Terminal) -> Result<(Inner, Streams), Errno> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    let size =
        Winsize { ws_row: terminal.rows, ws_col: terminal.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size)?;
    ioctl_fionbio(&master, true)?;
    Ok((Inner::Terminal(slave), Streams::Terminal(master)))
}
