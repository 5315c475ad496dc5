//! Wiring: `ten serve` as two processes, and what each of them is made of.
//!
//! ```text
//! serve ── the warden's process: opens, announces nothing, runs the loop
//! front ── the front's process:  connect → app → until told to stop
//!   app ── store, logs, fleet, proxy, API: put together in one place
//! ```
//!
//! Nothing is decided here. What a part does is in its crate; this one only knows which
//! part is handed to which.

mod admin;
mod app;
mod archive;
pub mod auth;
mod certificates;
pub mod convert;
mod data_dir;
mod exec;
mod front;
pub mod handlers;
mod management;
mod planner;
mod serve;
mod state;
pub mod telemetry;
mod upstreams;

pub use archive::{ARCHIVE_VERB, Archive, Archives, archive};
pub use certificates::{CertificateError, check_certificate};
pub use data_dir::DataDir;
pub use front::{FrontError, front};
pub use serve::{FRONT_VERB, Listen, ServeError, ServeOptions, serve};
pub use ten_kernel::with_causes;
