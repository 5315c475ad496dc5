//! Instances, and what can be asked of them.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// One instance, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its full name, `service:id`.
    pub instance: String,
    /// The service it is a copy of.
    pub service: String,
    /// Which copy.
    pub id: String,
    /// Its state.
    pub state: State,
    /// Its health; `unknown` unless it runs and was checked.
    pub health: Health,
    /// The pid of its main process, while it has one.
    pub pid: Option<u32>,
    /// Bytes of memory that its processes use, page cache included. This and what follows is null
    /// where the host does not count it, and where nothing of the instance runs.
    pub memory_bytes: Option<u64>,
    /// Time that its processes have been on a CPU since they were started.
    pub cpu_ms: Option<u64>,
    /// Bytes that they have read from block devices since then.
    pub io_read_bytes: Option<u64>,
    /// Bytes that they have written to block devices.
    pub io_written_bytes: Option<u64>,
    /// Requests by which they have read.
    pub io_reads: Option<u64>,
    /// Requests by which they have written.
    pub io_writes: Option<u64>,
    /// Processes and threads, as `pids_limit` counts them.
    pub pids: Option<u64>,
    /// Bytes that its folders take, while it runs and they are limited.
    pub storage_bytes: Option<u64>,
    /// That limit, if it has one.
    pub storage_limit_bytes: Option<u64>,
    /// How long it has been ready, while it runs.
    pub uptime_ms: Option<u64>,
    /// How long it has had no request, while it runs and has none.
    pub idle_ms: Option<u64>,
    /// Starts after a crash since it was last asked to start.
    pub restarts: u32,
    /// Requests in flight.
    pub in_flight: u64,
    /// Requests since the server started.
    pub requests: u64,
    /// Its share of its service's traffic, 0 to 100.
    pub weight: u8,
    /// The address that browsers use; none for a worker, which listens nowhere.
    pub url: Option<String>,
    /// Where ten reaches it, while it runs: `127.0.0.1:30000`, `unix:/path`, or
    /// `private:127.0.0.1:30000` in a network of its own.
    pub address: Option<String>,
    /// From launch to ready, the last time it started.
    pub last_wake_ms: Option<u64>,
    /// How its last process ended, where nobody had asked it to.
    pub last_failure: Option<String>,
}

/// Every known instance, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceList {
    /// The instances.
    pub instances: Vec<Instance>,
}

/// The state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Known, no process.
    Sleeping,
    /// Started, not ready yet.
    Starting,
    /// Ready.
    Running,
    /// Crashed; waits for its next start.
    Backoff,
    /// Out of routing; requests in flight are finishing.
    Draining,
    /// Told to stop; its processes have not all gone yet.
    Stopping,
    /// Gave up.
    Failed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sleeping => "sleeping",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Backoff => "backoff",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        })
    }
}

/// The verdict of the health checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It does not run, has no health path, or was not checked yet.
    Unknown,
    /// The last check passed.
    Healthy,
    /// One or two checks failed in a row.
    Degraded,
    /// Three or more checks failed in a row.
    Unhealthy,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// Asks for an instance to be started, and made known where it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpawnRequest {
    /// Of which service. `process` means the same.
    #[serde(alias = "process")]
    pub service: String,
    /// Which copy.
    pub id: String,
    /// Added to its environment until it is next spawned.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Whether the answer comes when its listener accepts (the default), or at once.
    #[serde(default = "yes")]
    pub wait: bool,
}

fn yes() -> bool {
    true
}

/// How a command ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// False where it was so already.
    pub changed: bool,
}

/// Asks for a share of the service's traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// 0 (none) to 100 (full).
    pub weight: u8,
}

/// The health of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// Its full name, `service:id`.
    pub instance: String,
    /// Its state.
    pub state: State,
    /// The verdict.
    pub health: Health,
    /// How long ago it was last checked; none where it never was.
    pub checked_ms: Option<u64>,
    /// Failed checks in a row.
    pub failures: u32,
    /// How its last process ended, where nobody had asked it to.
    pub last_failure: Option<String>,
}
