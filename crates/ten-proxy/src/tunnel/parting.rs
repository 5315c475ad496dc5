//! The moment from which on both sides of a tunnel are told goodbye.
//!
//! ```text
//!   the server drains ───┐
//!                        ├──▶ begun ──▶ each flow, where it is between two frames
//!   the instance drains ─┘
//! ```
//!
//! Why it has come is nobody's concern here, and it never goes back. Both flows and the look for
//! it are one task: each time that this is woken it looks first, so a flow needs no more than to
//! ask, and bytes that pass cost no wait of their own.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use crate::seldom::Seldom;

/// Whether it has come.
#[derive(Debug, Default)]
pub(super) struct Parting(AtomicBool);

impl Parting {
    /// Whether both sides are to be told goodbye.
    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Runs the flows that ask this to their end. It begins when `reason` is ready; they are
    /// polled then, whatever else they wait for.
    pub(super) async fn begins_with<T>(
        &self,
        reason: impl Future<Output = ()>,
        flows: impl Future<Output = T>,
    ) -> T {
        let (mut reason, mut flows) = (pin!(Seldom::new(reason)), pin!(flows));
        poll_fn(|cx| {
            if !self.has_begun() && reason.as_mut().poll(cx).is_ready() {
                self.0.store(true, Relaxed);
            }
            flows.as_mut().poll(cx)
        })
        .await
    }
}
