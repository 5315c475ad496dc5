//! What is known of a connection's course, and how long it may be silent.
//!
//! hyper has one timeout for the head of a request, which starts when the connection begins to
//! wait for it. A connection kept alive may be silent for longer than a head may take, so the
//! timer given to hyper tells the two apart:
//!
//! ```text
//! accepted ──────HEAD_TIMEOUT──────▶ closed     (silent or slow, it is the first head)
//! idle ──IDLE_TIMEOUT──▶ closed
//!   └─first byte──▶ head ──HEAD_TIMEOUT──▶ closed
//! ```
//!
//! Bodies are not hyper's to wait for: see [`Stall`].

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::Timer;
use tokio::time::Sleep;

use super::{HEAD_TIMEOUT, IDLE_TIMEOUT};
use crate::check::BadRequest;

/// What is known of one connection's course, shared by its socket, its timer and its requests.
#[derive(Debug, Default)]
pub(crate) struct Course {
    /// Requests that were answered, at least as far as the head of the answer.
    answered: AtomicU64,
    /// Bytes came since the wait for a head began.
    heard: AtomicBool,
    /// The connection carries a tunnel now: its ends close independently, nothing lingers.
    tunnel: AtomicBool,
    /// Why the last head was refused.
    refused: OnceLock<BadRequest>,
}

impl Course {
    /// One more request has its answer.
    pub(crate) fn answered(&self) {
        self.answered.fetch_add(1, Relaxed);
    }

    pub(super) fn answers(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    pub(super) fn heard(&self) {
        self.heard.store(true, Relaxed);
    }

    /// From now on the connection carries another protocol.
    pub(crate) fn becomes_tunnel(&self) {
        self.tunnel.store(true, Relaxed);
    }

    pub(super) fn is_tunnel(&self) -> bool {
        self.tunnel.load(Relaxed)
    }

    pub(super) fn refuse(&self, fault: BadRequest) {
        // A second refusal cannot be: nothing is read after the first.
        self.refused.get_or_init(|| fault);
    }

    /// Why the request in place of a refused one is there.
    pub(crate) fn refused(&self) -> Option<BadRequest> {
        self.refused.get().copied()
    }
}

/// The timer that hyper waits for request heads with.
pub(super) struct HeadTimer(pub(super) Arc<Course>);

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.0.heard.store(false, Relaxed);
        let idle = self.0.answers() > 0;
        let end = if idle { self.now() + IDLE_TIMEOUT } else { deadline };
        let sleep = Box::pin(tokio::time::sleep_until(end.into()));
        Box::pin(HeadWait { course: Arc::clone(&self.0), idle, sleep })
    }

    fn now(&self) -> Instant {
        // Of tokio's clock, which tests can pause.
        tokio::time::Instant::now().into()
    }
}

/// One wait for a head. hyper polls it again after each arrival of bytes.
struct HeadWait {
    course: Arc<Course>,
    idle: bool,
    sleep: Pin<Box<Sleep>>,
}

impl Future for HeadWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.idle && self.course.heard.load(Relaxed) {
            self.idle = false;
            self.sleep.as_mut().reset(tokio::time::Instant::now() + HEAD_TIMEOUT);
        }
        self.sleep.as_mut().poll(cx)
    }
}

impl hyper::rt::Sleep for HeadWait {}

/// The bound on how long one direction of a body may stand still because of the client.
///
/// The timer is made at the first wait and then only moved: a fast client costs two looks at
/// the clock for each wait, a body that never waits costs nothing.
#[derive(Debug, Default)]
pub(super) struct Stall {
    since: Option<tokio::time::Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// Passes on `io`, but for a wait that has lasted for `limit`.
    ///
    /// # Errors
    /// `TimedOut` after such a wait.
    pub(super) fn bound<T>(
        &mut self,
        limit: Duration,
        cx: &mut Context<'_>,
        io: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if io.is_ready() {
            self.since = None;
            return io;
        }
        let since = *self.since.get_or_insert_with(tokio::time::Instant::now);
        let end = since + limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= end {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            // It was set for an earlier wait, which has ended.
            timer.as_mut().reset(end);
        }
        Poll::Pending
    }
}
