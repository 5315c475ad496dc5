//! What a client of HTTP/1 sends: heads, and bodies between them.
//!
//! ```text
//!         ┌──────────────── no body ──────────────┐
//!         ▼                                       │
//!       Head ──▶ body (framing) ──its end──▶ Head ┘
//!         └─broken rule─▶ refused: nothing is read any more
//! ```
//!
//! A head is passed on only when the whole of it is sound, a body piece by piece. Nothing behind
//! a request is read while that is answered: it may be another protocol.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use ten_domain::ProxySettings;

use super::{
    patience::{Patience, Terms},
    places::Guest,
};
use crate::{
    body::Source,
    buffer::Buffer,
    check::BadRequest,
    framing::{Framing, Next},
    head::{Follows, Limits, Name, Request, Scan, Version},
    interim::Interims,
    wire::Wire,
};

/// Reads one connection.
#[derive(Debug)]
pub(crate) struct Reader {
    wire: Wire,
    guest: Arc<Guest>,
    limits: Limits,
    terms: Terms,
    buffer: Buffer,
    scan: Scan,
    body: Framing,
    /// Bodies so far.
    bodies: u64,
    patience: Patience,
    /// What is said ahead of answers.
    interims: Interims,
    /// The client waits to be invited before it sends the body (RFC 9110, section 10.1.1).
    uninvited: bool,
}

/// Why there is no head.
#[derive(Debug)]
pub(super) enum NoHead {
    Refused(BadRequest),
    Broken(io::Error),
}

impl Reader {
    /// Of a connection of which `read` was read already.
    pub(super) fn new(
        wire: Wire,
        guest: Arc<Guest>,
        settings: &ProxySettings,
        interims: Interims,
        read: &[u8],
    ) -> Box<Self> {
        Box::new(Self {
            wire,
            guest,
            limits: Limits { bytes: settings.max_head_bytes, headers: settings.max_headers },
            terms: Terms::of(settings),
            buffer: Buffer::holding(read),
            scan: Scan::default(),
            body: Framing::nothing(),
            bodies: 0,
            patience: Patience::default(),
            interims,
            uninvited: false,
        })
    }

    /// The next head, once the body before it has ended; `None` at the end of the connection.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Request>, NoHead>> {
        loop {
            if !self.buffer.is_empty() {
                self.guest.heard();
                let head = self.scan.scan(&self.buffer, self.limits).map_err(NoHead::Refused)?;
                if let Some(head) = head {
                    let request = self.scan.take(&mut self.buffer, head);
                    self.expect(&request);
                    return Poll::Ready(Ok(Some(request)));
                }
            }
            let Poll::Ready(read) = self.wire.poll_read(cx, &mut self.buffer) else {
                if self.wire.is_amid() {
                    self.guest.heard();
                }
                return Poll::Pending;
            };
            if read.map_err(NoHead::Broken)? == 0 {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// Whether a head has begun. An empty line alone is none.
    pub(super) fn is_in_head(&self) -> bool {
        self.scan.has_begun(&self.buffer)
    }

    /// What there is of a head that is refused.
    pub(super) fn take_sound(&mut self) -> Request {
        self.scan.take_sound(&mut self.buffer)
    }

    /// The body of `request` is next.
    fn expect(&mut self, request: &Request) {
        self.body = match request.follows {
            Follows::Nothing => return,
            Follows::Length(length) => Framing::length(length),
            Follows::Chunks => Framing::chunks(),
        };
        self.bodies += 1;
        let mut expects = request.fields.all(Name::Expect);
        self.uninvited = request.version == Version::Http11
            && expects.any(|value| value.eq_ignore_ascii_case(b"100-continue"));
    }

    /// Reads the next head with the memory of this one.
    pub(super) fn reuse(&mut self, answered: Request) {
        self.scan.reuse(answered);
    }

    /// Whether all of the body was taken.
    pub(crate) fn has_whole_body(&self) -> bool {
        self.body.has_ended()
    }

    /// Throws away what is here of the body; whether that was the rest of it.
    pub(super) fn skip_body(&mut self) -> bool {
        while let Ok(next) = self.body.next(&mut self.buffer) {
            match next {
                Next::Data(count) => self.take(count),
                Next::End => return true,
                Next::More => return false,
            }
        }
        false
    }

    /// What was read and not used.
    pub(super) fn into_rest(self) -> Buffer {
        self.buffer
    }

    /// It was answered: to invite the body now would be to write into the answer.
    pub(crate) fn invites_no_more(&mut self) {
        self.uninvited = false;
    }
}

impl Source for Reader {
    type Error = io::Error;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<&[u8]>>> {
        let here = loop {
            match self.body.next(&mut self.buffer) {
                Ok(Next::Data(count)) => break count,
                Ok(Next::End) => return Poll::Ready(Ok(None)),
                Ok(Next::More) => {}
                Err(_) => {
                    let error = "the body is not framed as HTTP/1.1 has it";
                    let error = io::Error::new(io::ErrorKind::InvalidData, error);
                    return Poll::Ready(Err(error));
                }
            }
            // Not, if it is here already.
            if std::mem::take(&mut self.uninvited) {
                self.interims.invite();
            }
            let read = self.wire.poll_read(cx, &mut self.buffer);
            let read = self.patience.with(self.bodies, self.terms, cx, read);
            if ready!(read)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.guest.heard();
        };
        self.uninvited = false;
        Poll::Ready(Ok(Some(&self.buffer[..here])))
    }

    fn take(&mut self, count: usize) {
        self.buffer.consume(count);
        self.body.took(count);
    }

    fn trailers(&self) -> &[u8] {
        self.body.trailers()
    }
}

#[cfg(test)]
mod tests;
