//! How long a crashed instance waits before its next start, and when it has crashed too
//! often to be started again.

use std::time::{Duration, Instant};

/// Delays between restarts: `base * 2^n`, capped at `max`, then jittered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first delay; zero means restarts happen at once.
    pub base: Duration,
    /// No delay is longer.
    pub max: Duration,
}

impl Backoff {
    /// The delay before restart number `n` (0 is the first). `jitter`, in 0..=1, moves it
    /// down by up to a quarter, so that instances which crashed together (their database
    /// went away) do not all come back in the same instant.
    pub fn delay(&self, n: u32, jitter: f64) -> Duration {
        let factor = 1u32.checked_shl(n).unwrap_or(u32::MAX);
        let full = self.base.saturating_mul(factor).min(self.max);
        full.mul_f64(1.0 - 0.25 * jitter.clamp(0.0, 1.0))
    }
}

/// More than `max_restarts` crashes within `window` make an instance `failed`; a run of
/// `window` without a crash clears the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashLimit {
    /// Restarts allowed within the window.
    pub max_restarts: u32,
    /// Length of the window.
    pub window: Duration,
}

impl CrashLimit {
    /// Drops the crashes that have left the window. `crashes` is in order of time.
    pub fn forget_old(&self, crashes: &mut Vec<Instant>, now: Instant) {
        crashes.retain(|at| now.saturating_duration_since(*at) < self.window);
    }

    /// Whether this many crashes within the window are too many.
    pub fn exceeded(&self, crashes: &[Instant]) -> bool {
        crashes.len() > self.max_restarts as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_cap_without_overflow() {
        let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };
        let secs: Vec<_> = (0..8).map(|n| backoff.delay(n, 0.0).as_secs()).collect();
        assert_eq!(secs, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.delay(u32::MAX, 0.0), Duration::from_secs(60));
        assert_eq!(backoff.delay(0, 1.0), Duration::from_millis(750));
        let at_once = Backoff { base: Duration::ZERO, ..backoff };
        assert_eq!(at_once.delay(9, 0.5), Duration::ZERO);
    }

    #[test]
    fn a_quiet_window_clears_the_count() {
        let limit = CrashLimit { max_restarts: 2, window: Duration::from_secs(10) };
        let start = Instant::now();
        let mut crashes: Vec<_> = (0..3).map(|s| start + Duration::from_secs(s)).collect();
        assert!(limit.exceeded(&crashes));
        limit.forget_old(&mut crashes, start + Duration::from_secs(11));
        assert_eq!(crashes.len(), 1);
        assert!(!limit.exceeded(&crashes));
    }
}
