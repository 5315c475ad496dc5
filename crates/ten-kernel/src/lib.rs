//! Linux, for tenement.
mod plan;
pub use plan::{LaunchPlan, Mount, Walls};
