//! What the driver keeps of one instance: its machine, its process, and who waits for it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use ten_domain::{Health, HealthRun, InstanceName, ServiceSpec, State};
use ten_kernel::Door;
use ten_runtime::Listener;
use ten_warden::{Cgroup, LaunchId};
use tokio::{
    sync::{oneshot, watch},
    task::AbortHandle,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, time::delay_queue};

use crate::{
    Denied, Done,
    data::Discard,
    gate::Generation,
    machine::{Machine, Phase},
    publish::{Entry, Status},
    queue::Queue,
};

/// One known instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) spec: Arc<ServiceSpec>,
    pub(crate) machine: Machine,
    pub(crate) entry: Arc<Entry>,
    /// What an operator added to its environment with its last spawn.
    pub(crate) extra_env: BTreeMap<String, String>,
    /// Its folders below the data folder, as of its last start.
    pub(crate) folders: Vec<PathBuf>,
    /// Whether it is written down in the store.
    pub(crate) stored: bool,
    /// Few of those known have one, and it is large.
    pub(crate) process: Option<Box<Process>>,
    pub(crate) queue: Queue,
    /// Whether a time is set at which the first in the queue has waited too long.
    pub(crate) turn_is_timed: bool,
    pub(crate) operators: Vec<Operator>,
    /// Orders to give up its data, for when nothing of it runs.
    pub(crate) discards: Vec<Discard>,
    pub(crate) timer: Option<Timer>,
    pub(crate) last_failure: Option<Arc<str>>,
    pub(crate) last_wake: Option<Duration>,
    /// Whether the log has been told of its storage what there is to tell.
    pub(crate) storage_told: Arc<AtomicBool>,
}

/// A process of an instance, from the decision to launch it until nothing is left of it.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) launch: LaunchId,
    /// The host's port that it was given.
    pub(crate) port: Option<u16>,
    pub(crate) listener: Listener,
    /// Its Unix socket, as the warden found it last.
    pub(crate) socket: watch::Sender<Option<Arc<OwnedFd>>>,
    pub(crate) launched: Instant,
    pub(crate) pid: Option<u32>,
    /// Its cgroup, where it has one: by its number a listener is known to be its own.
    pub(crate) cgroup: Option<Cgroup>,
    /// The way in, from the moment it runs.
    pub(crate) door: Option<Arc<Door>>,
    /// Commands of operators in it.
    pub(crate) commands: Commands,
    /// What tells the use of its storage, where that is limited.
    pub(crate) meter: Option<Arc<OwnedFd>>,
    /// Tells the log when its storage is nearly full.
    pub(crate) storage_watch: Option<Watch>,
    /// From the moment it is ready; a worker has none.
    pub(crate) generation: Option<Arc<Generation>>,
    /// Finds out whether it is ready, then whether it is healthy.
    pub(crate) watch: Option<Watch>,
    /// Finds out whether it accepts again, after a request found that it did not.
    pub(crate) seek: Option<Watch>,
    pub(crate) health: HealthRun,
    pub(crate) health_checked: Option<Instant>,
    /// An earlier front launched it.
    pub(crate) adopted: bool,
    /// It took longer than `startup_timeout` to become healthy, and has not been since.
    pub(crate) never_healthy: bool,
    /// Cancelled when nothing is left of it, so that its output is read to the end.
    pub(crate) ended: CancellationToken,
}

impl Process {
    /// A process of which nothing is known yet but that it is being launched.
    pub(crate) fn new(launch: LaunchId, port: Option<u16>, listener: Listener) -> Self {
        Self {
            launch,
            port,
            listener,
            socket: watch::Sender::new(None),
            launched: Instant::now(),
            pid: None,
            cgroup: None,
            door: None,
            commands: Commands::default(),
            meter: None,
            storage_watch: None,
            generation: None,
            watch: None,
            seek: None,
            health: HealthRun::default(),
            health_checked: None,
            adopted: false,
            never_healthy: false,
            ended: CancellationToken::new(),
        }
    }
}

impl Process {
    /// The way into its network, where that is its own: whoever listens on the host has been
    /// given a port of the host's.
    pub(crate) fn own_network(&self) -> Option<&Arc<Door>> {
        self.door.as_ref().filter(|_| self.port.is_none())
    }

    /// For how long nobody has used it, neither a request nor a command; zero where somebody
    /// does.
    pub(crate) fn unused_for(&self, generation: &Generation) -> Duration {
        let since = self.commands.last_end.map(|ended| ended.elapsed());
        match self.commands.running {
            0 => since.unwrap_or(Duration::MAX).min(generation.unused_for()),
            _ => Duration::ZERO,
        }
    }
}

/// The commands of operators in a process: they keep it awake, and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    pub(crate) running: usize,
    /// When the last one ended.
    pub(crate) last_end: Option<Instant>,
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(crate) struct Watch(pub(crate) AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An operator who waits for a command's end.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) goal: Goal,
    pub(crate) reply: oneshot::Sender<Result<Done, Denied>>,
}

