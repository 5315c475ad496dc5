//! A request's body on its way into a stream, piece by piece.
//!
//! A piece is asked of the client only when the one before it is in h2's hands, and given to
//! h2 only once the stream has window for some of it.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;

use crate::{body::Source, headers, pool::Broken, stream::poll_room, upload::Upload};

/// Bytes of a body that are kept until the answer begins, to be sent again if the instance says
/// that it has not looked at them. They are the client's buffers, shared and not copied; a
/// gRPC call of one message is as a rule smaller than that. Each piece counts [`PIECE`] more.
const MAX_KEPT: usize = 64 << 10;
/// What it costs to remember a piece, however small it is.
const PIECE: usize = size_of::<Bytes>();

/// The passing of one body.
pub(crate) struct Passing {
    body: Upload,
    stream: SendStream<Bytes>,
    /// Waits for window.
    piece: Option<Bytes>,
    /// What was passed on so far, where it is little.
    kept: Option<Vec<Bytes>>,
    kept_bytes: usize,
    done: bool,
}

impl Passing {
    pub(super) fn new(body: Upload, stream: SendStream<Bytes>) -> Self {
        let done = body.is_empty();
        Self { body, stream, piece: None, kept: Some(Vec::new()), kept_bytes: 0, done }
    }

    /// Whether there is nothing left to pass on.
    pub(super) fn done(&self) -> bool {
        self.done
    }

    /// The body as it was before any of it was passed on, if it still can be had.
    pub(super) fn take_back(self) -> Option<Upload> {
        let mut body = self.body;
        body.put_back(self.kept?.into_iter().chain(self.piece));
        Some(body)
    }

    /// Ready when all was passed on or the instance takes no more; an error is the client's.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.done {
            if let Some(piece) = self.piece.take() {
                // Any room will do: h2 keeps the rest of the piece, and asks for what that needs.
                match poll_room(&mut self.stream, 1, cx) {
                    Poll::Pending => {
                        self.piece = Some(piece);
                        return Poll::Pending;
                    }
                    Poll::Ready(None) => self.done = true,
                    Poll::Ready(Some(_)) => self.pass(piece),
                }
            } else {
                ready!(self.poll_piece(cx))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The next piece from the client.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let piece = match ready!(self.body.poll_data(cx)) {
            Ok(data) => data.map(Bytes::copy_from_slice),
            Err(error) => {
                self.stream.send_reset(Reason::CANCEL);
                self.done = true;
                return Poll::Ready(Err(Broken::Upload(error)));
            }
        };
        if let Some(piece) = piece {
            self.body.take(piece.len());
            self.piece = Some(piece);
            return Poll::Ready(Ok(()));
        }
        let mut trailers = HeaderMap::new();
        headers::trailers(self.body.trailers(), &mut trailers);
        if trailers.is_empty() {
            // An end of its own needs no window.
            self.pass(Bytes::new());
        } else {
            (self.kept, self.done) = (None, true);
            let sent = self.stream.send_trailers(trailers);
            self.settle(sent);
        }
        Poll::Ready(Ok(()))
    }

    fn pass(&mut self, piece: Bytes) {
        self.kept_bytes += piece.len() + PIECE;
        if self.kept_bytes > MAX_KEPT {
            self.kept = None;
        } else if let Some(kept) = &mut self.kept {
            kept.push(piece.clone());
        }
        self.done = piece.is_empty() || self.body.has_ended() && self.body.trailers().is_empty();
        let sent = self.stream.send_data(piece, self.done);
        self.settle(sent);
    }

    /// What a stream does not take has no way to the instance any more: it is over, or the
    /// trailers have a name that HTTP/2 forbids. Whoever waits for the answer learns of it.
    fn settle(&mut self, sent: Result<(), h2::Error>) {
        if sent.is_err() {
            self.stream.send_reset(Reason::CANCEL);
            self.done = true;
        }
    }
}
