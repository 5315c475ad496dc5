//! The warden: the parent of every tree of processes, and the keeper of the sockets.
//!
//! ```text
//! Warden::open ── lock, leftovers, sockets
//! Warden::run ─┬─ front (a child, restarted when it dies) ◄── seqpacket ──► client::connect
//!             ├─ keeper (a fork, gone with its front) ◄─── seqpacket ──► keeper::Keeper
//!             └── trees (children: an init each)
//! ```
//!
//! Mechanism only: it does what the front asks and reports what happens. It knows no
//! service, no instance and no policy, parses nothing from a network, and has one thread.
//! What runs elsewhere is the front's end of both: [`client`] and [`Keeper`].

mod ahead;
pub mod client;
mod front;
mod keeper;
mod leftovers;
mod open;
mod planner;
pub mod protocol;
mod record;
mod source;
mod spare;
mod tree;
mod warden;
mod way_out;
mod wire;

pub use client::{Boot, ConnectError, Event, Living, Output, Running, WardenHandle, connect};
pub use front::FrontCommand;
pub use keeper::{Cancel, Keeper, Keeping, Pending};
pub use leftovers::LeftoverError;
pub use open::{OpenError, Options};
pub use planner::{Planned, Planner};
pub use protocol::{Cgroup, Exit, LaunchId, ToFront, ToWarden};
pub use warden::Warden;
pub use way_out::WayOutOptions;
pub use wire::{EncodeError, MESSAGE_MAX, ReceiveError};
