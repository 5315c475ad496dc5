//! Bodies on their way. Each piece is handed on as it comes, and the next is asked for only when
//! it was taken; nothing keeps any.
//!
//! ```text
//! Source ──lends a piece──▶ Outgoing ──writes it──▶ socket
//!        ◀──so much was taken──┘
//! ```

use std::{
    error::Error,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;

use crate::{buffer, headers, wire::Socket};

/// The body of an answer of ten's own management surface. An axum body becomes one by
/// `UnsyncBoxBody::new(body.map_err(Into::into))`.
pub type ManagementBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// Pieces up to this many bytes are copied, so that they leave with what stands before and
/// behind them.
const SMALL: usize = 2 << 10;
/// So many bytes leave at once before more are copied.
const ENOUGH: usize = 8 << 10;

/// After so many bytes others have their turn: those whom the same worker serves, and whoever
/// answers before it has all of them.
const BURST: usize = 512 << 10;

/// A body that is read, from wherever.
pub(crate) trait Source {
    type Error;

    /// The next bytes, not none; `None` at the end. They stay until they are taken.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<&[u8]>, Self::Error>>;

    /// The first of them are taken.
    fn take(&mut self, count: usize);

    /// What stands behind the end: whole lines.
    fn trailers(&self) -> &[u8];

    /// Whether all data was taken, though the end has not been seen: only trailers may come.
    fn has_no_more_data(&self) -> bool {
        false
    }
}

/// Where bytes are written to.
pub(crate) trait Sink {
    /// Writes as soon as it takes anything.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;
}

impl Sink for &Socket {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Socket::poll_write(self, cx, pieces)
    }
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By what its head says of its length, or by the end of the connection.
    Plain,
    /// By chunks (RFC 9112, section 7.1).
    Chunked { trailers: bool },
}

/// A message of HTTP/1 that is being written.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Written by us and not yet sent, but for the first `sent` bytes.
    own: Vec<u8>,
    sent: usize,
    form: Form,
    /// Bytes of the chunk under way that its source still lends.
    chunk: usize,
    ended: bool,
    begun: bool,
    /// Nothing is taken of the source before something was sent.
    revocable: bool,
}

/// Which side broke.
#[derive(Debug)]
pub(crate) enum Broke<E> {
    Source(E),
    Sink(io::Error),
}

impl Outgoing {
    /// A message with this head, whose body is told in that form.
    pub(crate) fn new(head: Vec<u8>, form: Form) -> Self {
        Self { own: head, sent: 0, form, chunk: 0, ended: false, begun: false, revocable: false }
    }

    /// One whose source is still whole where none of it was sent.
    pub(crate) fn revocable(head: Vec<u8>, form: Form) -> Self {
        let mut outgoing = Self::new(head, form);
        outgoing.revocable = true;
        outgoing
    }

