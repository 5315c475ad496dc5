//! The end of serving: stop accepting, let what is under way end, cut the rest.
//!
//! ```text
//! Serving ──drain()──▶ Draining ──all ended──▶ done
//!                         └──────deadline────▶ Cut ──▶ done
//! ```
//!
//! Nothing is counted: whoever holds a [`DrainSignal`] is still at work, and the drain is over
//! when the last one is dropped.

use std::time::Duration;

use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Draining,
    Cut,
}

/// The right to end the serving. Dropped unused, it ends nothing.
#[derive(Debug)]
pub struct Drain(watch::Sender<Phase>);

/// Told when serving ends; holding it keeps the drain waiting.
#[derive(Debug, Clone)]
pub struct DrainSignal(watch::Receiver<Phase>);

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything under way came to its own end.
    Complete,
    /// The deadline passed; what was still under way was cut off.
    Cut,
}

impl Drain {
    /// A drain, and the signal to hand to [`Proxy::serve`](crate::Proxy::serve); one signal
    /// can be cloned for any number of listeners.
    pub fn new() -> (Self, DrainSignal) {
        let (sender, receiver) = watch::channel(Phase::Serving);
        (Self(sender), DrainSignal(receiver))
    }

    /// Stops accepting, closes idle connections, and waits until every request and tunnel
    /// has ended, for `within` at the longest; then cuts off the rest.
    pub async fn drain(self, within: Duration) -> Drained {
        self.0.send_replace(Phase::Draining);
        if tokio::time::timeout(within, self.0.closed()).await.is_ok() {
            return Drained::Complete;
        }
        self.0.send_replace(Phase::Cut);
        self.0.closed().await;
        Drained::Cut
    }
}

impl DrainSignal {
    /// Waits until the drain begins.
    pub(crate) async fn draining(&mut self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits until the drain's deadline has passed.
    pub(crate) async fn cut(&mut self) {
        self.reached(Phase::Cut).await;
    }

    async fn reached(&mut self, phase: Phase) {
        if self.0.wait_for(|now| *now >= phase).await.is_err() {
            // The `Drain` is gone, so nobody will ever ask for the end.
            std::future::pending::<()>().await;
        }
    }
}
