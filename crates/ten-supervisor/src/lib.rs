//! The policy half.
mod fleet;
mod view;
pub use fleet::Fleet;
pub use view::{Denied, Done, InstanceView};
