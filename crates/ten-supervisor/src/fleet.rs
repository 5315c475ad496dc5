//! The supervisor's face: what requests, operators and readers call.

mod commands;
mod data;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use ten_domain::{
    Config, InstanceName, Listen, OnDemand, OpenFiles, Refusal, ServiceName, ServiceSpec, Target,
    Weight,
};
use ten_logs::Logs;
use ten_runtime::Ground;
use ten_store::{KnownInstance, Store};
use ten_warden::{Event as WardenEvent, Keeper, LaunchId, Living, WardenHandle};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

pub use self::data::{Ended, Restored};
use crate::{
    Denied, Done, InstanceView, Lease,
    data::Data,
    driver::{Command, Driver, Parts, Verb},
    publish::{Entry, Published, Status},
    queue::Waiter,
    scribe::Scribe,
};

/// Commands and requests on their way to the driver. Past this many, senders wait.
const MAILBOX: usize = 8192;

/// A handle on everything that runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet {
    config: Arc<Config>,
    published: Arc<Published>,
    mailbox: mpsc::Sender<Command>,
    scribe: Scribe,
    data: Arc<Data>,
    keeper: Arc<Keeper>,
}

/// What the fleet begins with.
#[derive(Debug)]
pub struct Beginning {
    /// What is configured.
    pub config: Arc<Config>,
    /// What all launch plans have in common.
    pub ground: Ground,
    /// Who launches.
    pub warden: WardenHandle,
    /// The lowest launch id that was never used.
    pub next_launch: LaunchId,
    /// What runs already.
    pub living: Vec<Living>,
    /// What the store remembers.
    pub known: Vec<KnownInstance>,
    /// Where facts are written.
    pub store: Store,
    /// Who moves data that operators give up.
    pub keeper: Keeper,
    /// Where output goes.
    pub logs: Logs,
    /// For instances and for clients.
    pub files: OpenFiles,
}

/// What the store remembers, as readers see it. What many have in common, they share.
fn asleep(config: &Config, known: Vec<KnownInstance>) -> Vec<Arc<Entry>> {
    let mut looks = BTreeMap::new();
    let entry = |KnownInstance { name, weight, .. }: KnownInstance| {
        // A service that is not configured any more may come back: its instances stay
        // remembered, but nobody can ask for them.
        let (service, _) = config.services.get_key_value(&name.service)?;
        let status = looks.entry(weight).or_insert_with(|| Status::asleep(weight));
        let name = InstanceName::new(service.clone(), name.id);
        Some(Entry::new(name, Arc::clone(status)))
    };
    known.into_iter().filter_map(entry).collect()
}

impl Fleet {
    /// Starts the driver. `events` is what the warden has to say about launches.
    pub fn start(beginning: Beginning, events: mpsc::Receiver<WardenEvent>) -> Self {
        let Beginning { config, ground, warden, next_launch, living, .. } = beginning;
        let Beginning { known, store, keeper, logs, files, .. } = beginning;
        let published = Arc::new(Published::new(&config, asleep(&config, known)));
        let scribe = Scribe::start(store);
        let (mailbox, commands) = mpsc::channel(MAILBOX);
        let (notices, noticed) = mpsc::unbounded_channel();
        let keeper = Arc::new(keeper);
        let data = Data::start(Arc::clone(&keeper), ground.clone(), Arc::clone(&config));
        let parts = Parts {
            config: Arc::clone(&config),
            ground,
            warden,
            next_launch,
            published: Arc::clone(&published),
            scribe: scribe.clone(),
            data: Arc::clone(&data),
            logs,
            files,
        };
        let mut driver = Driver::new(parts, notices);
        driver.adopt(living);
        tokio::spawn(driver.run(commands, noticed, events));
        Self { config, published, mailbox, scribe, data, keeper }
    }

    /// A lease on an instance that runs and has room, at once; `None` where that takes a wait
    /// or a wake.
    pub fn try_lease(&self, target: &Target) -> Option<Lease> {
        match target {
            Target::Instance(name) => self.published.get(name)?.enter(),
            Target::Service(service) => self.published.pool(service)?.enter(),
        }
    }

