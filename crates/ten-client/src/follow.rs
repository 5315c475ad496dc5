//! A log stream that is still being written: server-sent events, read one by one.
//!
//! Format: WHATWG HTML, section 9.2. The server sends only what is read here: `data:` with
//! one JSON value per event, `event: missed` where lines were dropped, and comments to keep
//! the connection alive.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use ten_api::LogLine;

use crate::{Error, Target};

/// A log stream. Ends when the server does; dropping it closes the connection.
#[derive(Debug)]
pub struct Following {
    target: Target,
    body: Incoming,
    events: Events,
}

/// What a log stream brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// A line.
    Line(LogLine),
    /// So many lines came faster than they were read, and were left out.
    Missed(u64),
}

impl Following {
    pub(crate) fn new(target: Target, body: Incoming) -> Self {
        Self { target, body, events: Events::default() }
    }

    /// The next thing that happens; `None` when the server ends the stream.
    pub async fn next(&mut self) -> Result<Option<Followed>, Error> {
        loop {
            if let Some(event) = self.events.pop() {
                return self.read(event).map(Some);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.events.push(&data);
                    }
                }
                Some(Err(source)) => {
                    return Err(Error::Broken { target: self.target.clone(), source });
                }
                None => return Ok(None),
            }
        }
    }

    fn read(&self, event: Event) -> Result<Followed, Error> {
        let read = if event.name == "missed" {
            serde_json::from_slice(&event.data).map(Followed::Missed)
        } else {
            serde_json::from_slice(&event.data).map(Followed::Line)
        };
        read.map_err(|source| Error::Unreadable {
            target: self.target.clone(),
            path: ten_api::paths::LOGS_STREAM.to_owned(),
            source,
        })
    }
}

/// Bytes that came, of which no event was made yet.
#[derive(Debug, Default)]
struct Events {
    bytes: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Event {
    name: String,
    data: Vec<u8>,
}

impl Events {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the first whole event with data off the front.
    fn pop(&mut self) -> Option<Event> {
        while let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
            let mut event = Event { name: String::new(), data: Vec::new() };
            for line in block.split(|byte| *byte == b'\n') {
                if let Some(data) = line.strip_prefix(b"data:") {
                    event.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
                } else if let Some(name) = line.strip_prefix(b"event:") {
                    event.name = String::from_utf8_lossy(name).trim().to_owned();
                }
            }
            if !event.data.is_empty() {
                return Some(event);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_the_bytes_are_cut() {
        let wire = b": hi\n\ndata: {\"a\":1}\n\nevent: missed\ndata: 7\n\ndata: cut";
        for size in 1..wire.len() {
            let mut events = Events::default();
            let mut seen = Vec::new();
            for part in wire.chunks(size) {
                events.push(part);
                seen.extend(std::iter::from_fn(|| events.pop()));
            }
            let line = Event { name: String::new(), data: b"{\"a\":1}".to_vec() };
            let missed = Event { name: "missed".to_owned(), data: b"7".to_vec() };
            assert_eq!(seen, [line, missed], "chunks of {size}");
        }
    }
}
