//! Nouns and rules of tenement: what a service is, what an instance is called, where a
//! request goes, how long a crashed instance waits.
//!
//! Everything here is a value or a function of values. This crate does no I/O, has no
//! clock (time is an argument), knows no async and serialises nothing: wire, file and row
//! shapes live in the crates that speak them.

mod address;
mod backoff;
mod config;
mod health;
mod host;
mod id;
mod layout;
mod open_files;
mod proxy;
mod refusal;
mod rotation;
mod route;
mod service;
mod signal;
mod state;
mod template;

pub use address::Address;
pub use backoff::{Backoff, CrashLimit};
pub use config::{Config, Routing, Settings, TlsSettings};
pub use health::{Health, HealthRun};
pub use host::{Host, HostError};
pub use id::{InstanceId, InstanceName, NameError, ServiceName};
pub use layout::{FolderError, Holder, Layout, LayoutError, LayoutFault, Named, Overlap};
pub use open_files::OpenFiles;
pub use proxy::{AccessLog, ProxySettings};
pub use refusal::{Refusal, Target};
pub use rotation::Rotation;
pub use route::{Route, RouteError, RouteTable};
pub use service::{
    Asleep, AsleepAnswer, Bind, Concurrency, EnvPattern, HealthCheck, Isolation, Listen, Network,
    OnDemand, Protocol, ResourceLimits, RestartPolicy, ServiceSpec, User,
};
pub use signal::StopSignal;
pub use state::{State, Weight};
pub use template::{Template, TemplateError, Variable, Variables};
