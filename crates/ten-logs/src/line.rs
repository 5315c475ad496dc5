//! One line of one stream of one instance.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use ten_domain::InstanceName;

/// A line as it is kept. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its place in the order in which lines arrived, over all instances. Counts from 0 when
    /// the server starts.
    pub seq: u64,
    /// When it was read from the pipe.
    pub at: Timestamp,
    /// Whose it is.
    pub instance: InstanceName,
    /// Where it was written to.
    pub stream: Stream,
    /// The text without its line end.
    pub text: Arc<str>,
    /// Whether it goes on with the line before it of the same stream, because the two
    /// together were longer than [`LINE_BYTES`](crate::LINE_BYTES).
    pub continued: bool,
}

impl Line {
    /// What it costs to keep, in bytes.
    pub(crate) fn cost(&self) -> usize {
        /// An `Arc<str>` keeps its two counters before the text.
        const COUNTERS: usize = 2 * size_of::<usize>();
        size_of::<Self>() + COUNTERS + self.text.len()
    }
}

/// Where a tenant writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl Stream {
    /// The word of the lexicon.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
