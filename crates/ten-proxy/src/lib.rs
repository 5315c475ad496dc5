//! The data plane.
mod upstreams;
pub use upstreams::{Lease, Refusal, Slot, Target, Upstreams};
