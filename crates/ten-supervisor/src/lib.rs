//! The policy half of `ten serve`: which instances run, which sleep, which are given up.
//!
//! ```text
//! Fleet (handle) ──mailbox──▶ Driver (one task) ──▶ Machine (a value per instance)
//!    │  ▲                        │
//!    │  └──── Published ◀────────┤ publishes
//!    └─ Lease ── Generation ─────┘ gate: one atomic word
//! ```
//!
//! It decides and never acts on the kernel: processes are the warden's. It knows no HTTP
//! beyond its own health checks, no hostname and no socket that a client could reach.

mod admission;
mod commands;
mod data;
mod driver;
mod fleet;
mod gate;
mod inside;
mod instance;
mod machine;
mod order;
mod ports;
mod probe;
mod publish;
mod queue;
mod scribe;
mod storage;
mod view;

pub use commands::{Inside, NotRun, Outcome, Running};
pub use data::{Import, Reason, Trashed};
pub use fleet::{Beginning, Ended, Fleet, Restored};
pub use gate::Lease;
pub use order::Order;
pub use view::{Denied, Done, InstanceView};

#[cfg(test)]
mod tests;
