//! Health verdicts: how many failed checks in a row mean what.

use std::fmt;

/// From this many failures in a row on, an instance is unhealthy and is restarted.
const UNHEALTHY_AFTER: u32 = 3;

/// The verdict on a running instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// No health path is set, or none was checked yet.
    Unknown,
    /// The last check passed.
    Healthy,
    /// One or two checks failed in a row.
    Degraded,
    /// Three or more checks failed in a row.
    Unhealthy,
}

impl Health {
    /// The word of the lexicon for this verdict.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The run of health checks of one process: what was seen so far, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HealthRun {
    checks: u64,
    failures: u32,
}

impl HealthRun {
    /// Notes one check's outcome and returns the verdict after it.
    pub fn record(&mut self, passed: bool) -> Health {
        self.checks += 1;
        self.failures = if passed { 0 } else { self.failures + 1 };
        self.verdict()
    }

    /// The verdict as of the last check.
    pub const fn verdict(&self) -> Health {
        match (self.checks, self.failures) {
            (0, _) => Health::Unknown,
            (_, 0) => Health::Healthy,
            (_, n) if n < UNHEALTHY_AFTER => Health::Degraded,
            _ => Health::Unhealthy,
        }
    }

    /// Failures in a row, 0 after a passed check.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_are_unhealthy_and_one_success_heals() {
        let mut run = HealthRun::default();
        assert_eq!(run.verdict(), Health::Unknown);
        let seen: Vec<_> = [true, false, false, false, true, false]
            .into_iter()
            .map(|passed| run.record(passed))
            .collect();
        use Health::{Degraded, Healthy, Unhealthy};
        assert_eq!(seen, [Healthy, Degraded, Degraded, Unhealthy, Healthy, Degraded]);
    }
}
