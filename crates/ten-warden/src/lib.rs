//! The warden: the parent of every tree of processes, and the keeper of the sockets.
//!
//! ```text
//! Warden::open ── lock, leftovers, sockets
//! Warden::run ─── front (a child, restarted when it dies) ◄── seqpacket ──► client::connect
//!             └── trees (children: an init each)
//! ```
//!
//! Mechanism only: it does what the front asks and reports what happens. It knows no
//! service, no instance and no policy, parses nothing from a network, and has one thread.
//! The one part that runs elsewhere is [`client`], the front's end.

pub mod client;
mod front;
mod leftovers;
mod open;
pub mod protocol;
mod record;
mod source;
mod spare;
mod tree;
mod warden;
mod wire;

pub use client::{Boot, ConnectError, Event, Living, Output, WardenHandle, connect};
pub use front::FrontCommand;
pub use leftovers::LeftoverError;
pub use open::{OpenError, Options};
pub use protocol::{Cgroup, Exit, LaunchId, ToFront, ToWarden};
pub use warden::Warden;
pub use wire::{EncodeError, MESSAGE_MAX, ReceiveError};
