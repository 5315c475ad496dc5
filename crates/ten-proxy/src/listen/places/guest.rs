//! A connected client, as far as it matters for making room and for the drain.
//!
//! ```text
//! silent since it came ──head──▶ BUSY ──answered──▶ silent since then ──head──▶ BUSY
//!     └──────────────────────────────┬───────────────────┘
//!                 no room, drain     ▼
//!                                dismissed
//! ```
//!
//! Who is dismissed is let go between two requests and never in one. Only its own task ends a
//! connection, after a last look at what has arrived: a request that is there by then is
//! answered, and the connection ends with its answer.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Poll, ready},
    time::Duration,
};

use rustix::{io::ioctl_fionread, net::Shutdown};
use tokio::{
    net::TcpStream,
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::DrainSignal;

/// How long a silence lasts at least before it counts: a new client's first request is on its
/// way, and the next one of any other may be.
pub(super) const SPARED: Duration = Duration::from_secs(1);

/// One of the clients.
#[derive(Debug)]
pub(in crate::listen) struct Guest {
    stream: Arc<TcpStream>,
    came: Instant,
    /// [`BUSY`], or since when it is silent: milliseconds after it came, and one.
    silence: AtomicU64,
    /// Bytes came in its silence: part of a head.
    heard: AtomicBool,
    /// Its place is needed.
    leaving: AtomicBool,
    /// Since when: milliseconds after it came.
    dismissed: AtomicU64,
    told: Notify,
}

const BUSY: u64 = 0;

impl Guest {
    pub(super) fn new(stream: Arc<TcpStream>) -> Self {
        Self {
            stream,
            came: Instant::now(),
            silence: AtomicU64::new(1),
            heard: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            dismissed: AtomicU64::new(0),
            told: Notify::new(),
        }
    }

    pub(in crate::listen) fn came(&self) -> Instant {
        self.came
    }

    /// It is waited for now. Before its first request it was all along.
    pub(in crate::listen) fn is_silent(&self, now: Instant) {
        self.heard.store(false, Relaxed);
        if self.silence.load(Relaxed) == BUSY {
            let after = now.duration_since(self.came).as_millis() as u64;
            self.silence.store(after + 1, Relaxed);
        }
    }

    /// It has said what it wants.
    pub(in crate::listen) fn is_busy(&self) {
        self.silence.store(BUSY, Relaxed);
    }

    /// Bytes of it were read.
    pub(in crate::listen) fn heard(&self) {
        self.heard.store(true, Relaxed);
    }

    /// Whether bytes were read since its silence began.
    pub(in crate::listen) fn is_heard(&self) -> bool {
        self.heard.load(Relaxed)
    }

    /// Since when its place may be taken from it.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        if self.is_leaving() { None } else { self.silence() }
    }

    /// Since when nothing of it is under way.
    pub(in crate::listen) fn silence(&self) -> Option<Instant> {
        match self.silence.load(Relaxed) {
            BUSY => None,
            silence => Some(self.came + Duration::from_millis(silence - 1)),
        }
    }

    /// Dismisses it, because its place is needed.
    pub(super) fn dismiss(&self) {
        self.dismissed.store(self.came.elapsed().as_millis() as u64, Relaxed);
        self.leaving.store(true, Relaxed);
        self.told.notify_one();
    }

    /// Whether its place is as good as free: it was dismissed in its silence, and not so long ago that
    /// something must keep it, such as a client of HTTP/2 that does not take what it was answered.
    pub(super) fn is_about_to_leave(&self, now: Instant) -> bool {
        let dismissed = self.came + Duration::from_millis(self.dismissed.load(Relaxed));
        self.is_leaving() && self.silence().is_some() && now.duration_since(dismissed) < SPARED
    }

    pub(in crate::listen) fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    /// Waits until its place is needed.
    pub(in crate::listen) async fn leaves(&self) {
        if !self.is_leaving() {
            self.told.notified().await;
        }
    }

    /// Waits until its connection can end without the loss of a request that is on its way. To
    /// be asked whenever its task is polled.
    pub(in crate::listen) async fn parts(&self) {
        let mut wait = pin!(sleep_until(self.came));
        poll_fn(|cx| {
            while let Some(until) = self.expected(Instant::now()) {
                wait.as_mut().reset(until);
                ready!(wait.as_mut().poll(cx));
            }
            Poll::Ready(())
        })
        .await;
        if self.is_leaving()
            && self.silence().is_some()
            // Then nobody waits for what it still sends, and its place is free at once.
            && let Err(error) = rustix::net::shutdown(&self.stream, Shutdown::Read)
        {
            tracing::debug!(%error, "left before it was closed");
        }
    }

    /// Until when a request of one that is dismissed is waited for, at least. `None`: there is
    /// one, or there will be none.
    fn expected(&self, now: Instant) -> Option<Instant> {
        let since = self.silence()?;
        // Where that cannot be told, the connection is broken.
        if ioctl_fionread(&self.stream).unwrap_or(0) > 0 {
            return Some(now + SPARED);
        }
        if self.is_leaving() {
            return None;
        }
        // How long its head may take is bounded elsewhere.
        if self.is_heard() {
            Some(now + SPARED)
        } else {
            Some(since + SPARED).filter(|it| *it > now)
        }
    }
}

/// Waits until a client is dismissed.
pub(in crate::listen) async fn dismissed(guest: &Guest, drain: &mut DrainSignal) {
    tokio::select! {
        () = drain.draining() => {}
        () = guest.leaves() => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener, select};

    use super::*;

    #[tokio::test]
    async fn who_has_just_asked_is_not_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let (mut client, stream) = (client.unwrap(), Arc::new(accepted.unwrap().0));
        let guest = Guest::new(Arc::clone(&stream));
        guest.dismiss();
        client.write_all(b"GET").await.unwrap();
        stream.readable().await.unwrap();
        select! {
            biased;
            () = guest.parts() => panic!("there are unread bytes"),
            () = std::future::ready(()) => {}
        }
        stream.try_read(&mut [0; 3]).unwrap();
        guest.heard();
        // Half a head is no request.
        guest.parts().await;
    }
}
