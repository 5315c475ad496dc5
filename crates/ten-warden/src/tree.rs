//! One process tree, from its plan until nothing of it is left.
//!
//! ```text
//!             Started             init has gone        empty, traces removed
//! launching ──────────► running ───────────────► ending ───────────────────► gone
//!  │    └─ Preparing ──►│                          │
//!  └─────────────── Failed, or init has gone ──────┘
//! ```
//!
//! A tree never waits and never talks to the front: it takes what the kernel reports and
//! says what that means.

mod launch;

use std::{
    cell::{OnceCell, RefCell},
    io::{self, ErrorKind},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    rc::Rc,
    time::Instant,
};

use rustix::process::Signal;
use ten_kernel::{
    Blanks, CgroupError, CgroupTree, Child, Door, Failure, KILL_ORDER, LaunchPlan, Leaf, Link,
    Recipe, Report, ReportEnd, SCRATCH_IN_IMAGE, Storage, Watch, discard_bare, reach_socket,
    reach_socket_below,
};

pub(crate) use self::launch::LaunchError;
use crate::{
    ahead::Ahead,
    protocol::{Cgroup, Exit, LaunchId, Runs},
    record::RunDir,
    way_out::WayOut,
};

/// Where trees leave traces, and in which boot.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) folders: RunDir,
    pub(crate) cgroups: Option<CgroupTree>,
    pub(crate) way_out: WayOut,
    /// For the walls of the next tree, by this recipe.
    pub(crate) blanks: Ahead<Blanks>,
    /// That of the last: the next is mostly like it.
    pub(crate) recipe: RefCell<Recipe>,
    pub(crate) boot_id: String,
}

impl Places {
    /// What need not be made for the walls of this plan.
    fn blanks(&self, plan: &LaunchPlan) -> Blanks {
        let recipe = Recipe::of(plan);
        if recipe == Recipe::default() {
            return Blanks::default();
        }
        let made = self.blanks.take().unwrap_or_default();
        // Others would be kept open by its init for nothing.
        match self.recipe.replace(recipe.clone()) == recipe {
            true => made,
            false => Blanks::default(),
        }
    }

    /// When there is something to be made for the next tree.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.way_out.due().into_iter().chain(self.blanks.due()).min()
    }

    /// Makes it.
    pub(crate) fn act(&self, now: Instant) {
        self.way_out.act(now);
        self.blanks.act(now, || Blanks::like(&self.recipe.borrow()));
    }
}

/// Our ends of a tree: what it writes, the way in, and what tells the use of its storage, once
/// its init has limited it.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) door: Door,
    pub(crate) meter: OnceCell<OwnedFd>,
}

/// What a tree has become.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Its data are being moved before the program runs.
    Preparing,
    /// The program runs.
    Started,
    /// Its init has gone.
    InitGone,
}

/// How it ended, once nothing is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It had started.
    Exited(Exit),
    /// It never did.
    Failed(String),
}

#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) launch: LaunchId,
    pub(crate) note: Vec<u8>,
    pub(crate) ends: Rc<Ends>,
    name: String,
    bare: bool,
    scratch: Option<PathBuf>,
    socket: Option<PathBuf>,
    /// What of its data may be in an image; unknown where it was adopted.
    storage: Option<Storage>,
    init: Child,
    report: ReportEnd,
    cgroup: Option<Leaf>,
    cgroup_name: Option<Cgroup>,
    /// Its network, where that leads out; given back with the tree.
    _link: Option<Link>,
    /// There from the moment that init has gone and its cgroup is not empty.
    watch: Option<Watch>,
    /// The main process, once it exists.
    main: Option<u32>,
    /// Whether its data had to be moved before it could start.
    prepares: bool,
    started: bool,
    failure: Option<Failure>,
    status: Option<i32>,
    killed: bool,
    init_gone: bool,
    /// Whether init took all its descendants with it.
    cleared: bool,
    end: Option<End>,
}

