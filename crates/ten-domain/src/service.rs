//! What a service is: the meaning of one `[service.NAME]` section.

mod requests;

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

pub use requests::{Asleep, AsleepAnswer, Concurrency, OnDemand, Protocol};

use crate::{ServiceName, StopSignal, Template};

/// A service: the template of which instances are copies. Every default is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Its name.
    pub name: ServiceName,
    /// What it is for, in its author's words.
    pub description: Option<String>,
    /// The program and its arguments; never empty. The program is looked up in the
    /// instance's PATH where it has no slash, else taken from the workdir.
    pub argv: Vec<Template>,
    /// The folder the program starts in. Relative results are taken from the config's folder.
    pub workdir: Template,
    /// The path of its Unix socket.
    pub socket: Template,
    /// `[service.X.env]` and `env_file`, in that order of precedence, sorted by name.
    pub env: Vec<(String, Template)>,
    /// Variables of ten's own environment that are passed on besides the usual ones.
    pub env_pass: Vec<EnvPattern>,
    /// How its health is checked; `None`: ready means that the listener accepts.
    pub health: Option<HealthCheck>,
    /// How long a start may take until it must accept.
    pub startup_timeout: Duration,
    /// Time without a request after which it sleeps; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// What follows an exit that nobody asked for.
    pub restart: RestartPolicy,
    /// The thickness of its walls.
    pub isolation: Isolation,
    /// Which network it sees.
    pub network: Network,
    /// Where it listens.
    pub listen: Listen,
    /// What it speaks.
    pub protocol: Protocol,
    /// How many requests it has at one time, and what becomes of more.
    pub concurrency: Concurrency,
    /// Which requests may wake it.
    pub on_demand: OnDemand,
    /// Whether a browser that waits for a wake is shown a page meanwhile.
    pub waking_page: bool,
    /// What is answered in its place while it sleeps.
    pub asleep: Asleep,
    /// Most instances with a process at one time.
    pub max_instances: usize,
    /// Most instances known at all.
    pub max_known: usize,
    /// What asks it to stop.
    pub stop_signal: StopSignal,
    /// How long it may take to stop before its whole tree is killed.
    pub stop_timeout: Duration,
    /// How long it may take to the response head; `None`: as long as it likes.
    pub request_timeout: Option<Duration>,
    /// As whom it runs; `None`: as nobody else where ten is root and there are walls, else
    /// as ten.
    pub user: Option<User>,
    /// More of the host that it sees through its walls.
    pub bind: Vec<Bind>,
    /// What each instance may use of the machine.
    pub limits: ResourceLimits,
    /// Whether its data stay where an operator stops or removes it.
    pub storage_persist: bool,
}

/// What one instance may use of the machine, by cgroup v2 and quotas. `None`: as much as there is.
/// An instance does not start where a limit that the config asks for cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Memory in MiB.
    pub memory_limit_mb: Option<u64>,
    /// Swap in MiB.
    pub memory_swap_max_mb: Option<u64>,
    /// Its share of a busy CPU, 1 to 10,000. Instances without one have 100.
    pub cpu_shares: Option<u16>,
    /// CPU time in percent of one CPU.
    pub cpu_max_percent: Option<u32>,
    /// Processes and threads.
    pub pids_limit: u64,
    /// Whether the config asks for `pids_limit`, or it is the default, which is applied
    /// where the host can.
    pub pids_asked: bool,
    /// Its share of a busy disk, 1 to 10,000. Instances without one have 100.
    pub io_weight: Option<u16>,
    /// Disk space that all its folders take together, in MiB.
    pub storage_quota_mb: Option<u64>,
}

impl ResourceLimits {
    /// Processes and threads of an instance whose service says nothing: far above what a web
    /// app has, far below what a machine with thousands of them can bear.
    pub const PIDS: u64 = 512;

    /// Those of a service that asks for none.
    pub const DEFAULT: Self = Self {
        memory_limit_mb: None,
        memory_swap_max_mb: None,
        cpu_shares: None,
        cpu_max_percent: None,
        pids_limit: Self::PIDS,
        pids_asked: false,
        io_weight: None,
        storage_quota_mb: None,
    };
}

