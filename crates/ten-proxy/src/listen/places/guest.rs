//! A connected client, as far as it matters for making room.
//!
//! ```text
//! silent since it came ──head──▶ BUSY ──answered──▶ silent since then ──head──▶ BUSY
//!     └──────────────────────────────┬───────────────────┘
//!                       no room      ▼
//!                                 CLOSED
//! ```
//!
//! A head that arrives while room is made meets one atomic word: either the client is busy and
//! stays, or it is closed and its request was never looked at, as if it had come too late.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::net::Shutdown;
use tokio::{net::TcpStream, time::Instant};

/// One of the clients.
#[derive(Debug)]
pub(in crate::listen) struct Guest {
    stream: Arc<TcpStream>,
    came: Instant,
    /// [`BUSY`], [`CLOSED`], or since when it is silent: milliseconds after it came, and one.
    /// Only the guest's own task leaves `BUSY`, and whoever makes room only what is silent.
    silence: AtomicU64,
}

const BUSY: u64 = 0;
const CLOSED: u64 = u64::MAX;

impl Guest {
    pub(super) fn new(stream: Arc<TcpStream>) -> Self {
        Self { stream, came: Instant::now(), silence: AtomicU64::new(1) }
    }

    pub(in crate::listen) fn came(&self) -> Instant {
        self.came
    }

    /// It is waited for now. Before its first request it was all along.
    pub(in crate::listen) fn is_silent(&self, now: Instant) {
        if self.silence.load(Relaxed) == BUSY {
            let after = now.duration_since(self.came).as_millis() as u64;
            self.silence.store(after + 1, Relaxed);
        }
    }

    /// It has said what it wants; whether it may: not where it was just closed.
    pub(in crate::listen) fn is_busy(&self) -> bool {
        let silence = self.silence.load(Relaxed);
        let change = || self.silence.compare_exchange(silence, BUSY, Relaxed, Relaxed);
        silence == BUSY || silence != CLOSED && change().is_ok()
    }

    pub(super) fn silent_since(&self) -> Option<Instant> {
        match self.silence.load(Relaxed) {
            BUSY | CLOSED => None,
            silence => Some(self.came + Duration::from_millis(silence - 1)),
        }
    }

    /// Ends a silent connection: whoever reads from it finds its end. Whether it was silent.
    pub(super) fn close(&self) -> bool {
        let silence = self.silence.load(Relaxed);
        let silent = silence != BUSY
            && silence != CLOSED
            && self.silence.compare_exchange(silence, CLOSED, Relaxed, Relaxed).is_ok();
        if silent && let Err(error) = rustix::net::shutdown(&self.stream, Shutdown::Read) {
            tracing::debug!(%error, "left before it was closed");
        }
        silent
    }
}
