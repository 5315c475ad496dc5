//! The one task that changes anything: it takes events in, asks the machine of the instance
//! that they concern, and carries out what it answers.
//!
//! ```text
//! requests, operators ──▶ mailbox ─┐
//! probes, leases ───────▶ notices ─┼─▶ event ─▶ Machine::on ─▶ effects ─▶ perform
//! warden ───────────────▶ events ──┤                              │
//! time ─────────────────▶ timers ──┘                              ▼
//!                                       publish, replies, warden, store
//! ```
//!
//! It never waits for anything but the next event: no lock, no reply, no answer of a process
//! or a disk. What may take time is done by tasks that report back with a [`Notice`]. The
//! system calls that it makes itself return at once: looking for a program and a free port
//! before a launch, removing the empty folders of what is forgotten, renaming folders that an
//! operator gives up or brings back.
//!
//! **No request is lost.** After every step (`settle`), an instance that sleeps while a
//! request waits for it is woken, if a request may start it. So a request that came while its
//! instance was going to sleep, was being stopped or restarted, needs no case of its own.

mod data;
mod effects;
mod inbox;

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
};

use ten_domain::{Config, InstanceName, OpenFiles, ServiceName, ServiceSpec, Weight};
use ten_logs::Logs;
use ten_runtime::Ground;
use ten_store::Origin;
use ten_warden::{Event as WardenEvent, LaunchId, Living, WardenHandle};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_stream::StreamExt as _;
use tokio_util::time::DelayQueue;

use crate::{
    Denied, Done,
    admission::{Census, Newcomers},
    commands::Entered,
    data::{Data, Discard, PutBack},
    instance::{Goal, Instance},
    machine::{Event, Machine, Phase, Rules, Then},
    ports::Ports,
    probe::{Found, Reached},
    publish::{Entry, Published, Status},
    queue::{Queue, Waiter},
    scribe::Scribe,
};

/// What requests and operators ask for.
#[derive(Debug)]
pub(crate) enum Command {
    /// A request found no room: no process, a closed gate, or too many before it. `from` is
    /// whose request it is.
    Wake { name: InstanceName, from: IpAddr, waiter: Waiter },
    /// An operator's word about one instance.
    Operate {
        name: InstanceName,
        verb: Verb,
        /// Whether to reply at the end rather than at once.
        wait: bool,
        reply: oneshot::Sender<Result<Done, Denied>>,
    },
    /// An operator wants to run a command in it: replies with the way in, or with `None` where
    /// nothing of it runs.
    Enter { name: InstanceName, reply: oneshot::Sender<Option<Entered>> },
    /// Sets an instance's share.
    SetWeight { name: InstanceName, weight: Weight, reply: oneshot::Sender<Result<Done, Denied>> },
    /// Brings data back to an instance that sleeps.
    Restore { name: InstanceName, back: PutBack, reply: oneshot::Sender<Result<Done, Denied>> },
    /// A request for a service's host found none of its instances running.
    WakeService { service: ServiceName },
    /// Stops everything; replies when nothing is left.
    Shutdown { reply: oneshot::Sender<()> },
}

/// What an operator wants of an instance.
#[derive(Debug)]
pub(crate) enum Verb {
    Spawn {
        env: Vec<(String, String)>,
    },
    /// With the order to give up its data, where that is wanted.
    Stop(Option<Discard>),
    Restart,
    /// A spawn for the sake of a command: its environment stays as it was.
    Enter,
    /// The same.
    Remove(Option<Discard>),
}

/// What the driver's own helpers report. Each instance has at most a few of them under way
/// and one for each of its leases and commands, so their queue needs no bound of its own.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The last lease on a closed gate ended.
    Drained(InstanceName, LaunchId),
    /// A lease on a full gate ended, and somebody waits for one.
    Room(InstanceName, LaunchId),
    /// A command of an operator's ended.
    Left(InstanceName, LaunchId),
    /// The listener accepts here.
    Accepting(InstanceName, LaunchId, Reached),
    /// It can take requests.
    Ready(InstanceName, LaunchId, Option<Found>),
    /// Nobody accepts at its address any more; its gate is closed.
    Unreachable(InstanceName, LaunchId),
    /// It was looked for after `Unreachable`, and accepts again or does not.
    Sought(InstanceName, LaunchId, Option<Reached>),
    /// A health check of a running instance ended.
    Checked(InstanceName, LaunchId, bool),
}

/// What a time was set for.
#[derive(Debug)]
pub(crate) enum Alarm {
    /// What the machine of an instance asked to be told.
    Due(InstanceName),
    /// The first in the queue of an instance may have waited too long, for its turn or for data to
    /// be moved.
    Turn(InstanceName),
}

