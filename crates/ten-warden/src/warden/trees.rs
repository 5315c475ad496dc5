//! The trees of a warden: launched, listened to, and brought to their end.

use std::collections::HashSet;

use rustix::{
    event::epoll::{self, EventData, EventFlags},
    process::{Pid, WaitOptions, waitpid},
};
use ten_kernel::{kill_orphan, procfs};

use super::{Warden, introduce_running};
use crate::{
    front::{Beside, Front},
    planner::Planned,
    protocol::{LaunchId, ToFront},
    source::{Part, Source},
    tree::{End, LaunchError, News, Tree},
};

impl Warden {
    pub(super) fn launch(&mut self, launch: LaunchId, order: &[u8], note: Vec<u8>) {
        self.next_launch = self.next_launch.max(LaunchId(launch.0.saturating_add(1)));
        let launched = match self.planner.plan(order) {
            _ if !self.shutdown.leaves_room_for_a_front() => Err(LaunchError::Stopping),
            Err(why) => Err(LaunchError::Plan(why)),
            Ok(planned) => self.carry_out(launch, planned, note),
        };
        let tree = match launched {
            Ok(tree) => tree,
            Err(error) => {
                let (reason, disk_full) =
                    (ten_kernel::with_causes(&error), error.is_for_want_of_room());
                return self.tell(&ToFront::LaunchFailed { launch, reason, disk_full });
            }
        };
        let watched = self
            .listen_to(tree.init(), Source::Tree(launch, Part::Init), EventFlags::IN)
            .and_then(|()| {
                // Edge-triggered: at its end, which may come long before init's, a report is
                // readable for ever.
                let once = EventFlags::IN | EventFlags::ET;
                self.listen_to(tree.report(), Source::Tree(launch, Part::Report), once)
            });
        let tree = self.trees.entry(launch).or_insert(tree);
        if let Err(error) = watched {
            // Nobody will hear of its end: it does not run, and its name stays taken until ten
            // is started again. The kernel refuses this only where it is out of memory.
            tracing::error!(tree = tree.name(), %error, "cannot watch a new tree");
            tree.kill();
        }
    }

    fn carry_out(
        &self,
        launch: LaunchId,
        planned: Planned,
        note: Vec<u8>,
    ) -> Result<Tree, LaunchError> {
        let taken = |tree: &Tree| tree.launch == launch || tree.name() == planned.plan.name;
        match self.trees.values().any(taken) {
            true => Err(LaunchError::Taken { name: planned.plan.name }),
            false => Tree::launch(launch, planned, note, &self.places),
        }
    }

    pub(super) fn on_tree(&mut self, launch: LaunchId, part: Part) {
        let Some(tree) = self.trees.get_mut(&launch) else { return };
        let heard = tree.hear();
        let gone = match part {
            Part::Init => tree.reap_init(),
            Part::Report | Part::Cgroup => None,
        };
        match heard {
            Some(News::Preparing) => self.preparing(launch),
            Some(News::Started) => self.started(launch),
            Some(News::InitGone) | None => {}
        }
        if gone == Some(News::InitGone) {
            // A report's end is always readable: nobody listens to it any more.
            let tree = &self.trees[&launch];
            let _ = epoll::delete(&self.epoll, tree.report());
            let _ = epoll::delete(&self.epoll, tree.init());
        }
        self.settle(launch);
    }

    fn preparing(&mut self, launch: LaunchId) {
        match self.front.as_mut().is_some_and(|front| front.decided(launch)) {
            true => self.try_ready(),
            false => self.tell(&ToFront::Preparing { launch }),
        }
    }

    fn started(&mut self, launch: LaunchId) {
        let (Some(tree), Some(front)) = (self.trees.get(&launch), &mut self.front) else { return };
        let Some(runs) = tree.runs() else { return };
        if !front.is_ready() {
            // Also one that moved data: of those the front has not been told yet.
            front.decided(launch);
            introduce_running(front, tree);
            return self.try_ready();
        }
        let ends = Beside::Ends(tree.ends.clone());
        self.tell_with(&ToFront::Launched { launch, runs }, ends);
    }

    /// Brings to an end what can be brought to an end.
    pub(super) fn settle_all(&mut self) {
        let launches: Vec<_> = self.trees.keys().copied().collect();
        self.places.folders.tend_trash();
        let orphans = self.sweep();
        for launch in launches {
            self.settle_with(launch, orphans);
        }
    }

    fn settle(&mut self, launch: LaunchId) {
        let may = self.trees.get(&launch).is_some_and(Tree::may_have_orphans);
        let orphans = may && self.sweep();
        self.settle_with(launch, orphans);
    }

    fn settle_with(&mut self, launch: LaunchId, orphans: bool) {
        let Some(tree) = self.trees.get_mut(&launch) else { return };
        let watched = tree.watch().is_some();
        if !tree.settle(orphans, &self.places) {
            if let (false, Some(watch)) = (watched, tree.watch()) {
                let data = EventData::new_u64(Source::Tree(launch, Part::Cgroup).number());
                if let Err(error) = epoll::add(&self.epoll, watch, data, EventFlags::PRI) {
                    tracing::error!(%error, "cannot watch a cgroup");
                }
            }
            return;
        }
        self.conclude(launch);
    }

    /// Tells of a tree that has ended and forgets it. Where no front is there to be told,
    /// its end and its unread output are kept for the next, unless there will be none.
    fn conclude(&mut self, launch: LaunchId) {
        let Some(end) = self.trees.get(&launch).and_then(|tree| tree.end().cloned()) else {
            return;
        };
        if let (Some(front), End::Failed(reason)) = (&mut self.front, &end)
            && !front.is_ready()
        {
            front.decided(launch);
            tracing::info!(reason, "a launch of an earlier front failed");
            self.trees.remove(&launch);
            return self.try_ready();
        }
        let ready = self.front.as_ref().is_some_and(Front::is_ready);
        let started = matches!(end, End::Exited(_));
        if !ready && started && self.shutdown.leaves_room_for_a_front() {
            return;
        }
        self.trees.remove(&launch);
        self.tell(&match end {
            End::Exited(exit) => ToFront::Exited { launch, exit },
            End::Failed(reason) => ToFront::LaunchFailed { launch, reason, disk_full: false },
        });
    }

    /// Kills and reaps the children that are neither ours by birth nor were there before us:
    /// orphans of a tree whose init was killed. Whether any is still there.
    fn sweep(&self) -> bool {
        let me = std::process::id();
        let inits = self.trees.values().map(|tree| tree.init().pid());
        let servants = self.front.iter().flat_map(Front::pids);
        let sweeper = self.places.folders.sweeper();
        let own = inits.chain(servants).chain(sweeper);
        let known: HashSet<_> = own.chain(self.strangers.iter().copied()).collect();
        loop {
            let orphans = procfs::children(me).into_iter().filter(|pid| !known.contains(pid));
            let (mut reaped, mut left) = (false, false);
            for pid in orphans {
                kill_orphan(pid);
                match waitpid(Pid::from_raw(pid.cast_signed()), WaitOptions::NOHANG) {
                    Ok(None) => left = true,
                    Ok(Some(_)) => reaped = true,
                    Err(errno) => tracing::debug!(%errno, pid, "not ours to reap"),
                }
            }
            // Who has died has left us its own children, after we were asked for ours.
            if left || !reaped {
                return left;
            }
        }
    }
}
