//! The warden: the parent of every tenant.
pub mod client;
pub mod protocol;
pub use client::{Boot, Event, Living, Output, WardenHandle};
pub use protocol::{Exit, LaunchId, ToFront, ToWarden};
