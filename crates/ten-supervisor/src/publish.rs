//! What the driver shows to everybody else. The driver is its only writer; readers never
//! wait for it and it never waits for them.
//!
//! ```text
//! Published ─ entries: name → Entry ─ status       (replaced when something changes)
//!           │                       └ generation   (the process that takes requests now)
//!           └ services: service → Shared ─ pool    (rotation over its running instances)
//!                                        └ known   (how many)
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use ten_domain::{
    Concurrency, Config, InstanceName, Refusal, Rotation, ServiceName, ServiceSpec, State, Weight,
};
use ten_kernel::{Usage, storage_used, usage};
use tokio::time::Instant;

use crate::{InstanceView, Lease, gate::Generation, storage::MIB};

/// The whole fleet, as readers see it.
#[derive(Debug)]
pub(crate) struct Published {
    entries: ArcSwap<HashMap<InstanceName, Arc<Entry>>>,
    services: BTreeMap<ServiceName, Shared>,
}

/// What the instances of one service have in common.
#[derive(Debug)]
struct Shared {
    pool: ArcSwap<Pool>,
    /// How many are known.
    known: AtomicUsize,
}

/// One known instance.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: InstanceName,
    pub(crate) status: ArcSwap<Status>,
    /// The process that takes requests; its gate may be closed already.
    pub(crate) generation: ArcSwapOption<Generation>,
    /// Requests since the server started.
    pub(crate) requests: Arc<AtomicU64>,
    /// Requests that wait for a lease, of those that came when it was known already.
    waiting: AtomicUsize,
}

/// A place among those who wait for an instance; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a Entry);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What can be said of an instance at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) state: State,
    pub(crate) weight: Weight,
    pub(crate) pid: Option<u32>,
    /// Where its process is counted.
    pub(crate) cgroup: Option<PathBuf>,
    /// What tells the use of its storage, where that is limited.
    pub(crate) meter: Option<Arc<OwnedFd>>,
    /// That limit, in MiB.
    pub(crate) storage_limit: Option<u64>,
    pub(crate) launched: Option<Instant>,
    pub(crate) restarts: u32,
    pub(crate) health_failures: u32,
    pub(crate) health_checked: Option<Instant>,
    pub(crate) last_failure: Option<Arc<str>>,
    pub(crate) last_wake: Option<Duration>,
}

impl Status {
    /// Of an instance that has not run since the server started. All of one weight have the same.
    pub(crate) fn asleep(weight: Weight) -> Arc<Self> {
        Arc::new(Self {
            state: State::Sleeping,
            weight,
            pid: None,
            cgroup: None,
            meter: None,
            storage_limit: None,
            launched: None,
            restarts: 0,
            health_failures: 0,
            health_checked: None,
            last_failure: None,
            last_wake: None,
        })
    }
}

/// The instances that share the traffic of one service's own host.
#[derive(Debug)]
pub(crate) struct Pool {
    running: Vec<Arc<Entry>>,
    rotation: Rotation,
    /// Every instance with a share, heaviest first.
    sharing: Vec<Arc<Entry>>,
}

impl Published {
    /// A fleet of `entries`, none of which runs.
    pub(crate) fn new(config: &Config, entries: Vec<Arc<Entry>>) -> Self {
        let shared = |name: &ServiceName| {
            let known = entries.iter().filter(|entry| entry.name.service == *name);
            let pool = ArcSwap::from_pointee(Pool::of(known.clone()));
            (name.clone(), Shared { pool, known: AtomicUsize::new(known.count()) })
        };
        let services = config.services.keys().map(shared).collect();
        let by_name = entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        Self { entries: ArcSwap::from_pointee(by_name), services }
    }

    pub(crate) fn get(&self, name: &InstanceName) -> Option<Arc<Entry>> {
        self.entries.load().get(name).cloned()
    }

    pub(crate) fn all(&self) -> Arc<HashMap<InstanceName, Arc<Entry>>> {
        self.entries.load_full()
    }

    pub(crate) fn pool(&self, service: &ServiceName) -> Option<Arc<Pool>> {
        self.services.get(service).map(|shared| shared.pool.load_full())
    }

    /// Whether as many instances of a service are known as may be.
    pub(crate) fn is_full(&self, spec: &ServiceSpec) -> bool {
        let known = |shared: &Shared| shared.known.load(Ordering::Relaxed);
        self.services.get(&spec.name).is_none_or(|shared| known(shared) >= spec.max_known)
    }

    /// Shows an instance that nobody knew.
    pub(crate) fn insert(&self, entry: Arc<Entry>) {
        if let Some(shared) = self.services.get(&entry.name.service) {
            shared.known.fetch_add(1, Ordering::Relaxed);
        }
        let mut entries = HashMap::clone(&self.entries.load());
        entries.insert(entry.name.clone(), entry);
        self.entries.store(Arc::new(entries));
    }

    /// Shows an instance no more that was shown.
    pub(crate) fn remove(&self, name: &InstanceName) {
        if let Some(shared) = self.services.get(&name.service) {
            shared.known.fetch_sub(1, Ordering::Relaxed);
        }
        let mut entries = HashMap::clone(&self.entries.load());
        entries.remove(name);
        self.entries.store(Arc::new(entries));
    }