impl Tree {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where its Unix socket will be.
    pub(crate) fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Opens its Unix socket for a group. The scratch folder of a tree whose data are in an image
    /// is in there too, where nobody outside sees it, but by the meter.
    pub(crate) fn reach_socket(&self, path: &Path, group: Option<u32>) -> io::Result<OwnedFd> {
        let plainly = reach_socket(path, group);
        let in_scratch = self.scratch.as_ref().and_then(|scratch| path.strip_prefix(scratch).ok());
        match (&plainly, self.ends.meter.get(), in_scratch) {
            (Err(error), Some(meter), Some(rest)) if error.kind() == ErrorKind::NotFound => {
                reach_socket_below(meter, &Path::new(SCRATCH_IN_IMAGE).join(rest), group)
            }
            _ => plainly,
        }
    }

    /// Readable when init ends.
    pub(crate) fn init(&self) -> &Child {
        &self.init
    }

    /// Readable when init has something to say.
    pub(crate) fn report(&self) -> &ReportEnd {
        &self.report
    }

    /// Gets POLLPRI when the cgroup may have become empty.
    pub(crate) fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// The main process of a tree that has started.
    fn pid(&self) -> Option<u32> {
        self.main.filter(|_| self.started)
    }

    /// Whether it is not yet known if it will start, but soon will be.
    pub(crate) fn is_launching(&self) -> bool {
        !self.started && !self.prepares && self.end.is_none()
    }

    /// Whether its data are being moved: it may be long before that is known.
    pub(crate) fn is_preparing(&self) -> bool {
        !self.started && self.prepares && self.end.is_none()
    }

    /// What there is to know of it once it has started.
    pub(crate) fn runs(&self) -> Option<Runs> {
        let limited = self.ends.meter.get().is_some();
        Some(Runs { pid: self.pid()?, cgroup: self.cgroup_name.clone(), limited })
    }

    /// How it ended, if nothing of it is left.
    pub(crate) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Whether it may still have orphans that have become the warden's children.
    pub(crate) fn may_have_orphans(&self) -> bool {
        self.init_gone && self.bare && !self.cleared
    }

    /// Takes what init has to say.
    pub(crate) fn hear(&mut self) -> Option<News> {
        let before = (self.prepares, self.started);
        while let Some(report) = self.report.next() {
            match report {
                Report::Preparing => self.prepares = true,
                Report::Main(pid) => self.main = Some(pid),
                Report::Started => self.started = self.main.is_some(),
                Report::Failed(failure) => self.failure = Some(failure),
                Report::Ended(status) => self.status = Some(status),
                Report::Limited => {
                    // Said once in a life.
                    let _ = self.report.take_meter().map(|meter| self.ends.meter.set(meter));
                }
            }
        }
        match (self.prepares, self.started) {
            now if now == before => None,
            (_, true) => Some(News::Started),
            (_, false) => Some(News::Preparing),
        }
    }

    /// Reaps init if it has ended. The last words of init were heard before.
    pub(crate) fn reap_init(&mut self) -> Option<News> {
        let status = self.init.try_wait().ok()??;
        self.init_gone = true;
        self.cleared = status.exit_status() == Some(0);
        Some(News::InitGone)
    }

    /// Sends a signal to every process. What init must not get is left out: SIGKILL has its
    /// own way, SIGSTOP and SIGCHLD would reach init alone.
    pub(crate) fn signal(&mut self, signal: i32) {
        const UNSENDABLE: [i32; 3] = [Signal::STOP.as_raw(), Signal::CHILD.as_raw(), KILL_ORDER];
        if signal == Signal::KILL.as_raw() {
            return self.kill();
        }
        if UNSENDABLE.contains(&signal) {
            return tracing::warn!(
                tree = self.name,
                signal,
                "this signal cannot be sent to a tree"
            );
        }
        if let Err(error) = self.init.signal(signal) {
            tracing::warn!(tree = self.name, signal, %error, "cannot signal");
        }
    }

