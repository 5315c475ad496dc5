//! The first process of every tree: it builds the walls, starts the program, passes signals
//! on, reaps, and takes the whole tree with it when the program ends.
//!
//! ```text
//! prepare ──► wait for go ──► start ─► serve ──(program ended)──► clear ──► exit
//! ```
//!
//! It is a fork of its launcher that never executes anything, so it must let go of all it
//! inherited (descriptors, session, signals) and must not be a way back: it is not
//! dumpable, hence nobody inside can trace it or open its executable
//! (/proc/1/exe; CVE-2019-5736). It keeps the tree's output open, so that no reader sees
//! its end before the tree's, and never reads or writes it. It keeps the door (`door.rs`), by
//! which it makes sockets for those outside, and minders for their commands (`minder.rs`); and where
//! the tree's network leads out, the way out (`uplink.rs`).
//!
//! It is one of very many, so it keeps little: once the program is on its way it gives up the heap
//! that it was born with (`heap.rs`), and calls nothing of the C library that allocates.

use std::{
    fs::OpenOptions,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::Mode,
    io::Errno,
    process::{
        DumpableBehavior, Pid, WaitOptions, set_child_subreaper, set_dumpable_behavior, setsid,
        umask, wait,
    },
    thread::set_no_new_privs,
};

use crate::{
    child::last_errno,
    descendants,
    door::Porter,
    failure::{Failure, Step},
    heap,
    identity::Identity,
    launch::{Given, Inherited},
    minder,
    plan::{LaunchPlan, Walls},
    program, quota,
    report::{Report, Reporter},
    signals::{self, Signals},
    title, walls,
};

/// The signal (SIGRTMAX) that tells the init of a bare tree to kill all its descendants.
/// Killing that init itself would set them free.
pub const KILL_ORDER: i32 = 64;

/// Files and folders made inside get these modes and no others taken away.
const UMASK: Mode = Mode::from_raw_mode(0o022);

/// What init needs of the descriptors it was born with.
pub(crate) struct Ends {
    pub(crate) null: OwnedFd,
    pub(crate) stdout: RawFd,
    pub(crate) stderr: RawFd,
    pub(crate) activation: Option<RawFd>,
    /// Answers who asks at the door; gone with the last who could.
    pub(crate) porter: Option<Porter>,
}

/// The whole life of an init. Called in the child of a fork; never returns into the
/// launcher's code, not even by panic.
pub(crate) fn run(
    plan: &LaunchPlan,
    given: &Given<'_>,
    inherited: Inherited,
    reporter: Reporter,
    porter: Porter,
) -> ! {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        match prepare(plan, given, inherited, &reporter, porter) {
            Ok(ends) => serve(plan, ends, &reporter),
            Err(failure) => reporter.say(&Report::Failed(failure)),
        }
    }));
    exit(i32::from(lived.is_err()))
}

/// Ends this process and nothing else: no destructor and no exit handler of the launcher's.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: _exit takes a number and does not return.
    unsafe { libc::_exit(code) }
}

fn prepare(
    plan: &LaunchPlan,
    given: &Given<'_>,
    Inherited { ids, identity, outside }: Inherited,
    reporter: &Reporter,
    porter: Porter,
) -> Result<Ends, Failure> {
    signals::block_all().map_err(Failure::of(Step::Signals))?;
    setsid().map_err(Failure::of(Step::Session))?;
    umask(UMASK);
    let ends = keep_only(given, reporter, porter, outside.as_ref())?;
    title::set(c"ten-init", &format!("ten-init {}", plan.name));
    if plan.walls != Walls::Bare {
        walls::part_mounts()?;
    }
    identity.as_ref().map_or(Ok(()), |identity| identity.refuse_others(plan))?;
    let held = quota::hold(plan, outside.as_ref(), reporter)?;
    identity.as_ref().map_or(Ok(()), |identity| identity.give(plan, given, &held.shown))?;
    if let Some(meter) = &held.meter {
        reporter.hand_over(meter).map_err(Failure::of(Step::Report))?;
    }
    let take_on = || {
        let taken = identity.as_ref().map_or(Ok(()), Identity::take_on);
        taken.map_err(Failure::of(Step::User))
    };
    match &plan.walls {
        Walls::Bare => {
            set_child_subreaper(Pid::from_raw(1)).map_err(Failure::of(Step::Subreaper))?;
            take_on()?;
            set_no_new_privs(true).map_err(Failure::of(Step::NoNewPrivileges))?;
        }
        Walls::Namespaces { hostname, network, mounts } => {
            let network = (*network, given.link);
            let own =
                walls::build(ids, hostname, network, mounts, (&held.shown, given.blanks), take_on)?;
            set_no_new_privs(true).map_err(Failure::of(Step::NoNewPrivileges))?;
            walls::close(network.0, &own, [given.stdout, given.stderr])?;
        }
    }
    // Last: a change of credentials resets it.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(Failure::of(Step::Undumpable))?;
    Ok(ends)
}

