//! The folders of an instance to a tar.zst, and back.
//!
//! ```text
//! folders ─► walk ─► file, holes left out ─────────┐
//!               └─► SQLite ─ backup API ─► a copy ─┴─► tar ─► zstd ─► writer
//! ```
//!
//! The numbers of the folders are the first part of every path in an archive: `0/app.db`. What
//! is written to while it is read is as long as it was when its turn came; what vanishes
//! meanwhile is not there; a SQLite database is as it was at one moment.
//!
//! Whoever fills the folders may change them at any time. No link is followed, but SQLite opens
//! files by their path: the caller sees to it that this process can reach nothing else. Nothing
//! here knows what an instance is.

mod content;
mod database;
mod missing;
mod pack;
mod unpack;

pub use missing::{Missing, missing};
pub use pack::{PackError, pack};
pub use unpack::{UnpackError, unpack};

#[cfg(test)]
mod tests;