    /// Leases an instance, waking it where needed. Requests that wait for the same
    /// instance share one start.
    ///
    /// Who finds no room waits in one queue, first come, first served: for its turn at a
    /// running instance for at most `queue_timeout`, for a start for `startup_timeout`, for data to
    /// be moved before it as long again at most, and where the instance is on its way down, for the
    /// time that this may take before. Dropping the future gives the place up. `from` is who asks:
    /// a request that brings an instance into being counts for its address.
    pub async fn lease(&self, target: &Target, from: IpAddr) -> Result<Lease, Refusal> {
        match target {
            Target::Instance(name) => match self.published.get(name) {
                Some(entry) => self.lease_entry(&entry, from).await,
                None => self.wait(name, from).await,
            },
            Target::Service(service) => self.lease_by_weight(service, from).await,
        }
    }

    /// The service of a target, if it has one that listens.
    pub fn service(&self, target: &Target) -> Option<Arc<ServiceSpec>> {
        let name = match target {
            Target::Instance(instance) => &instance.service,
            Target::Service(service) => service,
        };
        self.config.services.get(name).filter(|spec| spec.listen != Listen::None).cloned()
    }

    /// Whether a request for this target would find nothing started, and wake it.
    ///
    /// An instance that nobody knows yet counts where a request may bring it into being;
    /// asking does not.
    pub fn sleeps(&self, target: &Target) -> bool {
        let Some(spec) = self.service(target) else { return false };
        match target {
            _ if spec.on_demand == OnDemand::Off => false,
            Target::Instance(name) => match self.published.get(name) {
                Some(entry) => entry.sleeps(),
                None => spec.on_demand == OnDemand::Any && !self.published.is_full(&spec),
            },
            Target::Service(service) => {
                self.published.pool(service).is_some_and(|pool| pool.sleeps())
            }
        }
    }

    /// Whether an instance of this target runs, though perhaps without room for one more request.
    pub fn runs(&self, target: &Target) -> bool {
        match target {
            Target::Instance(name) => self.published.get(name).is_some_and(|entry| entry.runs()),
            Target::Service(service) => self.published.pool(service).is_some_and(|it| it.runs()),
        }
    }

    async fn lease_entry(&self, entry: &Entry, from: IpAddr) -> Result<Lease, Refusal> {
        if let Some(lease) = entry.enter() {
            return Ok(lease);
        }
        let spec = self.config.services.get(&entry.name.service).ok_or(Refusal::Unknown)?;
        let _place = entry.wait(&spec.concurrency)?;
        self.wait(&entry.name, from).await
    }

    /// A running instance, by weight where there is room. Where none runs, wakes all that
    /// have a share and leases the heaviest.
    async fn lease_by_weight(&self, service: &ServiceName, from: IpAddr) -> Result<Lease, Refusal> {
        let pool = self.published.pool(service).ok_or(Refusal::Unknown)?;
        if let Some(lease) = pool.enter() {
            return Ok(lease);
        }
        if let Some(entry) = pool.shortest_queue() {
            return self.lease_entry(entry, from).await;
        }
        let heaviest = pool.to_wake().next().ok_or(Refusal::Unknown)?;
        // A full mailbox has better things to do than to wake others for later requests.
        let _ = self.mailbox.try_send(Command::WakeService { service: service.clone() });
        self.lease_entry(heaviest, from).await
    }

    /// Waits in the driver's queue, which wakes the instance where needed. How long is the
    /// driver's to say, who knows what is waited for; the bound here is for a driver that is
    /// behind, and for an instance that goes down again and again.
    async fn wait(&self, name: &InstanceName, from: IpAddr) -> Result<Lease, Refusal> {
        let spec = self.config.services.get(&name.service).ok_or(Refusal::Unknown)?;
        if spec.listen == Listen::None {
            return Err(Refusal::Unknown);
        }
        let since = Instant::now();
        // An instance that is on its way down drains, then stops, before it can start.
        let wake = spec.startup_timeout + 2 * spec.stop_timeout + Duration::from_secs(1);
        let patience = since + wake + spec.concurrency.queue_timeout;
        let (reply, lease) = oneshot::channel();
        let waiter = Waiter { since, reply };
        let waited = timeout_at(patience, async {
            let command = Command::Wake { name: name.clone(), from, waiter };
            self.mailbox.send(command).await.map_err(|_| Refusal::ShuttingDown)?;
            lease.await.unwrap_or(Err(Refusal::ShuttingDown))
        });
        let retry_after = self.config.settings.backoff.base;
        waited.await.unwrap_or(Err(Refusal::NotReady { retry_after }))
    }

