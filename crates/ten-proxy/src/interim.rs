//! What a client is told before its answer (RFC 9110, section 15.2): that its body is wanted, and
//! what an instance says ahead of its own, such as 103 with links.
//!
//! Whoever reads a body or an answer leaves it here, and whoever serves the client looks here each
//! time after it has let them read: all of it happens in one task.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    check::BadResponse,
    head::{Response, Version, push_status_line},
    headers::{self, Headers},
};

/// Most bytes of interim answers that are passed on for one request: they are hints, and wait here
/// for a client that takes nothing.
const MAX_BYTES: usize = 16 << 10;
/// Most interim answers that an instance may send: one that goes on and on has no other.
const MAX: usize = 256;

/// What is to be said. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interims(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Interim>,
    /// Bytes of an instance's that may still be passed on.
    room: usize,
    /// How many more it may send.
    left: usize,
}

/// One of them.
#[derive(Debug)]
pub(crate) enum Interim {
    /// "Send your body" (RFC 9110, section 10.1.1).
    Continue,
    /// An instance's.
    Passed(Response),
}

impl Interims {
    /// A request in this version is next.
    pub(crate) fn begin(&self, version: Version) {
        let mut queue = self.lock();
        queue.waiting.clear();
        // HTTP/1.0 knows none (RFC 9110, section 15.2).
        queue.room = if version == Version::Http10 { 0 } else { MAX_BYTES };
        queue.left = MAX;
    }

    /// Asks for the body.
    pub(crate) fn invite(&self) {
        self.lock().waiting.push_back(Interim::Continue);
    }

    /// Passes on what an instance says, but for its invitation: clients are invited by ten, and
    /// only then is there something for the instance to read.
    ///
    /// # Errors
    /// Where it was one too many.
    pub(crate) fn pass(&self, head: Response) -> Result<(), BadResponse> {
        let mut queue = self.lock();
        queue.left = queue.left.checked_sub(1).ok_or(BadResponse::Interims)?;
        if head.status != 100
            && let Some(room) = queue.room.checked_sub(head.fields.len())
        {
            queue.room = room;
            queue.waiting.push_back(Interim::Passed(head));
        }
        Ok(())
    }

    /// The next one.
    pub(crate) fn next(&self) -> Option<Interim> {
        self.lock().waiting.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interim {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Continue => 100,
            Self::Passed(head) => head.status,
        }
    }

    /// Writes its headers.
    pub(crate) fn headers(&self, out: &mut impl Headers) {
        if let Self::Passed(head) = self {
            headers::to_client(&head.fields, true, out);
        }
    }

    /// Writes it as HTTP/1.1 has it.
    pub(crate) fn to_http1(&self, out: &mut Vec<u8>) {
        match self {
            Self::Continue => push_status_line(out, Version::Http11, 100, b"Continue"),
            Self::Passed(head) => {
                push_status_line(out, Version::Http11, head.status, head.reason());
            }
        }
        self.headers(out);
        out.extend_from_slice(b"\r\n");
    }
}
