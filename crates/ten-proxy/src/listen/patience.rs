//! How long a client may be waited for in the middle of a body.
//!
//! ```text
//! body_timeout ┐        ┌─ bytes move: one second back for each `min_body_rate` of them
//!              └──╲   ╱
//!                  ╲╱      time passes while the client is waited for
//! 0 ───────────────────── broken off
//! ```
//!
//! A bare limit on silence would let a byte a minute hold an instance awake for ever. Only the
//! waits for a client count: the time that an instance takes to read or to answer is its own,
//! and so an event stream may be silent for as long as it likes.

use std::{
    io,
    task::{Context, Poll},
    time::Duration,
};

use ten_domain::ProxySettings;
use tokio::time::Instant;

use crate::alarm::Alarm;

/// How much of it there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// With which a body begins, and the most that there can be.
    pub(crate) full: Duration,
    /// Bytes that earn a second of it; 0: any byte earns everything.
    pub(crate) rate: u32,
}

impl Terms {
    pub(crate) fn of(settings: &ProxySettings) -> Self {
        Self { full: settings.body_timeout, rate: settings.min_body_rate }
    }
}

/// What is left of it for the bodies that go one way on a connection.
///
/// A fast client costs two looks at the clock for each wait, a body that never waits nothing.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// The number of the body that it is with.
    body: u64,
    spent: Duration,
    since: Option<Instant>,
    alarm: Alarm,
}

impl Patience {
    /// Passes on `io`, the bytes that a step of body number `body` has moved, but for a wait that
    /// has lasted for all that was left. Each body begins anew.
    ///
    /// # Errors
    /// `TimedOut` after such a wait.
    pub(crate) fn with(
        &mut self,
        body: u64,
        Terms { full, rate }: Terms,
        cx: &mut Context<'_>,
        io: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.body != body {
            (self.body, self.spent, self.since) = (body, Duration::ZERO, None);
        }
        let Poll::Ready(moved) = io else {
            let since = *self.since.get_or_insert_with(Instant::now);
            return match self.alarm.is_over(since + full.saturating_sub(self.spent), cx) {
                true => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                false => Poll::Pending,
            };
        };
        if let Some(since) = self.since.take() {
            self.spent = full.min(self.spent + since.elapsed());
        }
        if let Ok(moved) = moved
            && !self.spent.is_zero()
        {
            self.spent = self.spent.saturating_sub(earned(moved, rate));
        }
        Poll::Ready(moved)
    }
}

/// What `moved` bytes are worth.
fn earned(moved: usize, rate: u32) -> Duration {
    match (moved, rate) {
        (0, _) => Duration::ZERO,
        (_, 0) => Duration::MAX,
        _ => Duration::from_secs_f64(moved as f64 / f64::from(rate)),
    }
}

#[cfg(test)]
mod tests;
