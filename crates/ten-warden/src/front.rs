//! The front as the warden sees it: a process that may die at any moment, its keeper, which goes
//! with it, and a connection to it that is never waited for.
//!
//! ```text
//! absent ──spawn──► booting ──every launch of its predecessor decided──► ready
//!    ▲                 │         (failed, running, or moving its data)     │
//!    └──── died ───────┴───────────────────────────────────────────────────┘
//! ```
//!
//! A front that dies young is not started again at once: each time it takes twice as long,
//! up to a limit.

use std::{
    collections::{BTreeSet, VecDeque},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use rustix::{io::Errno, process::WaitIdStatus};
use ten_kernel::{Child, Failure, spawn};

use crate::{
    keeper::{self, Keeping},
    protocol::{LaunchId, ToFront},
    tree::Ends,
    wire,
};

/// A front that lived shorter than this is not restarted at once.
const YOUNG: Duration = Duration::from_secs(1);
/// The first delay, then doubled.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// No delay is longer.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// How to start the front.
#[derive(Debug, Clone)]
pub struct FrontCommand {
    /// The file to execute; `/proc/self/exe` for this same binary, even if its file was
    /// replaced meanwhile.
    pub program: PathBuf,
    /// All its arguments, the zeroth included. It finds its socket as fd 3.
    pub argv: Vec<String>,
}

/// Descriptors that go beside a message.
#[derive(Debug, Clone)]
pub(crate) enum Beside {
    Nothing,
    Ends(Rc<Ends>),
    /// What all fronts get, and the keeper of this one.
    Boot(Rc<Vec<OwnedFd>>, Rc<OwnedFd>),
    Files(Rc<Vec<OwnedFd>>),
}

/// A running front.
#[derive(Debug)]
pub(crate) struct Front {
    child: Child,
    /// How it ended, once it has.
    status: Option<WaitIdStatus>,
    /// Until it has been reaped.
    keeper: Option<Child>,
    socket: OwnedFd,
    born: Instant,
    /// What the socket had no room for.
    queue: VecDeque<(Vec<u8>, Beside)>,
    /// Launches of an earlier front that are neither running nor failed nor moving data yet; it can
    /// say nothing before it knows of them.
    undecided: Option<BTreeSet<LaunchId>>,
}

impl Front {
    /// Starts one; with it comes the front's end of its keeper.
    pub(crate) fn start(
        command: &FrontCommand,
        keeping: &Keeping,
    ) -> Result<(Self, OwnedFd), Failure> {
        let (ours, theirs) = wire::pair().map_err(|errno| Failure {
            step: ten_kernel::Step::Descriptors,
            errno: errno.raw_os_error(),
            detail: String::new(),
        })?;
        let (keeper, asked) = keeper::start(keeping)?;
        let child = match spawn(&command.program, &command.argv, &theirs) {
            Ok(child) => child,
            Err(failure) => {
                // Nobody will ask it anything; it hears so when `asked` is closed.
                drop(asked);
                let _ = keeper.wait();
                return Err(failure);
            }
        };
        let front = Self {
            child,
            status: None,
            keeper: Some(keeper),
            socket: ours,
            born: Instant::now(),
            queue: VecDeque::new(),
            undecided: Some(BTreeSet::new()),
        };
        Ok((front, asked))
    }

    /// Looks whether it or its keeper has ended, and sees to it that then both do. `forget` is told
    /// of each that has: its pidfd would be readable for ever.
    pub(crate) fn reap(&mut self, forget: impl Fn(&Child)) {
        let ended = |child: &Child| child.try_wait().ok().flatten();
        if self.status.is_none()
            && let Some(status) = ended(&self.child)
        {
            self.status = Some(status);
            forget(&self.child);
            // It must not go on while the next one begins.
            if let Some(Err(error)) = self.keeper.as_ref().map(Child::kill) {
                tracing::error!(%error, "cannot kill the keeper of the data");
            }
        }
        let Some((keeper, status)) = self.keeper.as_ref().and_then(|k| Some((k, ended(k)?))) else {
            return;
        };
        forget(keeper);
        self.keeper = None;
        // One that ends well was let go by a front that is about to end, too.
        if self.status.is_none() && status.exit_status() != Some(0) {
            tracing::error!("the keeper of the data ended; its front goes with it");
            self.kill();
        }
    }

    /// How it ended, once nothing is left of it and its keeper.
    pub(crate) fn ended(&self) -> Option<&WaitIdStatus> {
        self.status.as_ref().filter(|_| self.keeper.is_none())
    }

    /// The processes that are there.
    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        let keeper = self.keeper.as_ref().map(Child::pid);
        [Some(self.child.pid()), keeper].into_iter().flatten()
    }

    pub(crate) fn keeper(&self) -> Option<&Child> {
        self.keeper.as_ref()
    }

    pub(crate) fn child(&self) -> &Child {
        &self.child
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(crate) fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// Whether it knows everything about the present.
    pub(crate) fn is_ready(&self) -> bool {
        self.undecided.is_none()
    }

    /// Makes it wait for a launch to be decided.
    pub(crate) fn await_decision(&mut self, launch: LaunchId) {
        self.undecided.get_or_insert_default().insert(launch);
    }

    /// A launch was decided; whether the front waited for it.
    pub(crate) fn decided(&mut self, launch: LaunchId) -> bool {
        self.undecided.as_mut().is_some_and(|undecided| undecided.remove(&launch))
    }

    /// Whether it is booting, and there is nothing left to wait for.
    pub(crate) fn has_decisions(&self) -> bool {
        self.undecided.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// Ends the boot.
    pub(crate) fn begin(&mut self) {
        self.say(&ToFront::BootDone, Beside::Nothing);
        self.undecided = None;
    }

    /// Sends a message, or queues it behind those that wait.
    pub(crate) fn say(&mut self, message: &ToFront, beside: Beside) {
        match wire::encode(message) {
            Ok(bytes) => {
                self.queue.push_back((bytes, beside));
                self.flush();
            }
            Err(error) => tracing::error!(%error, "cannot tell the front"),
        }
    }

    /// Whether messages wait for it.
    pub(crate) fn is_behind(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn flush(&mut self) {
        while let Some((bytes, beside)) = self.queue.front() {
            let fds: Vec<_> = match beside {
                Beside::Nothing => Vec::new(),
                Beside::Ends(ends) => {
                    let mut fds = vec![ends.stdout.as_fd(), ends.stderr.as_fd(), ends.door.as_fd()];
                    fds.extend(ends.meter.get().map(AsFd::as_fd));
                    fds
                }
                Beside::Files(files) => files.iter().map(AsFd::as_fd).collect(),
                Beside::Boot(fds, keeper) => {
                    fds.iter().chain([&**keeper]).map(AsFd::as_fd).collect()
                }
            };
            match wire::send(&self.socket, bytes, &fds) {
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // A front that hung up will be seen to end.
                Err(Errno::PIPE | Errno::CONNRESET) => return self.queue.clear(),
                Err(error) => {
                    tracing::error!(%error, "a message to the front is lost");
                    self.queue.pop_front();
                }
                Ok(()) => drop(self.queue.pop_front()),
            }
        }
    }

    /// Kills it. Its end is then seen like any other.
    pub(crate) fn kill(&self) {
        if let Err(error) = self.child.kill() {
            tracing::error!(%error, "cannot kill the front");
        }
    }
}

/// How long the next front must wait.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    delay: Duration,
}

impl Restarts {
    /// The delay after a front of this age.
    pub(crate) fn after(&mut self, age: Duration) -> Duration {
        self.delay = match age < YOUNG {
            true => (self.delay * 2).clamp(FIRST_DELAY, LONGEST_DELAY),
            false => Duration::ZERO,
        };
        self.delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_young_wait() {
        let mut restarts = Restarts::default();
        let young = |restarts: &mut Restarts| restarts.after(Duration::from_millis(5)).as_millis();
        assert_eq!(
            [(); 8].map(|()| young(&mut restarts)),
            [100, 200, 400, 800, 1600, 3200, 5000, 5000]
        );
        assert_eq!(restarts.after(YOUNG), Duration::ZERO);
        assert_eq!(young(&mut restarts), 100);
    }
}
