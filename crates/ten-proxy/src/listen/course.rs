//! What is known of a connection's course, and how long it may be silent.
//!
//! hyper has one timeout for the head of a request, which starts when the connection begins to
//! wait for it. A connection kept alive may be silent for longer than a head may take, so the
//! timer given to hyper tells the two apart:
//!
//! ```text
//! accepted ──────head_timeout──────▶ closed     (silent or slow, it is the first head)
//! idle ──idle_timeout──▶ closed
//!   └─first byte──▶ head ──head_timeout──▶ closed
//! ```
//!
//! Bodies are not hyper's to wait for: see [`Patience`](super::patience::Patience).

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{patience::Terms, places::Guest};
use crate::{
    alarm::{Alarm, AlarmPlace},
    check::BadRequest,
};
use hyper::rt::Timer;
use ten_domain::ProxySettings;

/// What is known of one connection's course, shared by its socket, its timer and its requests.
#[derive(Debug)]
pub(crate) struct Course {
    settings: Arc<ProxySettings>,
    guest: Arc<Guest>,
    /// For the waits for heads.
    alarm: AlarmPlace,
    /// Requests that were answered, at least as far as the head of the answer.
    answered: AtomicU64,
    /// The connection carries a tunnel now: its ends close independently, nothing lingers.
    tunnel: AtomicBool,
    /// Why the last head was refused.
    refused: OnceLock<BadRequest>,
}

impl Course {
    pub(super) fn new(settings: Arc<ProxySettings>, guest: Arc<Guest>) -> Self {
        Self {
            settings,
            guest,
            alarm: AlarmPlace::default(),
            answered: AtomicU64::new(0),
            tunnel: AtomicBool::new(false),
            refused: OnceLock::new(),
        }
    }

    pub(super) fn settings(&self) -> &ProxySettings {
        &self.settings
    }

    /// With the client, in the middle of a body.
    pub(super) fn patience(&self) -> Terms {
        Terms::of(&self.settings)
    }

    /// One more request has its answer.
    pub(crate) fn answered(&self) {
        self.answered.fetch_add(1, Relaxed);
    }

    pub(super) fn answers(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// Bytes came.
    pub(super) fn heard(&self) {
        self.guest.heard();
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

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let Course { settings, guest, .. } = &*self.0;
        let idle = self.0.answers() > 0;
        let now = tokio::time::Instant::now();
        guest.is_silent(now);
        let end =
            if idle { now + settings.idle_timeout } else { guest.came() + settings.head_timeout };
        Box::pin(HeadWait { alarm: self.0.alarm.take(), course: Arc::clone(&self.0), idle, end })
    }

    fn now(&self) -> Instant {
        // hyper only adds its timeout to it, and nobody looks at the sum.
        self.0.guest.came().into()
    }
}

/// One wait for a head. hyper polls it again after each arrival of bytes.
struct HeadWait {
    course: Arc<Course>,
    idle: bool,
    end: tokio::time::Instant,
    alarm: Alarm,
}

impl Drop for HeadWait {
    fn drop(&mut self) {
        self.course.alarm.put(std::mem::take(&mut self.alarm));
    }
}

impl Future for HeadWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.idle && self.course.guest.is_heard() {
            self.idle = false;
            self.end = tokio::time::Instant::now() + self.course.settings.head_timeout;
        }
        let end = self.end;
        if self.alarm.is_over(end, cx) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl hyper::rt::Sleep for HeadWait {}
