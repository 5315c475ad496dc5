//! What readers see of the fleet, and how commands end.

use std::time::Duration;

use ten_domain::{Address, InstanceName, ServiceName, State, Weight};
use ten_kernel::Usage;

/// One instance, as of one moment.
#[derive(Debug, Clone)]
pub struct InstanceView {
    /// Its name.
    pub name: InstanceName,
    /// Its state.
    pub state: State,
    /// The pid of its main process, while it has one.
    pub pid: Option<u32>,
    /// What its processes use, as far as the host counts it.
    pub usage: Usage,
    /// Bytes that its folders take, while it runs and they are limited.
    pub storage: Option<u64>,
    /// That limit in bytes, if it has one.
    pub storage_limit: Option<u64>,
    /// How long ago its process was launched, while it runs.
    pub uptime: Option<Duration>,
    /// How long it has had no request, while it runs and has none.
    pub idle: Option<Duration>,
    /// Starts after a crash since it was last asked to start.
    pub restarts: u32,
    /// Requests in flight.
    pub in_flight: u64,
    /// Requests since the server started.
    pub requests: u64,
    /// Its share of its service's traffic.
    pub weight: Weight,
    /// Where it is reached, while it runs.
    pub address: Option<Address>,
    /// Failed health checks in a row.
    pub health_failures: u32,
    /// How long ago its health was last checked.
    pub health_checked: Option<Duration>,
    /// How its last process ended, if it did not end because it was told to.
    pub last_failure: Option<String>,
    /// From launch to ready, the last time it woke.
    pub last_wake: Option<Duration>,
}

/// How a command ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It made the difference.
    Did,
    /// It was so already.
    AlreadySo,
}

/// Why a command was not carried out. The text is what the operator reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No such section in the config.
    #[error("no service is called {0:?}")]
    UnknownService(ServiceName),
    /// Neither running nor remembered.
    #[error("no instance is called {0}")]
    UnknownInstance(InstanceName),
    /// `max_instances` is reached.
    #[error("{limit} instances of {service} run already (max_instances)")]
    TooManyRunning {
        /// Of which service.
        service: ServiceName,
        /// The limit.
        limit: usize,
    },
    /// As many run as there are open files for.
    #[error("{limit} instances run already, as many as the limit of open files allows")]
    TooManyFiles {
        /// How many.
        limit: usize,
    },
    /// `max_known` is reached.
    #[error("{limit} instances of {service} are known already (max_known)")]
    TooManyKnown {
        /// Of which service.
        service: ServiceName,
        /// The limit.
        limit: usize,
    },
    /// It was started and did not become ready.
    #[error("{instance} did not start: {reason}")]
    NotStarted {
        /// Which instance.
        instance: InstanceName,
        /// What happened, from the launch error or the last exit.
        reason: String,
    },
    /// Variables were to be added to the environment of a process that has it already.
    #[error("{0} runs already, and a running process keeps its environment")]
    RunsAlready(InstanceName),
    /// Another command on the same instance came in between.
    #[error("{0} was stopped meanwhile")]
    Superseded(InstanceName),
    /// It runs or is about to, and its data must rest.
    #[error("{0} does not sleep")]
    Awake(InstanceName),
    /// Data are to come back where there are others.
    #[error("{0} has data already")]
    HasData(InstanceName),
    /// Nothing of it, or nothing of that time.
    #[error("the trash has no such data of {0}")]
    NotInTrash(InstanceName),
    /// The data of an instance could not be moved.
    #[error("the data of {instance} could not be moved: {reason}")]
    NotMoved {
        /// Which instance.
        instance: InstanceName,
        /// What the kernel says.
        reason: String,
    },
    /// The trash cannot be looked into.
    #[error("the trash cannot be read: {0}")]
    NoTrash(String),
    /// The disk is full, so it was not done.
    #[error("the disk is full: {0}")]
    NoRoom(String),
    /// What must be remembered could not be written down.
    #[error("it is done, but not stored yet: {reason}")]
    NotStored {
        /// What the store says.
        reason: String,
        /// Whether the disk is full.
        full: bool,
    },
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}