/// As whom an instance runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// As ten itself.
    Inherit,
    /// As a user that nobody else is.
    Dynamic,
    /// As this uid of the host.
    Uid(u32),
    /// As the user of the host that has this name.
    Name(String),
}

impl User {
    /// The uids that ten gives to instances and fronts: nobody else is to have one of them.
    pub const OF_TEN: std::ops::Range<u32> = 0x7000_0000..0x8000_0000;
}

/// A path of the host that an instance sees through its walls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The path, absolute; the same on both sides.
    pub path: PathBuf,
    /// Whether it may be changed, as far as the instance's user is allowed to.
    pub writable: bool,
}

/// Walls, from thin to thick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Its own process group and cgroup; nothing else is promised.
    Process,
    /// Linux namespaces.
    Namespace,
}

impl Isolation {
    /// The word of the lexicon.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Namespace => "namespace",
        }
    }
}

/// Which network an instance sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The host's.
    Host,
    /// One of its own with a way out, but not to the host, nor to other instances.
    Private {
        /// Whom it asks for names; `None`: whom the host asks, as far as it reaches them.
        nameservers: Option<Vec<Ipv4Addr>>,
    },
    /// One of its own that leads nowhere. Only ten reaches it there.
    None,
}

impl Network {
    /// The word of the lexicon.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Private { .. } => "private",
            Self::None => "none",
        }
    }
}

/// When an instance that exited by itself is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Whatever its exit status.
    Always,
    /// When it failed: a signal or a status other than 0.
    OnFailure,
    /// Not by itself; the next request wakes it.
    Never,
}

impl RestartPolicy {
    /// The word of the lexicon.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnFailure => "on-failure",
            Self::Never => "never",
        }
    }
}

/// Where an instance listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Whichever of `PORT` and `SOCKET_PATH` accepts first.
    Auto,
    /// `PORT` on the loopback address.
    Port,
    /// `SOCKET_PATH`.
    Socket,
    /// `SOCKET_PATH`, bound by ten and passed as fd 3 (sd_listen_fds(3)).
    Activation,
    /// Nowhere: a worker. It has no routes, is ready once it runs and is never idle.
    None,
}

impl Listen {
    /// The word of the lexicon.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Port => "port",
            Self::Socket => "socket",
            Self::Activation => "activation",
            Self::None => "none",
        }
    }
}

/// A health check over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The path that must answer 2xx, with its leading slash.
    pub path: String,
    /// Time between checks of a running instance.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
}

/// `NAME` or `PREFIX_*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvPattern {
    /// Exactly this variable.
    Name(String),
    /// Every variable that starts so.
    Prefix(String),
}

impl EnvPattern {
    /// Whether a variable of this name is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

#[cfg(any(test, feature = "testing"))]
impl ServiceSpec {
    /// For tests to which most of it does not matter.
    ///
    /// # Panics
    /// Where `name` is none.
    pub fn plain(name: &str) -> Self {
        use crate::*;

        Self {
            name: name.parse().unwrap(),
            description: None,
            argv: vec![Template::literal("true")],
            workdir: Template::literal("/"),
            socket: Template::literal("/s"),
            env: vec![],
            env_pass: vec![],
            health: None,
            startup_timeout: Duration::from_secs(1),
            idle_timeout: None,
            restart: RestartPolicy::Never,
            isolation: Isolation::Process,
            network: Network::Host,
            listen: Listen::Auto,
            protocol: Protocol::Http1,
            concurrency: Concurrency::DEFAULT,
            on_demand: OnDemand::Any,
            waking_page: false,
            asleep: Asleep::default(),
            max_instances: 1,
            max_known: 1,
            stop_signal: StopSignal::TERM,
            stop_timeout: Duration::from_secs(1),
            request_timeout: None,
            user: None,
            bind: vec![],
            limits: ResourceLimits::DEFAULT,
            storage_persist: false,
        }
    }
}
