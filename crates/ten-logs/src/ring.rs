//! The newest lines of every instance, within bounds: a plain value.
//!
//! Two bounds. An instance keeps at most [`INSTANCE_LINES`]; its oldest line makes room for
//! its newest. All together keep at most [`RING_BYTES`]; whoever holds the most bytes then
//! loses its oldest lines. So a chatty tenant pushes out nothing but its own lines, and one
//! that has said little keeps what it said. The ring knows no lock, no clock and no follower.

use std::collections::{BTreeSet, HashMap, VecDeque};

use ten_domain::InstanceName;

use crate::{Line, Query};

/// Most bytes of lines that are kept in memory: about 150,000 lines of 100 characters, and
/// little on a server of 1 GB.
pub const RING_BYTES: usize = 32 * 1024 * 1024;

/// Most lines that are kept of one instance: enough to see how it ended.
pub const INSTANCE_LINES: usize = 1000;

/// How full the ring is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Lines kept.
    pub lines: usize,
    /// Bytes they cost.
    pub bytes: usize,
    /// Lines that made room for newer ones since the server started.
    pub dropped: u64,
}

/// Bounded lines, in the order of their `seq` within each instance.
#[derive(Debug)]
pub(crate) struct Ring {
    max_bytes: usize,
    max_lines: usize,
    tails: HashMap<InstanceName, Tail>,
    /// Every tail by its size, so that the largest is found at once.
    by_bytes: BTreeSet<(usize, InstanceName)>,
    usage: Usage,
}

#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<Line>,
    bytes: usize,
}

impl Ring {
    pub(crate) fn new(max_bytes: usize, max_lines: usize) -> Self {
        Self {
            max_bytes,
            max_lines,
            tails: HashMap::new(),
            by_bytes: BTreeSet::new(),
            usage: Usage { lines: 0, bytes: 0, dropped: 0 },
        }
    }

    pub(crate) fn push(&mut self, line: Line) {
        let name = line.instance.clone();
        let cost = line.cost();
        let tail = self.tails.entry(name.clone()).or_default();
        let before = tail.bytes;
        tail.lines.push_back(line);
        tail.bytes += cost;
        self.usage.lines += 1;
        self.usage.bytes += cost;
        let surplus = tail.lines.len() > self.max_lines;
        self.reindex(&name, before);
        if surplus {
            self.drop_oldest(&name);
        }
        while self.usage.bytes > self.max_bytes
            && let Some((_, largest)) = self.by_bytes.last().cloned()
        {
            self.drop_oldest(&largest);
        }
    }

    fn drop_oldest(&mut self, name: &InstanceName) {
        let Some(tail) = self.tails.get_mut(name) else { return };
        let Some(line) = tail.lines.pop_front() else { return };
        let before = tail.bytes;
        tail.bytes -= line.cost();
        self.usage.lines -= 1;
        self.usage.bytes -= line.cost();
        self.usage.dropped += 1;
        self.reindex(name, before);
    }

    /// Puts a tail where its size now belongs; an empty one is forgotten.
    fn reindex(&mut self, name: &InstanceName, before: usize) {
        let key = (before, name.clone());
        self.by_bytes.remove(&key);
        let bytes = self.tails.get(name).map_or(0, |tail| tail.bytes);
        if bytes == 0 {
            self.tails.remove(name);
        } else {
            self.by_bytes.insert((bytes, key.1));
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// Every instance that has lines and that the query wants.
    pub(crate) fn instances(&self, query: &Query) -> Vec<InstanceName> {
        if let (Some(service), Some(id)) = (&query.service, &query.id) {
            return vec![InstanceName::new(service.clone(), id.clone())];
        }
        self.tails.keys().filter(|name| query.wants_instance(name)).cloned().collect()
    }

    /// The newest `limit` lines of one instance before `seq` that the query wants, newest
    /// first, unsearched.
    pub(crate) fn newest<'a>(
        &'a self,
        instance: &InstanceName,
        before_seq: u64,
        query: &'a Query,
        limit: usize,
    ) -> impl Iterator<Item = &'a Line> {
        let lines = self.tails.get(instance).map(|tail| tail.lines.iter().rev());
        lines
            .into_iter()
            .flatten()
            .filter(move |line| line.seq < before_seq && query.wants_line(line))
            .take(limit)
    }
}

#[cfg(test)]
mod tests;