/// /dev/null for 0 to 2, and otherwise only what the tree needs.
fn keep_only(
    given: &Given<'_>,
    reporter: &Reporter,
    porter: Porter,
    outside: Option<&OwnedFd>,
) -> Result<Ends, Failure> {
    let null = Path::new("/dev/null");
    let opened = OpenOptions::new().read(true).write(true).open(null);
    let opened = opened.map_err(|why| Errno::from_io_error(&why).unwrap_or(Errno::IO));
    let ends = Ends {
        null: opened.map_err(Failure::on(Step::Descriptors, null))?.into(),
        stdout: given.stdout.as_raw_fd(),
        stderr: given.stderr.as_raw_fd(),
        activation: given.activation.map(AsRawFd::as_raw_fd),
        porter: Some(porter),
    };
    for standard in 0..=2 {
        program::duplicate(ends.null.as_raw_fd(), standard)
            .map_err(Failure::of(Step::Descriptors))?;
    }
    let mut keep =
        vec![ends.null.as_raw_fd(), ends.stdout, ends.stderr, reporter.as_fd().as_raw_fd()];
    keep.extend(ends.activation);
    keep.extend(given.link.iter().flat_map(|link| link.holds()));
    keep.extend(given.blanks.holds());
    keep.extend(outside.map(AsRawFd::as_raw_fd));
    keep.extend(ends.porter.as_ref().map(AsRawFd::as_raw_fd));
    close_all_but(keep).map_err(Failure::of(Step::Descriptors))?;
    Ok(ends)
}

/// Closes all descriptors but the standard ones and these.
pub(crate) fn close_all_but(mut keep: Vec<RawFd>) -> Result<(), Errno> {
    keep.push(RawFd::MAX);
    keep.sort_unstable();
    let mut first = 3;
    for fd in keep {
        close_range(first, fd - 1, 0)?;
        first = fd.saturating_add(1);
    }
    Ok(())
}

/// Closes or marks (`flags`) all descriptors from `first` to `last`, both included.
pub(crate) fn close_range(first: RawFd, last: RawFd, flags: u32) -> Result<(), Errno> {
    if first > last {
        return Ok(());
    }
    // SAFETY: takes no pointers. Called only before execve or _exit with descriptors of one's own,
    // where no owner of a closed one is ever used or dropped again.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Runs the program and outlives it.
fn serve(plan: &LaunchPlan, ends: Ends, reporter: &Reporter) {
    if !reporter.wait() {
        return;
    }
    let mut init = match Init::start(plan, ends, reporter) {
        Ok(init) => init,
        Err(failure) => return reporter.say(&Report::Failed(failure)),
    };
    let status = init.watch();
    reporter.say(&Report::Ended(status));
    // In a PID namespace the kernel kills the rest when its first process exits.
    if init.bare {
        clear();
    }
}

struct Init {
    /// All that is left of its heap.
    plan: LaunchPlan,
    bare: bool,
    program: Pid,
    signals: Signals,
    /// [`KILL_ORDER`], which nobody's flood of others delays.
    orders: Signals,
    /// Held open, see the top.
    ends: Ends,
}

impl Init {
    fn start(plan: &LaunchPlan, ends: Ends, reporter: &Reporter) -> Result<Self, Failure> {
        let signals = Signals::take_all().map_err(Failure::of(Step::Signals))?;
        let orders = Signals::ahead(KILL_ORDER).map_err(Failure::of(Step::Signals))?;
        let program = program::start(plan, &ends, reporter)?;
        reporter.say(&Report::Started);
        let bare = plan.walls == Walls::Bare;
        // Nobody waits for this.
        // SAFETY: this process has one thread. Of what it was born with it uses the plan
        // alone from here on; all else here is descriptors and numbers. No minder starts a
        // thread, and neither calls what allocates in C: `procfs` lists folders without.
        let plan = unsafe { heap::begin_anew(plan) };
        Ok(Self { plan, bare, program, signals, orders, ends })
    }

    /// Until the program has ended; its raw status.
    fn watch(&mut self) -> i32 {
        loop {
            if self.wait() {
                let keep = |end| minder::begin(&self.plan, end);
                self.ends.porter = self.ends.porter.take().filter(|it| it.answer_all(keep));
            }
            // One at a time: those inside can send them faster than they are passed on, and
            // must not keep us from the rest.
            match self.orders.next().or_else(|| self.signals.next()) {
                None | Some(libc::SIGCHLD) => {}
                Some(KILL_ORDER) if self.bare => descendants::kill_all(),
                Some(other) => self.pass_on(other),
            }
            if let Some(status) = reap(self.program) {
                return status;
            }
        }
    }

    /// Waits for a signal, or for somebody at the door. Whether anybody is there.
    fn wait(&self) -> bool {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        fds.extend(self.ends.porter.as_ref().map(|door| PollFd::new(door, PollFlags::IN)));
        // All signals are blocked, so this cannot be interrupted; any other answer is
        // looked at like an event.
        let _ = poll(&mut fds, None);
        fds.get(1).is_some_and(|door| !door.revents().is_empty())
    }

    /// Everyone hears it, and a stopped process is woken so that it can.
    fn pass_on(&self, signal: i32) {
        if self.bare {
            return descendants::signal_all(signal);
        }
        signals::send(-1, signal);
        signals::send(-1, libc::SIGCONT);
    }
}

/// Reaps all who have ended; the status of `main` if it is among them.
pub(crate) fn reap(main: Pid) -> Option<i32> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == main {
            ended = Some(status.as_raw());
        }
    }
    ended
}

/// Kills descendants until there is none. Each death may bring an orphan, so each is
/// followed by another look; waiting fails when there is nobody left to wait for.
pub(crate) fn clear() {
    loop {
        descendants::kill_all();
        if wait(WaitOptions::empty()).is_err() {
            return;
        }
    }
}
