//! What HTTP says, tried against the real `ten`: hostile clients on one side, hostile and
//! ordinary servers on the other, and a parser that forgives nothing in the middle.
//!
//! ```text
//! raw bytes ─▶ ten serve ─▶ echo-backend ─▶ DATA_DIR/connections/N: every byte that came
//!     └────── strict ─────────────┴── strict: how many requests are these bytes?
//! ```
//!
//! Nothing here knows the code of ten, its parsers least of all: what one parser gets wrong,
//! another must be able to see.

pub mod corpus;
mod echo;
mod judge;
pub mod memory;
pub mod processors;
mod programs;
pub mod raw;
pub mod strict;

pub use echo::{Arrival, Echo, HOST};
pub use judge::{Outcome, judge, nothing_else};
pub use programs::{program, python, script, service, venv};
