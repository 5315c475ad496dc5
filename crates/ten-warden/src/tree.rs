//! One process tree, from its plan until nothing of it is left.
//!
//! ```text
//!             Started             init has gone        empty, traces removed
//! launching ──────────► running ───────────────► ending ───────────────────► gone
//!     └──────────── Failed, or init has gone ──────┘
//! ```
//!
//! A tree never waits and never talks to the front: it takes what the kernel reports and
//! says what that means.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::process::Signal;
use ten_kernel::{
    CgroupError, CgroupTree, Child, Failure, Fifo, Given, KILL_ORDER, LaunchPlan, Leaf, Report,
    ReportEnd, Walls, Watch, launch, listen_unix, make_fifo, procfs, remove_socket,
};

use crate::{
    protocol::{Exit, LaunchId},
    record::{Record, RunDir, make_private_folder, remove_folder},
};

/// A tree's name is part of file names, which end at 255 bytes (NAME_MAX).
const NAME_MAX: usize = 200;

/// Why a tree cannot be launched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error(
        "{name:?} cannot name a tree: it must be one path component of at most {NAME_MAX} bytes"
    )]
    Name { name: String },
    #[error("a tree named {name} is still there")]
    Taken { name: String },
    #[error("ten is stopping")]
    Stopping,
    #[error("cannot prepare {path}")]
    Path { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Kernel(#[from] Failure),
    #[error("its init ended before it could be recorded")]
    InitEnded,
    #[error("its init did not hear that it may start")]
    Go(#[source] rustix::io::Errno),
}

/// Where trees leave traces, and in which boot.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) folders: RunDir,
    pub(crate) cgroups: Option<CgroupTree>,
    pub(crate) boot_id: String,
}

/// The read ends of a tree's output.
#[derive(Debug)]
pub(crate) struct ReadEnds {
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// What a tree has become.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
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
    pub(crate) output: Rc<ReadEnds>,
    name: String,
    bare: bool,
    scratch: Option<PathBuf>,
    socket: Option<PathBuf>,
    init: Child,
    report: ReportEnd,
    cgroup: Option<Leaf>,
    /// There from the moment that init has gone and its cgroup is not empty.
    watch: Option<Watch>,
    /// The main process, once it exists.
    main: Option<u32>,
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
    /// Prepares everything that the plan names, starts the tree and puts it on record. What
    /// was prepared for one that cannot start is removed again.
    pub(crate) fn launch(
        launch: LaunchId,
        plan: &LaunchPlan,
        note: Vec<u8>,
        places: &Places,
    ) -> Result<Self, LaunchError> {
        let path = Path::new(&plan.name);
        let is_component =
            path.components().count() == 1 && path.file_name() == Some(path.as_os_str());
        if !is_component || plan.name.len() > NAME_MAX || plan.name.contains('\0') {
            return Err(LaunchError::Name { name: plan.name.clone() });
        }
        let launched = Self::start(launch, plan, note, places);
        if launched.is_err() {
            let scratch = plan.scratch.as_deref();
            if let Err(error) = places.folders.remove(&plan.name, scratch, plan.socket.as_deref()) {
                tracing::warn!(tree = plan.name, %error, "cannot remove what was prepared");
            }
        }
        launched
    }

    fn start(
        launch: LaunchId,
        plan: &LaunchPlan,
        note: Vec<u8>,
        places: &Places,
    ) -> Result<Self, LaunchError> {
        prepare_folders(plan)?;
        let [stdout, stderr] = places.folders.pipes(&plan.name);
        let stdout = make_fifo(&stdout).map_err(on(&stdout))?;
        let stderr = make_fifo(&stderr).map_err(on(&stderr))?;
        let activation = activation(plan)?;
        let cgroup = places.cgroups.as_ref().map(|tree| tree.leaf(&plan.name)).transpose()?;
        let begun = begin(plan, places, cgroup.as_ref(), activation.as_ref(), [&stdout, &stderr]);
        if begun.is_err()
            && let Some(Err(error)) = cgroup.as_ref().map(Leaf::remove)
        {
            tracing::warn!(tree = plan.name, %error, "cannot remove an unused cgroup");
        }
        let (init, report) = begun?;
        Ok(Self {
            launch,
            note,
            output: Rc::new(ReadEnds { stdout: stdout.reader, stderr: stderr.reader }),
            name: plan.name.clone(),
            bare: plan.walls == Walls::Bare,
            scratch: plan.scratch.clone(),
            socket: plan.socket.clone(),
            init,
            report,
            cgroup,
            watch: None,
            main: None,
            started: false,
            failure: None,
            status: None,
            killed: false,
            init_gone: false,
            cleared: false,
            end: None,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
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
    pub(crate) fn pid(&self) -> Option<u32> {
        self.main.filter(|_| self.started)
    }

    /// Whether it is not yet known if it will start.
    pub(crate) fn is_launching(&self) -> bool {
        !self.started && self.end.is_none()
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
        let before = self.started;
        while let Some(report) = self.report.next() {
            match report {
                Report::Main(pid) => self.main = Some(pid),
                Report::Started => self.started = self.main.is_some(),
                Report::Failed(failure) => self.failure = Some(failure),
                Report::Ended(status) => self.status = Some(status),
            }
        }
        (self.started && !before).then_some(News::Started)
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
        self.remove_traces(places);
        self.end = Some(self.how_it_ended());
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

    fn remove_traces(&mut self, places: &Places) {
        self.watch = None;
        if let Some(Err(error)) = self.cgroup.take().map(|cgroup| cgroup.remove()) {
            tracing::error!(tree = self.name, %error, "cannot remove the cgroup");
        }
        let removed =
            places.folders.remove(&self.name, self.scratch.as_deref(), self.socket.as_deref());
        if let Err(error) = removed {
            tracing::error!(tree = self.name, %error, "cannot remove what the tree left");
        }
    }

    fn how_it_ended(&self) -> End {
        if let Some(failure) = &self.failure {
            return End::Failed(failure.to_string());
        }
        if !self.started {
            let by = if self.killed { "it" } else { "its init" };
            return End::Failed(format!("{by} was killed while it was being started"));
        }
        End::Exited(match self.status {
            Some(status) => exit(status),
            None if self.killed => Exit::Signal(Signal::KILL.as_raw()),
            None => Exit::Lost,
        })
    }
}

/// Starts init, writes the record, and only then lets the tree run.
fn begin(
    plan: &LaunchPlan,
    places: &Places,
    cgroup: Option<&Leaf>,
    activation: Option<&OwnedFd>,
    [stdout, stderr]: [&Fifo; 2],
) -> Result<(Child, ReportEnd), LaunchError> {
    let given = Given { cgroup, stdout: &stdout.writer, stderr: &stderr.writer, activation };
    let begun = launch(plan, &given)?;
    let recorded = || {
        places
            .folders
            .write(&Record {
                name: plan.name.clone(),
                boot_id: places.boot_id.clone(),
                init: begun.init.pid(),
                start_time: procfs::start_time(begun.init.pid()).ok_or(LaunchError::InitEnded)?,
                bare: plan.walls == Walls::Bare,
                cgroup: cgroup.map(|leaf| leaf.path().into()),
                scratch: plan.scratch.clone(),
                socket: plan.socket.clone(),
            })
            .map_err(on(plan.name.as_ref()))?;
        // An init that failed already has said why; its report is not lost.
        begun.report.go().or_else(|errno| match errno {
            rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET => Ok(()),
            errno => Err(LaunchError::Go(errno)),
        })
    };
    if let Err(error) = recorded() {
        // It runs nothing yet, so there is only init to end, and it ends at once.
        let _ = begun.init.kill();
        let _ = begun.init.wait();
        return Err(error);
    }
    Ok((begun.init, begun.report))
}

fn prepare_folders(plan: &LaunchPlan) -> Result<(), LaunchError> {
    for folder in &plan.folders {
        make_private_folder(folder).map_err(on(folder))?;
    }
    if let Some(scratch) = &plan.scratch {
        remove_folder(scratch).map_err(on(scratch))?;
        make_private_folder(scratch).map_err(on(scratch))?;
    }
    plan.socket.as_deref().map_or(Ok(()), |socket| remove_socket(socket).map_err(on(socket)))
}

fn activation(plan: &LaunchPlan) -> Result<Option<OwnedFd>, LaunchError> {
    let Some(socket) = plan.socket.as_deref().filter(|_| plan.activation) else { return Ok(None) };
    listen_unix(socket).map(Some).map_err(on(socket))
}

fn on(path: &Path) -> impl FnOnce(io::Error) -> LaunchError {
    let path = path.to_path_buf();
    move |source| LaunchError::Path { path, source }
}

/// A raw wait status as the protocol has it.
fn exit(status: i32) -> Exit {
    match status & 0x7f {
        0 => Exit::Code((status >> 8) & 0xff),
        signal => Exit::Signal(signal),
    }
}
