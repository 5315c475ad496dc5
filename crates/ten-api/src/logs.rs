//! Log lines, and which of them are wanted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One line that an instance wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was read, RFC 3339 in UTC.
    pub time: String,
    /// Who wrote it, `service:id`.
    pub instance: String,
    /// Where it was written to.
    pub stream: Stream,
    /// The line without its newline. Bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Whether it goes on with the line before it of the same stream: very long lines are split.
    pub continued: bool,
}

/// Log lines, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogList {
    /// The lines.
    pub lines: Vec<LogLine>,
}

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}

/// Which lines are wanted: the query string of the log endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Only of this service. `process` means the same.
    #[serde(alias = "process")]
    pub service: Option<String>,
    /// Only of this instance; needs `service`.
    pub id: Option<String>,
    /// Only of this stream.
    pub level: Option<Stream>,
    /// Only lines that contain this text.
    pub search: Option<String>,
    /// Only lines of this moment or later, RFC 3339.
    pub since: Option<String>,
    /// Only lines before this moment, RFC 3339.
    pub until: Option<String>,
    /// Only the newest so many.
    pub limit: Option<usize>,
}
