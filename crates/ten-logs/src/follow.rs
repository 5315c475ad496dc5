//! Following: a reader gets every new line that it wants, at its own pace.
//!
//! ```text
//! record ──offer──▶ Mailbox [line line gap(3) line] ──next──▶ reader
//! ```
//!
//! A mailbox is bounded by bytes. What does not fit becomes a gap at the place where the
//! lines would have been; recording never waits for a reader.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{Line, Query, query::Needle};

/// Most bytes of lines that wait for one follower.
pub const FOLLOWER_BYTES: usize = 1024 * 1024;

/// What a follower gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// The next line.
    Line(Line),
    /// So many lines were dropped here, because the follower was too slow. The search is not
    /// applied to them: some might not have been wanted.
    Missed(u64),
}

/// A reader of lines as they come. Dropping it ends the following.
#[derive(Debug)]
pub struct Follower {
    mailbox: Arc<Mailbox>,
    backlog: std::vec::IntoIter<Line>,
    needle: Option<Needle>,
}

impl Follower {
    pub(crate) fn new(mailbox: Arc<Mailbox>, backlog: Vec<Line>) -> Self {
        let needle = mailbox.query.needle();
        Self { mailbox, backlog: backlog.into_iter(), needle }
    }

    /// The next line, as soon as there is one. Cancel safe: a line is taken only when it is
    /// returned.
    pub async fn next(&mut self) -> Followed {
        if let Some(line) = self.backlog.next() {
            return Followed::Line(line);
        }
        loop {
            // `notify_one` keeps its permit, so an offer between the two lines is not lost.
            while let Some(followed) = self.mailbox.take() {
                match (&followed, &self.needle) {
                    (Followed::Line(line), Some(needle)) if !needle.is_in(&line.text) => {}
                    _ => return followed,
                }
            }
            self.mailbox.offered.notified().await;
        }
    }
}

/// Lines on their way to one follower.
#[derive(Debug)]
pub(crate) struct Mailbox {
    query: Query,
    waiting: Mutex<Waiting>,
    offered: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<Followed>,
    bytes: usize,
}

impl Mailbox {
    pub(crate) fn new(query: Query) -> Self {
        Self { query, waiting: Mutex::default(), offered: Notify::new() }
    }

    /// Puts a line in, if the follower wants it.
    pub(crate) fn offer(&self, line: &Line) {
        if !self.query.wants_instance(&line.instance) || !self.query.wants_line(line) {
            return;
        }
        self.waiting().put(line);
        self.offered.notify_one();
    }

    fn take(&self) -> Option<Followed> {
        self.waiting().take()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn put(&mut self, line: &Line) {
        if self.bytes + line.cost() <= FOLLOWER_BYTES {
            self.bytes += line.cost();
            self.queue.push_back(Followed::Line(line.clone()));
        } else if let Some(Followed::Missed(count)) = self.queue.back_mut() {
            *count += 1;
        } else {
            self.queue.push_back(Followed::Missed(1));
        }
    }

    fn take(&mut self) -> Option<Followed> {
        let followed = self.queue.pop_front()?;
        if let Followed::Line(line) = &followed {
            self.bytes -= line.cost();
        }
        Some(followed)
    }
}
