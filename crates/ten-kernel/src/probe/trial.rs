//! A start that does nothing, to learn whether real ones would work: no table of sysctls,
//! kernel versions and security modules knows that as well as the kernel itself.

use std::{
    env, fs,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::{
    failure::{Failure, Step},
    launch::{Given, Launch, launch},
    plan::{LaunchPlan, Limits, Mount, Network, User, Walls},
    report::Report,
    users::is_root,
};

/// A start takes some milliseconds. A machine on which it takes this long has other troubles.
const PATIENCE: Duration = Duration::from_secs(10);

/// The uid of the trial where this process is root: the highest that trees are given, and so the
/// last that one will have.
const STRANGER: u32 = 0x7fff_fffe;

/// Starts this same program with `--version` behind the walls of a level, in this process's own
/// cgroup, and where it is root, as another user. Whatever it says is thrown away, and that the
/// other user may not execute this file is no matter of walls.
///
/// The calling process must have one thread.
pub fn try_walls(network: Network) -> Result<(), Failure> {
    let failed = |why: std::io::Error| {
        Failure::of(Step::Execute)(Errno::from_io_error(&why).unwrap_or(Errno::IO))
    };
    let program = env::current_exe().and_then(fs::canonicalize).map_err(failed)?;
    let null = || fs::File::options().write(true).open("/dev/null").map(OwnedFd::from);
    let (stdout, stderr) = (null().map_err(failed)?, null().map_err(failed)?);
    let shown = Mount::Bind { from: program.clone(), at: program.clone(), writable: false };
    let private = Mount::Private { at: "/tmp".into(), mode: 0o1777 };
    let plan = LaunchPlan {
        name: "trial".into(),
        argv: vec!["ten".into(), "--version".into()],
        program,
        env: Vec::new(),
        workdir: "/".into(),
        folders: Vec::new(),
        scratch: None,
        socket: None,
        activation: false,
        user: match is_root() {
            true => User::Named { uid: STRANGER, gid: STRANGER, groups: Vec::new() },
            false => User::Inherit,
        },
        walls: Walls::Namespaces {
            hostname: "trial".into(),
            network,
            mounts: vec![Mount::Proc, Mount::Sys, Mount::Devices, private, shown],
        },
        limits: Limits::default(),
    };
    let given = Given { cgroup: None, stdout: &stdout, stderr: &stderr, activation: None };
    let tree = launch(&plan, &given)?;
    let started = tree.report.go().map_err(Failure::of(Step::Report)).and_then(|()| outcome(&tree));
    // Its namespace ends with it.
    tree.init.kill().and_then(|()| tree.init.wait()).map_err(Failure::of(Step::Signals))?;
    started
}

/// What is said first: that it was started, or why not.
fn outcome(tree: &Launch) -> Result<(), Failure> {
    let began = Instant::now();
    let silent = |errno| Err(Failure::of(Step::Report)(errno));
    loop {
        match tree.report.next() {
            Some(Report::Started) => return Ok(()),
            Some(Report::Failed(Failure { step: Step::Execute, .. })) => return Ok(()),
            Some(Report::Failed(failure)) => return Err(failure),
            Some(_) => continue,
            None => {}
        }
        let left = PATIENCE.saturating_sub(began.elapsed());
        let Ok(left) = Timespec::try_from(left) else { return silent(Errno::INVAL) };
        let mut news = [PollFd::new(&tree.report, PollFlags::IN)];
        match poll(&mut news, Some(&left)) {
            Ok(0) => return silent(Errno::TIMEDOUT),
            // Its init has gone without a word.
            Ok(_) if !news[0].revents().contains(PollFlags::IN) => return silent(Errno::PIPE),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return silent(errno),
        }
    }
}
