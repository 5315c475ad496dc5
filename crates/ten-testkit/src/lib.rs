//! What black-box tests stand on: a real `ten` in a temporary data dir, tenants that do as
//! they are told, a raw HTTP client, waiters that explain themselves, and the check that
//! nothing is left when a test ends.
//!
//! ```text
//! Ten::with_config(..).start() ── get / burst / cli ──▶ ten serve ──▶ tenant (bin of this crate)
//!       │ stop or drop: leftovers? processes, mounts, cgroups, sockets, ports → the test fails
//! ```
//!
//! Nothing here knows the code of ten: it sees its files, its processes and its sockets, as
//! any user does. It builds nothing either: `ten` and `tenant` must have been built.

mod binaries;
mod certificate;
mod checksum;
mod history;
pub mod http;
mod leftovers;
pub mod probe;
pub mod process;
mod ten;
mod wait;

pub use binaries::{ten_binary, tenant_binary};
pub use certificate::pair;
pub use checksum::Checksum;
pub use http::{Connection, Request, Response};
pub use ten::{Builder, CliOutput, Ten};
pub use wait::wait_until;
