//! What a reader is told about an instance: its state and its weight.
//!
//! How states follow one another is not here but in the supervisor's machine.

use std::fmt;

use crate::Health;

/// The state of an instance, as `ten ps` and the API show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Known, no process.
    Sleeping,
    /// A process is being launched, or has not become ready yet.
    Starting,
    /// Ready; requests go to it.
    Running(Health),
    /// Crashed; waits for its next start.
    Backoff,
    /// Out of routing; requests in flight are finishing.
    Draining,
    /// Told to stop; its processes have not all gone yet.
    Stopping,
    /// Gave up: crashed more often than `max_restarts` allows.
    Failed,
}

impl State {
    /// The word of the lexicon for this state.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sleeping => "sleeping",
            Self::Starting => "starting",
            Self::Running(_) => "running",
            Self::Backoff => "backoff",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }

    /// Whether a process may exist in this state.
    pub const fn has_process(self) -> bool {
        match self {
            Self::Starting | Self::Running(_) | Self::Draining | Self::Stopping => true,
            Self::Sleeping | Self::Backoff | Self::Failed => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// An instance's share of its service's traffic, 0 to 100. 0 takes no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u8);

impl Weight {
    /// No share of the service host's traffic. Instances that a request created start here:
    /// a customer's copy must not answer for the service as a whole.
    pub const NONE: Self = Self(0);
    /// The full share. Instances that an operator names start here.
    pub const FULL: Self = Self(100);

    /// A weight, or `None` above 100.
    pub const fn new(value: u8) -> Option<Self> {
        if value <= 100 { Some(Self(value)) } else { None }
    }

    /// The number, 0 to 100.
    pub const fn get(self) -> u8 {
        self.0
    }
}
