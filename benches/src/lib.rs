//! Measurements of ten beside what it is compared with, in one run on one machine.
//!
//! ```text
//! bin/wake ─▶ build ─▶ latency  one wake      ┐   bare      the program, spawned without ten
//!                      herd     1,000 → one   ├─▶ sleeper   the same, woken through ten
//!                      crowd    200 → 200     ┘       └─▶ summary ─▶ report (text, JSON)
//! bin/memory ▶ build ─▶ memory ─▶ fleet (10,000 that sleep, 500 that run) ─▶ resident, usage
//! bin/proxy ─▶ build ─▶ proxy ─▶ peer (ten, nginx, …) ◀─ load (wrk) ─▶ usage ─▶ ratios
//!                                  └──▶ bin/origin, the one upstream of all
//! ```
//!
//! The two sides take turns, so that whatever else the machine does meets both. Nothing here
//! fails because of a time: a machine that is slow today is not a mistake in the code.

pub mod build;
pub mod machine;
pub mod memory;
pub mod own_network;
pub mod proxy;
pub mod report;
pub mod summary;
pub mod wake;

mod admin;
mod at_once;
mod bare;
mod exchange;
mod failure;
mod load;
mod peer;
mod program;
mod resident;
mod sleeper;
mod usage;

pub use failure::{Failure, exit};