/// What the driver is born with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) ground: Ground,
    pub(crate) warden: WardenHandle,
    pub(crate) next_launch: LaunchId,
    pub(crate) published: Arc<Published>,
    pub(crate) scribe: Scribe,
    pub(crate) data: Arc<Data>,
    pub(crate) logs: Logs,
    /// How many files the server may have open.
    pub(crate) files: OpenFiles,
}

#[derive(Debug)]
pub(crate) struct Driver {
    parts: Parts,
    /// Most of them sleep. In boxes, because a third of a table and more is empty.
    instances: HashMap<InstanceName, Box<Instance>>,
    /// Which instance a launch belongs to, as long as anything of it is left.
    launches: HashMap<LaunchId, InstanceName>,
    census: Census,
    newcomers: Newcomers,
    ports: Ports,
    timers: DelayQueue<Alarm>,
    notices: mpsc::UnboundedSender<Notice>,
    /// Events that effects gave rise to; taken before anything else.
    pending: VecDeque<(InstanceName, Event)>,
    random: RandomState,
    /// Events so far, so that no two have the same jitter.
    steps: u64,
    /// Set once the server is shutting down: who waits for its end.
    closing: Option<Vec<oneshot::Sender<()>>>,
}

impl Driver {
    /// A driver of what is known, none of which runs.
    pub(crate) fn new(parts: Parts, notices: mpsc::UnboundedSender<Notice>) -> Self {
        let ports = Ports::new(&parts.ground.data_dir);
        let per_minute = parts.config.settings.proxy.max_new_instances_per_ip;
        let known = parts.published.all().len();
        let mut driver = Self {
            instances: HashMap::with_capacity(known),
            launches: HashMap::new(),
            census: Census::new(parts.files),
            parts,
            newcomers: Newcomers::new(per_minute),
            ports,
            timers: DelayQueue::new(),
            notices,
            pending: VecDeque::new(),
            random: RandomState::new(),
            steps: 0,
            closing: None,
        };
        for entry in driver.parts.published.all().values() {
            let Some(spec) = driver.spec(&entry.name) else { continue };
            driver.admit(spec, Arc::clone(entry), false, true);
        }
        for name in driver.parts.config.instances.clone() {
            // Known before the first request can come; spawned once requests can.
            if let Some(spec) = driver.spec(&name).filter(|_| !driver.instances.contains_key(&name))
            {
                driver.create(spec, &name, Weight::FULL, false);
                driver.write_down(&name, Origin::Operator);
            }
        }
        driver
    }

    /// Takes over the processes that an earlier front started.
    pub(crate) fn adopt(&mut self, living: Vec<Living>) {
        living.into_iter().for_each(|living| self.adopt_one(living));
    }

