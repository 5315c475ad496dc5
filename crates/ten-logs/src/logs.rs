//! The handle on all lines: record, query, follow.
//!
//! One lock guards ring and followers. It is held for one line when recording and for the
//! lines of one instance when querying; searching happens outside of it.

use std::{
    cmp::Reverse,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use jiff::Timestamp;
use ten_domain::InstanceName;

use crate::{
    Follower, Line, Piece, Query, Stream,
    follow::Mailbox,
    ring::{INSTANCE_LINES, RING_BYTES, Ring, Usage},
};

/// The newest lines of all instances. Cheap to clone; all clones see the same lines.
#[derive(Debug, Clone)]
pub struct Logs {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    next_seq: u64,
    followers: Vec<Weak<Mailbox>>,
}

impl Default for Logs {
    fn default() -> Self {
        Self::new()
    }
}

impl Logs {
    /// Without any line.
    pub fn new() -> Self {
        Self::bounded(RING_BYTES, INSTANCE_LINES)
    }

    fn bounded(max_bytes: usize, max_lines: usize) -> Self {
        let ring = Ring::new(max_bytes, max_lines);
        let state = State { ring, next_seq: 0, followers: Vec::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Keeps a line and hands it to everyone who follows.
    pub fn record(&self, instance: &InstanceName, stream: Stream, at: Timestamp, piece: Piece) {
        let mut state = self.state();
        let line = Line {
            seq: state.next_seq,
            at,
            instance: instance.clone(),
            stream,
            text: piece.text,
            continued: piece.continued,
        };
        state.next_seq += 1;
        state.followers.retain(|follower| follower.upgrade().map(|f| f.offer(&line)).is_some());
        state.ring.push(line);
    }

    /// The newest lines that the query wants, at most its `limit`, in the order in which
    /// they arrived. A search reads up to all lines that are kept: tens of milliseconds of
    /// one core at worst.
    pub fn query(&self, query: &Query) -> Vec<Line> {
        let end = self.state().next_seq;
        self.before(end, query)
    }

    /// The newest `limit` lines of one instance.
    pub fn last(&self, instance: &InstanceName, limit: usize) -> Vec<Line> {
        self.query(&Query::of(instance, limit))
    }

    /// The newest lines that the query wants, at most its `limit`, then every further one as
    /// it comes, none left out and none twice.
    pub fn follow(&self, query: Query) -> Follower {
        let mailbox = Arc::new(Mailbox::new(query.clone()));
        let start = {
            let mut state = self.state();
            state.followers.retain(|follower| follower.strong_count() > 0);
            state.followers.push(Arc::downgrade(&mailbox));
            state.next_seq
        };
        Follower::new(mailbox, self.before(start, &query))
    }

    /// How full the ring is.
    pub fn usage(&self) -> Usage {
        self.state().ring.usage()
    }

    fn before(&self, seq: u64, query: &Query) -> Vec<Line> {
        let needle = query.needle();
        // A search must see every line of an instance to find its newest matches.
        let limit = if needle.is_some() { usize::MAX } else { query.limit };
        let instances = self.state().ring.instances(query);
        let mut lines = Vec::new();
        for instance in &instances {
            lines.extend(self.state().ring.newest(instance, seq, query, limit).cloned());
        }
        lines.sort_unstable_by_key(|line| Reverse(line.seq));
        let wanted = |line: &Line| needle.as_ref().is_none_or(|n| n.is_in(&line.text));
        let mut newest: Vec<Line> = lines.into_iter().filter(wanted).take(query.limit).collect();
        newest.reverse();
        newest
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
