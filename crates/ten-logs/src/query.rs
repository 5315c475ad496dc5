//! Which lines a reader wants.

use jiff::Timestamp;
use ten_domain::{InstanceId, InstanceName, ServiceName};

use crate::{Line, Stream};

/// A filter on lines. What is `None` does not restrict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Only instances of this service.
    pub service: Option<ServiceName>,
    /// Only instances with this id.
    pub id: Option<InstanceId>,
    /// Only this stream.
    pub stream: Option<Stream>,
    /// Only lines that contain this text, whatever its case.
    pub search: Option<String>,
    /// Only lines from this moment on.
    pub since: Option<Timestamp>,
    /// Only lines from before this moment.
    pub until: Option<Timestamp>,
    /// Only the newest so many of those.
    pub limit: usize,
}

impl Query {
    /// The newest `limit` lines of everyone.
    pub fn newest(limit: usize) -> Self {
        Self {
            service: None,
            id: None,
            stream: None,
            search: None,
            since: None,
            until: None,
            limit,
        }
    }

    /// The newest `limit` lines of one instance.
    pub fn of(instance: &InstanceName, limit: usize) -> Self {
        Self {
            service: Some(instance.service.clone()),
            id: Some(instance.id.clone()),
            ..Self::newest(limit)
        }
    }

    pub(crate) fn wants_instance(&self, name: &InstanceName) -> bool {
        self.service.as_ref().is_none_or(|s| *s == name.service)
            && self.id.as_ref().is_none_or(|i| *i == name.id)
    }

    /// Everything but the instance and the search.
    pub(crate) fn wants_line(&self, line: &Line) -> bool {
        self.stream.is_none_or(|s| s == line.stream)
            && self.since.is_none_or(|since| since <= line.at)
            && self.until.is_none_or(|until| line.at < until)
    }

    pub(crate) fn needle(&self) -> Option<Needle> {
        self.search.as_deref().filter(|s| !s.is_empty()).map(|s| Needle(s.to_lowercase()))
    }
}

/// The searched text, made ready once. Searching costs as much as reading the line, so it is
/// done where nobody waits for a lock.
#[derive(Debug)]
pub(crate) struct Needle(String);

impl Needle {
    pub(crate) fn is_in(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.0)
    }
}
