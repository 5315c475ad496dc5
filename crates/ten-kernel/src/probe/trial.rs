//! A start that does nothing, to learn whether real ones would work: no table of sysctls,
//! kernel versions and security modules knows that as well as the kernel itself.

use std::{
    env, fs,
    os::fd::OwnedFd,
    panic::catch_unwind,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::{
    cage::{Cage, FRONT_USERS},
    child::{self, fork},
    failure::{Failure, Step},
    init::{self, exit},
    launch::{Given, launch},
    plan::{LaunchPlan, Limits, Mount, Network, User, Walls},
    report::{Report, ReportEnd, Reporter},
    uplink::{self, Link, Uplink},
    users::is_root,
    walls::Blanks,
};

/// A start takes some milliseconds. A machine on which it takes this long has other troubles.
const PATIENCE: Duration = Duration::from_secs(10);

/// The uid of the trial where this process is root: beyond those of trees and fronts.
const STRANGER: u32 = 0x7fff_fffe;

/// Starts this same program with `--version` behind the walls of a level, in this process's own
/// cgroup, and where it is root, as another user. Whatever it says is thrown away, and that the
/// other user may not execute this file is no matter of walls.
///
/// The calling process must have one thread.
pub fn try_walls(network: Network) -> Result<(), Failure> {
    start_and_end(network, None)
}

/// Whether instances could be given a way out: starts the same behind an uplink of its own, all
/// of it in a network beside this one, in which nobody notices.
///
/// The calling process must have one thread.
pub fn try_way_out() -> Result<(), Failure> {
    if !is_root() {
        return Err(Failure::of(Step::Uplink)(Errno::PERM));
    }
    uplink::check_forwarding("")?;
    let (report, reporter) = Reporter::pair().map_err(Failure::of(Step::Report))?;
    let Some(child) = child::fork(libc::CLONE_NEWNET as u64, None)? else {
        let tried = catch_unwind(|| {
            uplink::forward()?;
            let uplink = Uplink::open("ten-trial")?;
            start_and_end(Network::Uplink, Some(&uplink.link()?))
        });
        match tried {
            Ok(Ok(())) => reporter.say(&Report::Started),
            Ok(Err(failure)) => reporter.say(&Report::Failed(failure)),
            Err(_) => {}
        }
        init::exit(0)
    };
    drop(reporter);
    let found = outcome(&report);
    child.kill().and_then(|()| child.wait()).map_err(Failure::of(Step::Signals))?;
    found
}

fn start_and_end(network: Network, link: Option<&Link>) -> Result<(), Failure> {
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
        storage: None,
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
    let (stdout, stderr, blanks) = (&stdout, &stderr, &Blanks::default());
    let given = Given { cgroup: None, stdout, stderr, activation: None, link, blanks };
    let tree = launch(&plan, &given)?;
    let started = go(&tree.report).and_then(|()| outcome(&tree.report));
    // Its namespace ends with it.
    tree.init.kill().and_then(|()| tree.init.wait()).map_err(Failure::of(Step::Signals))?;
    started
}

/// Lets a child of this process enter a front's cage, and end there.
///
/// The calling process must have one thread.
pub fn try_cage() -> Result<(), Failure> {
    let (report, reporter) = Reporter::pair().map_err(Failure::of(Step::Report))?;
    let home = env::temp_dir();
    let cage = Cage { user: FRONT_USERS.end, home, reads: vec!["/proc/self/cgroup".into()] };
    let Some(child) = fork(0, None)? else {
        reporter.say(&match cage.enter() {
            Ok(()) => Report::Started,
            Err(failure) => Report::Failed(failure),
        });
        exit(0);
    };
    drop(reporter);
    let entered = outcome(&report);
    child.wait().map_err(Failure::of(Step::Signals))?;
    entered
}

/// One that has failed already has gone, and left word.
fn go(report: &ReportEnd) -> Result<(), Failure> {
    match report.go() {
        Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
        said => said.map_err(Failure::of(Step::Report)),
    }
}

/// What is said first: that it was started, or why not.
fn outcome(report: &ReportEnd) -> Result<(), Failure> {
    let began = Instant::now();
    let mut ended = false;
    let silent = |errno| Err(Failure::of(Step::Report)(errno));
    loop {
        match report.next() {
            Some(Report::Started) => return Ok(()),
            Some(Report::Failed(Failure { step: Step::Execute, .. })) => return Ok(()),
            Some(Report::Failed(failure)) => return Err(failure),
            Some(_) => continue,
            None if ended => return silent(Errno::PIPE),
            None => {}
        }
        let left = PATIENCE.saturating_sub(began.elapsed());
        let Ok(left) = Timespec::try_from(left) else { return silent(Errno::INVAL) };
        let mut news = [PollFd::new(report, PollFlags::IN)];
        match poll(&mut news, Some(&left)) {
            Ok(0) => return silent(Errno::TIMEDOUT),
            // Its init has gone, perhaps with a last word: what ends is readable, too.
            Ok(_) if news[0].revents().contains(PollFlags::HUP) => ended = true,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return silent(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_that_goes_without_a_word_is_not_waited_for() {
        let (report, reporter) = Reporter::pair().unwrap();
        drop(reporter);
        assert_eq!(outcome(&report), Err(Failure::of(Step::Report)(Errno::PIPE)));
    }

    #[test]
    fn one_that_has_failed_already_is_heard() {
        let (report, reporter) = Reporter::pair().unwrap();
        let failure = Failure::of(Step::MountProc)(Errno::PERM);
        reporter.say(&Report::Failed(failure.clone()));
        drop(reporter);
        assert_eq!(go(&report).and_then(|()| outcome(&report)), Err(failure));
    }
}
