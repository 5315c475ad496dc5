//! How much of a connection of HTTP/2 is read before those who take it have their turn.
//!
//! ```text
//! connection's task: begin ─▶ reads ≤ TURN ─▶ others: each stream's task gathers what has come
//!        ▲                                              │
//!        └──────────────────────────────────────────────┘
//! ```
//!
//! A frame that waits in h2 costs some 250 bytes, however few it carries. Each stream's task makes
//! them one piece of memory whenever it has its turn ([`Inbox`](crate::stream::Inbox)); so what
//! they cost is what fits into a turn, and h2 need not count them. It must not, either: frames of
//! a stream that was reset stay in its count for ever (h2 0.4.20), until it closes the connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

/// Bytes that are read in one turn, to within one read.
const TURN: usize = 64 << 10;
/// What a frame counts beside its bytes: h2 keeps the memory that so many of them have ever taken at
/// one time until the connection ends.
const FRAME: usize = 256;

/// For h2, which is to end no connection for small frames of bodies.
pub(crate) const UNCOUNTED: usize = usize::MAX;

/// What was read in this turn. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn(Arc<AtomicUsize>);

impl Turn {
    /// The task that reads is polled anew: the others had their turn.
    pub(crate) fn begin(&self) {
        self.0.store(0, Relaxed);
    }

    /// Ready while more may be read.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.load(Relaxed) < TURN {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// So many bytes were read, with the beginnings of so many frames.
    pub(crate) fn read(&self, bytes: usize, frames: usize) {
        self.0.fetch_add(bytes + frames * FRAME, Relaxed);
    }
}