/// What an operator waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Its listener accepts.
    Up,
    /// Nothing is left of its process.
    Down,
}

/// What is armed for an instance.
#[derive(Debug)]
pub(crate) struct Timer {
    pub(crate) key: delay_queue::Key,
    pub(crate) due: Instant,
}

impl Instance {
    /// Whether this is the process that it has now. What is said of an earlier one comes too late.
    pub(crate) fn runs(&self, launch: LaunchId) -> bool {
        self.process.as_ref().is_some_and(|process| process.launch == launch)
    }

    /// Whether an earlier front launched the process that it has now.
    pub(crate) fn is_adopted(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.adopted)
    }

    pub(crate) fn generation(&self) -> Option<&Arc<Generation>> {
        self.process.as_ref().and_then(|process| process.generation.as_ref())
    }

    /// How many may wait for it now. While nobody is let in, that is also all whom it would
    /// serve at one time if it ran: no request is turned down because it slept or died.
    pub(crate) fn places(&self) -> usize {
        let concurrency = self.spec.concurrency;
        let runs = self.machine.phase() == Phase::Running;
        let lets_in = runs && self.generation().is_some_and(|generation| generation.is_open());
        concurrency.queue_limit + if lets_in { 0 } else { concurrency.max as usize }
    }

    /// Brings what readers see up to date. True where it began or ceased to take requests.
    pub(crate) fn publish(&self) -> bool {
        let process = self.process.as_ref();
        let state = self.state();
        let before = self.entry.status.load();
        let status = Status {
            state,
            weight: before.weight,
            pid: process.and_then(|process| process.pid),
            cgroup: process.and_then(|process| Some(process.cgroup.as_ref()?.path.clone())),
            meter: process.and_then(|process| process.meter.clone()),
            storage_limit: self.spec.limits.storage_quota_mb,
            restarts: self.machine.restarts(),
            health_failures: process.map_or(0, |process| process.health.failures()),
            health_checked: process.and_then(|process| process.health_checked),
            launched: process.map(|process| process.launched),
            last_failure: self.last_failure.clone(),
            last_wake: self.last_wake,
        };
        let runs = |state: State| matches!(state, State::Running(_));
        let changed = runs(before.state) != runs(state);
        self.entry.status.store(Arc::new(status));
        // Between accepting and healthy nobody may pass, whatever its gate says.
        let admitted = matches!(state, State::Running(_) | State::Draining);
        self.entry.generation.store(self.generation().filter(|_| admitted).cloned());
        changed
    }

    fn state(&self) -> State {
        match self.machine.phase() {
            Phase::Sleeping | Phase::Gone => State::Sleeping,
            Phase::Starting { .. } | Phase::Preparing => State::Starting,
            Phase::Running => State::Running(self.health()),
            Phase::Draining(_) => State::Draining,
            Phase::Stopping(_) => State::Stopping,
            Phase::Backoff => State::Backoff,
            Phase::Failed => State::Failed,
        }
    }

    fn health(&self) -> Health {
        match &self.process {
            Some(process) if process.never_healthy => Health::Unhealthy,
            Some(process) => process.health.verdict(),
            None => Health::Unknown,
        }
    }
}

/// A process that an earlier front launched.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) name: InstanceName,
    pub(crate) process: Process,
    pub(crate) extra_env: BTreeMap<String, String>,
}

/// What a later front must know of a process: it travels with the launch as a note that the
/// warden keeps.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    instance: String,
    port: Option<u16>,
    tcp: Option<SocketAddr>,
    unix: Option<PathBuf>,
    /// Milliseconds since boot.
    launched: u64,
    env: BTreeMap<String, String>,
}

impl Note {
    pub(crate) fn of(
        name: &InstanceName,
        port: Option<u16>,
        listener: &Listener,
        env: &BTreeMap<String, String>,
    ) -> Vec<u8> {
        let note = Self {
            instance: name.to_string(),
            port,
            tcp: listener.tcp,
            unix: listener.unix.clone(),
            launched: since_boot().as_millis() as u64,
            env: env.clone(),
        };
        serde_json::to_vec(&note).expect("a note has only texts and numbers")
    }

    /// Reads the note of a launch; `None` where it is not one of ours.
    pub(crate) fn read(launch: LaunchId, bytes: &[u8]) -> Option<Adopted> {
        let note: Self = serde_json::from_slice(bytes).ok()?;
        let listener = Listener { tcp: note.tcp, unix: note.unix };
        let mut process = Process::new(launch, note.port, listener);
        let age = since_boot().saturating_sub(Duration::from_millis(note.launched));
        process.launched = process.launched.checked_sub(age).unwrap_or(process.launched);
        process.adopted = true;
        Some(Adopted { name: note.instance.parse().ok()?, process, extra_env: note.env })
    }
}

/// Time since the machine was started: the clock that all processes share, and that nobody
/// can set (clock_gettime(2), CLOCK_BOOTTIME).
fn since_boot() -> Duration {
    clock_gettime(ClockId::Boottime).try_into().unwrap_or_default()
}
