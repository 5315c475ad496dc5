//! Services, and the server itself.

use serde::{Deserialize, Serialize};

/// One service of the config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub service: String,
    /// What it is for, in its author's words.
    pub description: Option<String>,
    /// The thickness of its walls: `process` or `namespace`.
    pub isolation: String,
    /// Time without a request after which its instances sleep; none: never.
    pub idle_timeout_ms: Option<u64>,
    /// Instances with a process.
    pub running: usize,
    /// Instances known at all.
    pub known: usize,
}

/// Every service of the config, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceList {
    /// The services.
    pub services: Vec<Service>,
}

/// The server says that it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerHealth {
    /// `ok`.
    pub status: String,
    /// Its version.
    pub version: String,
}
