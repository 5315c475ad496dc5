//! What a test did and what its server said, in the order in which it happened.

use std::{
    fmt::Display,
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Most entries that a failure prints.
const SHOWN: usize = 120;

/// A shared record. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct History {
    start: Instant,
    entries: Arc<(Mutex<Vec<Entry>>, Condvar)>,
}

#[derive(Debug, Clone)]
struct Entry {
    at: Duration,
    who: &'static str,
    text: String,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), entries: Arc::default() }
    }

    pub(crate) fn add(&self, who: &'static str, text: impl Display) {
        let entry = Entry { at: self.start.elapsed(), who, text: text.to_string() };
        self.entries().push(entry);
        self.entries.1.notify_all();
    }

    /// Adds every line of a stream from now on, in a thread of its own.
    pub(crate) fn add_lines(&self, who: &'static str, stream: impl Read + Send + 'static) {
        let history = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                history.add(who, String::from_utf8_lossy(&line));
            }
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.entries().len()
    }

    /// What was said by someone from the given entry on, a line each.
    pub(crate) fn said(&self, who: &str, from: usize) -> Vec<String> {
        let entries = self.entries();
        let said = entries.iter().skip(from).filter(|entry| entry.who == who);
        said.map(|entry| entry.text.clone()).collect()
    }

    /// Waits until an entry at or after `from` is what `wanted` looks for.
    pub(crate) fn wait_for<T>(
        &self,
        mut from: usize,
        deadline: Instant,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let mut entries = self.entries();
        loop {
            if let Some(found) = entries[from..].iter().find_map(|entry| wanted(&entry.text)) {
                return Some(found);
            }
            from = entries.len();
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.entries.1.wait_timeout(entries, left);
            entries = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The newest entries, for the message of a failure.
    pub(crate) fn tell(&self) -> String {
        let entries = self.entries();
        let skipped = entries.len().saturating_sub(SHOWN);
        let mut text = match skipped {
            0 => String::new(),
            _ => format!("  … {skipped} earlier\n"),
        };
        for Entry { at, who, text: said } in &entries[skipped..] {
            text.push_str(&format!("  {:>9.3} s  {who:<6} {said}\n", at.as_secs_f64()));
        }
        text
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