    /// Works out who shares a service's traffic. Called when an instance with a share
    /// starts or stops taking requests, and when shares change.
    pub(crate) fn refresh_pool(&self, service: &ServiceName) {
        let Some(shared) = self.services.get(service) else { return };
        let entries = self.entries.load();
        let of_service = entries.values().filter(|entry| entry.name.service == *service);
        shared.pool.store(Arc::new(Pool::of(of_service)));
    }
}

impl Pool {
    /// Of all instances of one service.
    fn of<'a>(instances: impl Iterator<Item = &'a Arc<Entry>>) -> Self {
        // Looked at once each: there may be ten thousand.
        let look = |entry: &'a Arc<Entry>| {
            let status = entry.status.load();
            (status.weight, matches!(status.state, State::Running(_)), entry)
        };
        let mut sharing: Vec<_> =
            instances.map(look).filter(|(weight, ..)| *weight > Weight::NONE).collect();
        sharing.sort_by(|(a, _, this), (b, _, that)| {
            b.cmp(a).then_with(|| this.name.id.cmp(&that.name.id))
        });
        let runs = || sharing.iter().filter(|(_, runs, _)| *runs);
        let weights: Vec<_> = runs().map(|(weight, ..)| *weight).collect();
        Self {
            rotation: Rotation::new(&weights),
            running: runs().map(|(_, _, entry)| Arc::clone(entry)).collect(),
            sharing: sharing.iter().map(|(_, _, entry)| Arc::clone(entry)).collect(),
        }
    }

    /// A lease on the running instance whose turn it is, or on the next that has room.
    pub(crate) fn enter(&self) -> Option<Lease> {
        let (before, from) = self.running.split_at(self.rotation.pick()?);
        from.iter().chain(before).find_map(|entry| entry.enter())
    }

    /// Where to wait when all that run are full. Not whose turn it is: this request has had
    /// its pick, and a second one each time would send all who wait to every other instance.
    pub(crate) fn shortest_queue(&self) -> Option<&Arc<Entry>> {
        self.running.iter().min_by_key(|entry| entry.waiting.load(Ordering::Relaxed))
    }

    /// Whether any takes requests.
    pub(crate) fn runs(&self) -> bool {
        !self.running.is_empty()
    }

    /// Whether a request would find none started, and one to wake.
    pub(crate) fn sleeps(&self) -> bool {
        self.running.is_empty()
            && !self.sharing.is_empty()
            && self.to_wake().all(|entry| entry.sleeps())
    }

    /// The instances to wake where none runs, heaviest first: those that have not failed, or
    /// where all have, all.
    pub(crate) fn to_wake(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let failed = |entry: &&Arc<Entry>| entry.status.load().state == State::Failed;
        let none_left = self.sharing.iter().all(|entry| failed(&entry));
        self.sharing.iter().filter(move |entry| none_left || !failed(entry))
    }
}

impl Entry {
    /// A known instance without a process.
    pub(crate) fn new(name: InstanceName, status: Arc<Status>) -> Arc<Self> {
        Arc::new(Self {
            name,
            status: ArcSwap::new(status),
            generation: ArcSwapOption::empty(),
            requests: Arc::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// A lease on its process, if it has one that takes requests.
    pub(crate) fn enter(&self) -> Option<Lease> {
        self.generation.load().as_ref()?.enter()
    }

    /// A place among those who wait for it. The driver's own limit is the exact one; this
    /// spares the driver a flood that it would only turn down.
    pub(crate) fn wait(&self, concurrency: &Concurrency) -> Result<Place<'_>, Refusal> {
        let most = concurrency.queue_limit + concurrency.max as usize;
        let room = |waiting| (waiting < most).then_some(waiting + 1);
        let counted = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        counted.map(|_| Place(self)).map_err(|_| Refusal::QueueFull)
    }

    pub(crate) fn runs(&self) -> bool {
        matches!(self.status.load().state, State::Running(_))
    }

    pub(crate) fn sleeps(&self) -> bool {
        self.status.load().state == State::Sleeping
    }

    /// What readers are told.
    pub(crate) fn view(&self) -> InstanceView {
        let status = self.status.load_full();
        let running = matches!(status.state, State::Running(_) | State::Draining);
        let generation = self.generation.load_full().filter(|_| running);
        let in_flight = generation.as_ref().map_or(0, |g| g.in_flight());
        InstanceView {
            name: self.name.clone(),
            state: status.state,
            pid: status.pid,
            usage: status.cgroup.as_deref().map_or_else(Usage::default, usage),
            storage: status.meter.as_deref().and_then(|meter| storage_used(meter).ok()),
            storage_limit: status.storage_limit.map(|mb| mb.saturating_mul(MIB)),
            uptime: status.launched.filter(|_| running).map(|at| at.elapsed()),
            idle: generation.as_ref().filter(|_| in_flight == 0).map(|g| g.unused_for()),
            restarts: status.restarts,
            in_flight,
            requests: self.requests.load(Ordering::Relaxed),
            weight: status.weight,
            address: generation.as_ref().map(|g| g.address().clone()),
            health_failures: status.health_failures,
            health_checked: status.health_checked.map(|at| at.elapsed()),
            last_failure: status.last_failure.as_deref().map(str::to_owned),
            last_wake: status.last_wake,
        }
    }
}