    /// Every known instance, sorted by name.
    pub fn list(&self) -> Vec<InstanceView> {
        let mut views: Vec<_> = self.published.all().values().map(|entry| entry.view()).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// One instance.
    pub fn get(&self, name: &InstanceName) -> Option<InstanceView> {
        self.published.get(name).map(|entry| entry.view())
    }

    /// Starts an instance, creating it where it is not known. `env` is added to its
    /// environment until it is next spawned. With `wait`, ends when its listener accepts.
    pub async fn spawn(
        &self,
        name: InstanceName,
        env: Vec<(String, String)>,
        wait: bool,
    ) -> Result<Done, Denied> {
        self.operate(name, Verb::Spawn { env }, wait).await
    }

    /// Drains and stops; it is `sleeping` afterwards. Its data stay. Ends when nothing of it is left.
    pub async fn stop(&self, name: InstanceName) -> Result<Done, Denied> {
        self.operate(name, Verb::Stop(None), true).await
    }

    /// Stops and starts again; requests meanwhile wait. Ends when it is ready.
    pub async fn restart(&self, name: InstanceName) -> Result<Done, Denied> {
        self.operate(name, Verb::Restart, true).await
    }

    /// Stops and forgets. Its data stay. Ends when nothing of it is left.
    pub async fn remove(&self, name: InstanceName) -> Result<Done, Denied> {
        self.operate(name, Verb::Remove(None), true).await
    }

    /// Sets its share of its service's traffic. Ends when it is stored.
    pub async fn set_weight(&self, name: InstanceName, weight: Weight) -> Result<Done, Denied> {
        let (reply, done) = oneshot::channel();
        let command = Command::SetWeight { name: name.clone(), weight, reply };
        self.ask(&name, command, done).await
    }

    /// Stops everything, in parallel, refusing requests from now on. Ends when nothing is
    /// left and what is known is written down, or cannot be.
    pub async fn shutdown(&self) {
        let (reply, done) = oneshot::channel();
        // A driver that is gone has nothing left to stop.
        if self.mailbox.send(Command::Shutdown { reply }).await.is_ok() {
            let _ = done.await;
        }
        self.scribe.all_settled().await;
    }

    async fn operate(&self, name: InstanceName, verb: Verb, wait: bool) -> Result<Done, Denied> {
        let (reply, done) = oneshot::channel();
        let command = Command::Operate { name: name.clone(), verb, wait, reply };
        self.ask(&name, command, done).await
    }

    async fn ask(
        &self,
        name: &InstanceName,
        command: Command,
        done: oneshot::Receiver<Result<Done, Denied>>,
    ) -> Result<Done, Denied> {
        if self.needs_room(name, &command) {
            self.scribe.check_room()?;
        }
        self.mailbox.send(command).await.map_err(|_| Denied::ShuttingDown)?;
        let done = done.await.unwrap_or(Err(Denied::ShuttingDown))?;
        self.scribe.settled(name).await?;
        Ok(done)
    }

    /// Whether a command changes what is remembered of an instance, or starts it, which is
    /// written down too. Stopping one that then cannot start again would be half of a restart.
    fn needs_room(&self, name: &InstanceName, command: &Command) -> bool {
        let known = self.published.get(name).is_some();
        match command {
            Command::Operate { verb: Verb::Spawn { .. } | Verb::Enter, .. } => true,
            Command::Restore { .. } => !known,
            Command::Operate { verb: Verb::Remove(_) | Verb::Restart, .. }
            | Command::SetWeight { .. } => known,
            Command::Operate { verb: Verb::Stop(_), .. }
            | Command::Enter { .. }
            | Command::Wake { .. }
            | Command::WakeService { .. }
            | Command::Shutdown { .. } => false,
        }
    }
}