    /// Runs until the warden is gone or everyone who could ask for anything is.
    pub(crate) async fn run(
        mut self,
        mut mailbox: mpsc::Receiver<Command>,
        mut notices: mpsc::UnboundedReceiver<Notice>,
        mut warden: mpsc::Receiver<WardenEvent>,
    ) {
        loop {
            // In this order: what has happened counts before what is wanted, and a notice
            // of a process that the warden has reported dead is then seen to be stale.
            tokio::select! {
                biased;
                event = warden.recv() => match event {
                    Some(event) => self.on_warden(event),
                    None => return,
                },
                Some(notice) = notices.recv() => self.on_notice(notice),
                Some(expired) = self.timers.next(), if !self.timers.is_empty() => {
                    match expired.into_inner() {
                        Alarm::Due(name) => self.on_timer(name),
                        Alarm::Turn(name) => self.on_turn(&name),
                    }
                }
                command = mailbox.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => return,
                },
            }
        }
    }

    fn spec(&self, name: &InstanceName) -> Option<Arc<ServiceSpec>> {
        self.parts.config.services.get(&name.service).cloned()
    }

    fn rules(&self, spec: &ServiceSpec) -> Rules {
        Rules {
            startup_timeout: spec.startup_timeout,
            stop_timeout: spec.stop_timeout,
            restart: spec.restart,
            backoff: self.parts.config.settings.backoff,
            crash_limit: self.parts.config.settings.crash_limit,
        }
    }

    /// Makes an instance known to the driver.
    fn admit(
        &mut self,
        spec: Arc<ServiceSpec>,
        entry: Arc<Entry>,
        provisional: bool,
        stored: bool,
    ) {
        self.census.became_known(&spec.name);
        let machine = Machine::new(self.rules(&spec), provisional);
        let name = entry.name.clone();
        let instance = Instance {
            spec,
            machine,
            entry,
            extra_env: Default::default(),
            folders: Vec::new(),
            stored,
            process: None,
            queue: Queue::default(),
            turn_is_timed: false,
            operators: Vec::new(),
            discards: Vec::new(),
            timer: None,
            last_failure: None,
            last_wake: None,
            storage_told: Arc::default(),
        };
        self.instances.insert(name, Box::new(instance));
    }

    /// Makes an instance known to everyone.
    fn create(
        &mut self,
        spec: Arc<ServiceSpec>,
        name: &InstanceName,
        weight: Weight,
        provisional: bool,
    ) {
        let entry = Entry::new(name.clone(), Status::asleep(weight));
        self.parts.published.insert(Arc::clone(&entry));
        self.admit(spec, entry, provisional, false);
        if weight > Weight::NONE {
            self.parts.published.refresh_pool(&name.service);
        }
    }

    /// Lets one event happen to an instance, and all that follows from it.
    fn step(&mut self, name: &InstanceName, event: Event) {
        self.pending.push_back((name.clone(), event));
        while let Some((name, event)) = self.pending.pop_front() {
            self.steps += 1;
            let jitter = self.random.hash_one(self.steps) as f64 / u64::MAX as f64;
            let Some(instance) = self.instances.get_mut(&name) else { continue };
            let before = instance.machine.phase();
            let effects = instance.machine.on(event, Instant::now().into_std(), jitter);
            let after = instance.machine.phase();
            tracing::debug!(instance = %name, ?event, ?before, ?after);
            for effect in effects {
                self.perform(&name, effect);
            }
            self.tell_log(&name, before, after);
            self.settle(&name);
        }
    }

    /// Shows what has become of an instance, and wakes it where it sleeps while a request waits.
    fn settle(&mut self, name: &InstanceName) {
        self.publish(name);
        let Some(instance) = self.instances.get_mut(name) else { return };
        match instance.machine.phase() {
            Phase::Sleeping | Phase::Gone => {
                if !instance.queue.is_empty() {
                    match self.census.request_starts(&instance.spec) {
                        Ok(()) => self.pending.push_back((name.clone(), Event::Wake)),
                        Err(refusal) => instance.queue.refuse_all(refusal),
                    }
                }
                instance.tell(Goal::Up, || Err(Denied::Superseded(name.clone())));
            }
            Phase::Preparing => self.time_start(name),
            _ => {}
        }
        let gone = |instance: &Instance| instance.machine.phase() == Phase::Gone;
        if self.instances.get(name).is_some_and(|instance| gone(instance)) {
            self.instances.remove(name);
            self.census.was_forgotten(&name.service);
        }
        self.tell_closed();
    }

    /// Says why an instance is not what it should be. The one place where that is said.
    fn tell_log(&self, name: &InstanceName, before: Phase, after: Phase) {
        let Some(instance) = self.instances.get(name).filter(|_| before != after) else { return };
        let why = instance.last_failure.as_deref().unwrap_or("no reason is known");
        let next = instance.timer.as_ref().map(|t| t.due.saturating_duration_since(Instant::now()));
        match (before, after) {
            (_, Phase::Backoff) => {
                let next = next.unwrap_or_default();
                tracing::warn!(instance = %name, ?next, "ended; will be started again: {why}");
            }
            (_, Phase::Failed) => {
                tracing::error!(instance = %name, "given up (max_restarts): {why}");
            }
            (Phase::Starting { .. }, Phase::Preparing) if !instance.is_adopted() => {
                tracing::info!(
                    instance = %name,
                    "moving its data into its image; it starts when that is done",
                );
            }
            (Phase::Preparing, Phase::Starting { .. }) => {
                tracing::info!(instance = %name, "its data are in its image; starting");
            }
            (
                Phase::Starting { .. } | Phase::Preparing,
                Phase::Sleeping | Phase::Gone | Phase::Stopping(Then::Crash),
            ) => {
                tracing::warn!(instance = %name, "did not start: {why}");
            }
            (Phase::Running, Phase::Draining(Then::Crash)) => {
                tracing::warn!(instance = %name, "restarting: {why}");
            }
            (Phase::Running, Phase::Sleeping) => tracing::info!(instance = %name, "{why}"),
            _ => {}
        }
    }

    /// Brings what readers see of an instance up to date.
    fn publish(&self, name: &InstanceName) {
        let Some(instance) = self.instances.get(name) else { return };
        if instance.publish() && instance.entry.status.load().weight > Weight::NONE {
            self.parts.published.refresh_pool(&name.service);
        }
    }

    /// Tells those who wait for the end that nothing is left.
    fn tell_closed(&mut self) {
        if self.closing.is_some() && !self.census.any_process() {
            for reply in self.closing.iter_mut().flat_map(|waiting| waiting.drain(..)) {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(());
            }
        }
    }
}

impl Instance {
    /// Replies to the operators who have this goal.
    fn tell(&mut self, goal: Goal, result: impl Fn() -> Result<Done, Denied>) {
        for operator in self.operators.extract_if(.., |operator| operator.goal == goal) {
            // Whoever asked may have stopped waiting.
            let _ = operator.reply.send(result());
        }
    }
}
