//! Emptying the trash: what was in it for `trash_retention` is removed for good.
//!
//! The date in an entry's name says when it was given up, but the clock that says what day it
//! is may be set: by a board without a battery that hears the time a minute after its start, or
//! by a slip of a hand. So the date is believed once, when the entry is first seen; from then
//! on its time is counted by a clock that nobody sets. What seems overdue already when it is
//! first seen stays a while longer. No clock can bring an entry to its end at once.

use std::{
    collections::HashMap,
    io, mem,
    sync::{
        Weak,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{Data, Trashed};

/// The longest rest between two looks into the trash, and the least time that an entry stays
/// after it was first seen, where `trash_retention` is not shorter.
const REST: Duration = Duration::from_secs(3600);

/// When each entry is due, by a clock that nobody sets.
pub(super) type Due = HashMap<String, Instant>;

impl Data {
    /// Removes for good what was in the trash long enough, for as long as somebody has the data.
    /// May take long, so it has a thread of its own, which nobody waits for at the end.
    pub(super) fn tend(data: &Weak<Self>, changes: &Receiver<()>) {
        let mut due = Due::new();
        while let Some(data) = data.upgrade() {
            let rest = data.purge(&mut due).unwrap_or_else(|error| {
                tracing::warn!("cannot look into the trash, will try again: {error}");
                REST
            });
            drop(data);
            if changes.recv_timeout(rest.min(REST)) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// Removes what is due, and says when the next will be. What cannot be removed hinders
    /// nothing else.
    pub(super) fn purge(&self, due: &mut Due) -> io::Result<Duration> {
        if let Err(error) = self.trash.finish_purges() {
            tracing::warn!("cannot be removed from the trash: {error}");
        }
        let (date, now) = (Timestamp::now(), Instant::now());
        let entries = self.entries()?;
        let before = mem::take(due);
        for trashed in entries {
            let seen = before.get(&trashed.entry).copied();
            // Later than any clock counts is never.
            let Some(at) = seen.or_else(|| now.checked_add(self.left(&trashed, date))) else {
                continue;
            };
            let entry = trashed.entry;
            if at > now {
                due.insert(entry, at);
                continue;
            }
            match self.trash.purge(&entry) {
                Ok(()) => tracing::info!(entry, "removed from the trash for good"),
                Err(error) => tracing::warn!(entry, "cannot be removed for good: {error}"),
            }
        }
        let next = due.values().min().map(|at| at.saturating_duration_since(now));
        Ok(next.unwrap_or(REST))
    }

    /// How long an entry stays that is seen for the first time.
    fn left(&self, trashed: &Trashed, date: Timestamp) -> Duration {
        let retention = self.config.settings.trash_retention;
        let left = Duration::try_from(trashed.until.duration_since(date)).unwrap_or_default();
        left.clamp(REST.min(retention), retention)
    }
}