    /// Kills every process: by its cgroup, or by ending its PID namespace, or by asking
    /// init, which is the last to go: killed first, it would set its descendants free.
    pub(crate) fn kill(&mut self) {
        self.killed = true;
        if let Some(cgroup) = &self.cgroup {
            match cgroup.kill() {
                Ok(()) => return,
                Err(error) => tracing::warn!(tree = self.name, %error, "cannot kill the cgroup"),
            }
        }
        let killed = match self.bare {
            true => {
                self.init.signal(Signal::CONT.as_raw()).and_then(|()| self.init.signal(KILL_ORDER))
            }
            false => self.init.kill(),
        };
        if let Err(error) = killed {
            tracing::error!(tree = self.name, %error, "cannot kill");
        }
    }

    /// After init has gone: makes sure that nobody is left, then removes all traces.
    /// `orphans` is whether the warden has inherited processes that still live. True once
    /// the tree has ended for good.
    pub(crate) fn settle(&mut self, orphans: bool, places: &Places) -> bool {
        if self.end.is_some() {
            return true;
        }
        if !self.init_gone || self.is_populated() || (orphans && self.may_have_orphans()) {
            return false;
        }
        let out_of_memory = self.ran_out_of_memory();
        self.remove_traces(places);
        self.end = Some(self.how_it_ended(out_of_memory));
        true
    }

    /// Looks into the cgroup, and kills whom init left there: one moved in from elsewhere,
    /// or everyone, where init itself was killed.
    fn is_populated(&mut self) -> bool {
        let Some(cgroup) = &self.cgroup else { return false };
        let looked = (|| {
            let watch = match self.watch.take() {
                Some(watch) => watch,
                None => cgroup.watch()?,
            };
            let populated = self.watch.insert(watch).is_populated()?;
            if populated {
                cgroup.kill()?;
            }
            Ok::<_, CgroupError>(populated)
        })();
        looked.unwrap_or_else(|error| {
            tracing::error!(tree = self.name, %error, "cannot tell whether the cgroup is empty");
            false
        })
    }

    fn ran_out_of_memory(&self) -> bool {
        let Some(cgroup) = &self.cgroup else { return false };
        cgroup.ran_out_of_memory().unwrap_or_else(|error| {
            tracing::warn!(tree = self.name, %error, "cannot tell whether it ran out of memory");
            false
        })
    }

    fn remove_traces(&mut self, places: &Places) {
        self.watch = None;
        if let (Some(meter), Some(storage)) = (self.ends.meter.get(), &self.storage)
            && let Err(error) = discard_bare(meter, storage)
        {
            tracing::warn!(tree = self.name, %error, "cannot tell whether its image is empty");
        }
        if let Some(Err(error)) = self.cgroup.take().map(|cgroup| cgroup.remove()) {
            tracing::error!(tree = self.name, %error, "cannot remove the cgroup");
        }
        let removed =
            places.folders.remove(&self.name, self.scratch.as_deref(), self.socket.as_deref());
        if let Err(error) = removed {
            tracing::error!(tree = self.name, %error, "cannot remove what the tree left");
        }
    }

    /// The kernel kills a tree that is out of memory as a whole, its init included, which
    /// may then say nothing. A main process that ended in another way has dealt with it.
    fn how_it_ended(&self, out_of_memory: bool) -> End {
        if let Some(failure) = &self.failure {
            return End::Failed(failure.to_string());
        }
        if !self.started {
            return End::Failed(match (out_of_memory, self.killed) {
                (true, _) => "it ran out of memory while it was being started".into(),
                (_, true) => "it was killed while it was being started".into(),
                _ => "its init was killed while it was being started".into(),
            });
        }
        let killed = self.status.is_none_or(|s| exit(s) == Exit::Signal(Signal::KILL.as_raw()));
        if out_of_memory && killed {
            return End::Exited(Exit::OutOfMemory);
        }
        End::Exited(match self.status {
            Some(status) => exit(status),
            None if self.killed => Exit::Signal(Signal::KILL.as_raw()),
            None => Exit::Lost,
        })
    }
}

/// A raw wait status as the protocol has it.
fn exit(status: i32) -> Exit {
    match status & 0x7f {
        0 => Exit::Code((status >> 8) & 0xff),
        signal => Exit::Signal(signal),
    }
}
