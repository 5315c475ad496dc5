//! What tenants say: the bytes of their stdout and stderr become lines, which are kept,
//! searched and followed.
//!
//! ```text
//! pipe → record_stream → Framer → Logs::record ─┬→ Ring (the newest lines, bounded)
//!                                               └→ Follower (bounded; gaps are marked)
//! ```
//!
//! Nothing here ever makes a tenant wait: pipes are read at once, and what does not fit is
//! dropped and counted. This crate starts no process, opens no pipe and formats no output.

mod follow;
mod frame;
mod line;
mod logs;
mod query;
mod recorder;
mod ring;

pub use follow::{FOLLOWER_BYTES, Followed, Follower};
pub use frame::{Framer, LINE_BYTES, Piece};
pub use line::{Line, Stream};
pub use logs::Logs;
pub use query::Query;
pub use recorder::record_stream;
pub use ring::{INSTANCE_LINES, RING_BYTES, Usage};
