//! An operator's command, in the middle of which a process of ten is killed. What was told to be
//! done is done; else it is done or not, and not by half.

use std::{
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use ten_testkit::{Ten, process, wait_until};

use super::{Model, Random, View};
use crate::service::PATIENCE;

/// The most that a command gets before somebody is killed, in microseconds. Most take less.
const LONGEST: usize = 50_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Stop,
    Remove,
    Restore,
    Spawn,
    Restart,
    Backup,
}

/// The more often, the more likely.
const VERBS: [Verb; 9] = [
    Verb::Stop,
    Verb::Stop,
    Verb::Remove,
    Verb::Restore,
    Verb::Restore,
    Verb::Restore,
    Verb::Spawn,
    Verb::Restart,
    Verb::Backup,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Warden,
    Front,
    Keeper,
}

/// One that is killed again right after its start is not started again at once, but the warden is.
const VICTIMS: [Victim; 4] = [Victim::Warden, Victim::Warden, Victim::Front, Victim::Keeper];

/// What is to happen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Killing {
    verb: Verb,
    victim: Victim,
    after: Duration,
}

impl Killing {
    pub(super) fn any(random: &mut Random) -> Self {
        Self {
            verb: VERBS[random.below(VERBS.len())],
            victim: VICTIMS[random.below(VICTIMS.len())],
            after: Duration::from_micros(random.below(LONGEST) as u64),
        }
    }

    /// Lets it happen, and then tells the model what became of the command. Whether it said that
    /// it was done.
    pub(super) fn happen(
        self,
        id: &'static str,
        ten: &mut Ten,
        model: &mut Model,
        view: View,
        so_far: &str,
    ) -> bool {
        let shelf = tempfile::tempdir_in(ten.data_dir().parent().unwrap()).unwrap();
        let backup = shelf.path().join("a.tar.zst");
        let mut command = self.begin(ten, id, &backup);
        // It may have ended before, as commands do.
        wait_until(self.after, || command.try_wait().unwrap().is_some());
        self.kill(ten);
        let done = command.wait().unwrap().code() == Some(0);
        if matches!(self.victim, Victim::Warden) {
            ten.start();
        }
        settle(ten);
        let after = self.changed(id, model);
        let seen = view.of(ten, &[model, &after]);
        if seen == view.wanted(&after) {
            *model = after;
        } else {
            assert_eq!(seen, view.wanted(model), "by half: {so_far}");
            assert!(!done, "told to be done, and is not: {so_far}");
        }
        if self.verb == Verb::Backup {
            assert_eq!(backup.exists(), done, "half a backup, or none: {so_far}");
        }
        done
    }

    fn begin(self, ten: &Ten, id: &str, backup: &Path) -> Child {
        let mut command = ten.command();
        command.arg(match self.verb {
            Verb::Stop => "stop",
            Verb::Remove => "rm",
            Verb::Restore => "restore",
            Verb::Spawn => "spawn",
            Verb::Restart => "restart",
            Verb::Backup => "backup",
        });
        command.arg(format!("app:{id}"));
        if self.verb == Verb::Backup {
            command.arg(backup);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("ten starts")
    }

    fn kill(self, ten: &mut Ten) {
        let front = || ten.front();
        let old = front();
        match self.victim {
            Victim::Warden => return ten.kill_warden(),
            Victim::Front => ten.signal(old.expect("a front"), Signal::KILL),
            Victim::Keeper => ten.signal(keeper(ten).expect("a keeper"), Signal::KILL),
        }
        ten.wait_until("another front", PATIENCE, || front().is_some_and(|new| Some(new) != old));
    }

    /// What there is to be where the command was carried out.
    fn changed(self, id: &'static str, model: &Model) -> Model {
        let mut after = model.clone();
        match self.verb {
            Verb::Stop | Verb::Remove => after.give_up(id),
            // Where it has data already, it is refused.
            Verb::Restore if !after.live.contains_key(id) => after.bring_back(id),
            Verb::Restore | Verb::Spawn | Verb::Restart | Verb::Backup => {}
        }
        after
    }
}

fn keeper(ten: &Ten) -> Option<u32> {
    let warden = ten.warden();
    let is_it = |p: &process::Process| {
        p.parent == warden && p.argv.iter().any(|arg| arg.starts_with("ten-keeper"))
    };
    process::all().into_iter().find(is_it).map(|keeper| keeper.pid)
}

/// Once it answers to a question about the trash, the next keeper has cleared what the last one left.
fn settle(ten: &Ten) {
    ten.wait_until("it answers again", PATIENCE, || {
        ten.cli(&["restore", "--list"]).code == Some(0)
    });
}
