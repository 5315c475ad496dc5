//! Something that may happen very often and is said seldom.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How often at most the same complaint is logged.
const INTERVAL: Duration = Duration::from_secs(60);

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct Complaint(Mutex<Complaints>);

#[derive(Debug, Default)]
struct Complaints {
    last: Option<Instant>,
    /// How often since the last one.
    times: u64,
}

impl Complaint {
    /// It has happened again. How often since it was last said, if it is to be said now.
    pub(crate) fn due(&self) -> Option<u64> {
        let mut complaints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.times += 1;
        if complaints.last.is_some_and(|last| last.elapsed() < INTERVAL) {
            return None;
        }
        complaints.last = Some(Instant::now());
        Some(std::mem::take(&mut complaints.times))
    }
}