    /// Whether any byte was sent.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Sends what there is. Ready when all was sent.
    pub(crate) fn poll<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        sink: &mut impl Sink,
    ) -> Poll<Result<(), Broke<S::Error>>> {
        let mut moved = 0;
        loop {
            if moved >= BURST {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.ended || self.own.len() - self.sent >= ENOUGH {
                ready!(self.poll_flush(cx, sink)).map_err(Broke::Sink)?;
                if self.ended {
                    return Poll::Ready(Ok(()));
                }
            }
            if self.form == Form::Plain && source.has_no_more_data() {
                self.end(&[]);
                continue;
            }
            let data = match source.poll_data(cx) {
                Poll::Ready(Ok(Some(data))) => data,
                Poll::Ready(Ok(None)) => {
                    self.end(source.trailers());
                    continue;
                }
                Poll::Ready(Err(error)) => {
                    // What came before is passed on, as far as it is taken at once.
                    let _ = self.poll_flush(cx, sink);
                    return Poll::Ready(Err(Broke::Source(error)));
                }
                Poll::Pending => {
                    ready!(self.poll_flush(cx, sink)).map_err(Broke::Sink)?;
                    return Poll::Pending;
                }
            };
            let chunked = self.form != Form::Plain;
            if chunked && self.chunk == 0 {
                self.chunk = data.len();
                push_size(&mut self.own, data.len());
            }
            let piece = if chunked { &data[..self.chunk.min(data.len())] } else { data };
            let early = self.revocable && !self.begun;
            let taken = if piece.len() <= SMALL && !early {
                self.own.extend_from_slice(piece);
                piece.len()
            } else {
                let own = &self.own[self.sent..];
                let pieces = [IoSlice::new(own), IoSlice::new(piece)];
                let pieces = if own.is_empty() { &pieces[1..] } else { &pieces };
                let written = ready!(sink.poll_write(cx, pieces)).and_then(something);
                let written = written.map_err(Broke::Sink)?;
                let of_own = written.min(own.len());
                self.begun = true;
                self.was_sent(of_own);
                written - of_own
            };
            source.take(taken);
            moved += taken;
            if chunked {
                self.chunk -= taken;
                if self.chunk == 0 {
                    self.own.extend_from_slice(b"\r\n");
                }
            }
        }
    }

    /// The source has nothing more.
    fn end(&mut self, lines: &[u8]) {
        self.ended = true;
        if let Form::Chunked { trailers } = self.form {
            self.own.extend_from_slice(b"0\r\n");
            if trailers {
                headers::trailers(lines, &mut self.own);
            }
            self.own.extend_from_slice(b"\r\n");
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, sink: &mut impl Sink) -> Poll<io::Result<()>> {
        while self.sent < self.own.len() {
            let own = [IoSlice::new(&self.own[self.sent..])];
            let written = ready!(sink.poll_write(cx, &own)).and_then(something)?;
            self.begun = true;
            self.was_sent(written);
        }
        Poll::Ready(Ok(()))
    }

    fn was_sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.own.len() {
            self.sent = 0;
            self.own.clear();
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        buffer::give(std::mem::take(&mut self.own));
    }
}

/// What was written, if that is anything.
fn something(written: usize) -> io::Result<usize> {
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}

/// The line before a chunk.
fn push_size(out: &mut Vec<u8>, size: usize) {
    use std::io::Write;
    // Memory takes whatever is written to it.
    let _ = write!(out, "{size:x}\r\n");
}

/// A [`Body`] that is read.
pub(crate) struct FromBody<B> {
    body: B,
    piece: Bytes,
    trailers: Vec<u8>,
    ended: bool,
}

impl<B: Body<Data = Bytes> + Unpin> FromBody<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body, piece: Bytes::new(), trailers: Vec::new(), ended: false }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended || self.piece.is_empty() && self.body.is_end_stream()
    }

    /// How much is still to come, if that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        self.body.size_hint().exact().map(|left| left + self.piece.len() as u64)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Source for FromBody<B> {
    type Error = B::Error;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<&[u8]>, B::Error>> {
        while self.piece.is_empty() && !self.ended {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose()? {
                Some(frame) => match frame.into_data() {
                    Ok(piece) => self.piece = piece,
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        headers::write(&trailers, &mut self.trailers);
                    }
                },
                None => self.ended = true,
            }
        }
        Poll::Ready(Ok(Some(&self.piece[..]).filter(|piece| !piece.is_empty())))
    }

    fn take(&mut self, count: usize) {
        self.piece.advance(count);
    }

    fn trailers(&self) -> &[u8] {
        &self.trailers
    }
}

/// The next frame of a source, for those who take frames. `done` remembers that it has ended.
pub(crate) fn poll_frame<S: Source>(
    source: &mut S,
    done: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, S::Error>>> {
    if *done {
        return Poll::Ready(None);
    }
    let piece = ready!(source.poll_data(cx))?.map(Bytes::copy_from_slice);
    if let Some(piece) = piece {
        source.take(piece.len());
        return Poll::Ready(Some(Ok(Frame::data(piece))));
    }
    *done = true;
    let mut trailers = HeaderMap::new();
    headers::trailers(source.trailers(), &mut trailers);
    Poll::Ready(if trailers.is_empty() { None } else { Some(Ok(Frame::trailers(trailers))) })
}
