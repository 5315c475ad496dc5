//! Small facts that must outlive a restart and a power cut: which instances are known, with
//! which weight, and which tokens are valid. One SQLite file, `ten.db` in the front's folder.
//!
//! ```text
//! Store (any number of clones) ──Request──▶ one thread, one connection ──▶ ten.db
//!        ◀──────── answer, once committed ────────
//! ```
//!
//! This crate knows no states of instances and checks no token: it remembers. Nothing but
//! `rows` knows what a column looks like.

mod error;
mod facts;
mod room;
mod rows;
mod schema;
mod store;

pub use error::StoreError;
pub use facts::{KnownInstance, Origin, Token};
pub use store::{FILE_NAME, Store};
