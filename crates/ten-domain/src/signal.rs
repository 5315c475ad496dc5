//! The signal that asks a service to stop.

use std::{fmt, str::FromStr};

/// Names and Linux numbers of the signals that make sense as a request to stop
/// (signal(7); these numbers are the same on x86_64 and aarch64).
const SIGNALS: [(&str, i32); 8] = [
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGUSR2", 12),
    ("SIGTERM", 15),
    ("SIGWINCH", 28),
];

/// A signal a service may name as its `stop_signal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopSignal(i32);

impl StopSignal {
    /// SIGTERM, the default.
    pub const TERM: Self = Self(15);

    /// Its number on Linux.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Every accepted name, for error messages.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SIGNALS.iter().map(|(name, _)| *name)
    }
}

impl FromStr for StopSignal {
    type Err = ();
    /// Accepts `SIGTERM` and `TERM`.
    fn from_str(text: &str) -> Result<Self, ()> {
        SIGNALS
            .iter()
            .find(|(name, _)| *name == text || name.strip_prefix("SIG") == Some(text))
            .map(|(_, number)| Self(*number))
            .ok_or(())
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = SIGNALS.iter().find(|(_, number)| *number == self.0).map_or("?", |(n, _)| n);
        f.pad(name)
    }
}
