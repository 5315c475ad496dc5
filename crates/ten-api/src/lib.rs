//! The wire contract of the management API: what travels between `ten` and its server.
//!
//! ```text
//! CLI ─ ten-client ─► JSON of these types ─► ten-server::handlers ─► supervisor
//! ```
//!
//! Only shapes and paths. There are no rules here (what a name may be, what a weight means
//! live in `ten-domain`), no I/O, and no domain type: the contract may stay while the domain
//! moves on. Durations are whole milliseconds and end in `_ms`; moments are RFC 3339 in UTC.

mod data;
mod exec;
mod instance;
mod logs;
pub mod paths;
mod problem;
mod service;

pub use data::{
    BACKUP_FAILURE, Ended, KeepData, Replace, RestoreRequest, Restored, TrashList, Trashed,
};
pub use exec::{
    BadFrame, EXEC_PROTOCOL, ExecEnd, ExecExit, ExecRequest, ExecTerminal, FRAME_MAX, Frame,
    FrameKind, Frames, TerminalSize,
};
pub use instance::{
    Done, Health, HealthReport, Instance, InstanceList, SpawnRequest, State, Weight,
};
pub use logs::{LogLine, LogList, LogQuery, Stream};
pub use problem::{Problem, ProblemType};
pub use service::{ServerHealth, Service, ServiceList};

#[cfg(test)]
mod tests;
