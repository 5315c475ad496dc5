//! Bodies on their way: `Upload` to the instance, `Reply` to the client. Both hand on each
//! piece as it comes and ask for the next only when it was taken; neither keeps any.

use std::{
    collections::VecDeque,
    error::Error,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;

use crate::{
    listen::{Patience, Terms},
    pool::{Answer, Returning},
};

/// Largest buffer of a connection in each direction, in bytes. Buffers start small and grow
/// with what passes; at this size a large body costs as little per byte as it can.
pub(crate) const MAX_BUFFER: usize = 64 << 10;

/// The body of an answer of ten's own management surface. An axum body becomes one by
/// `UnsyncBoxBody::new(body.map_err(Into::into))`.
pub type ManagementBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// The body of a request on its way to an instance.
pub(crate) enum Upload {
    Empty,
    Stream {
        /// Was passed on already, to an instance that did not look at it.
        again: VecDeque<Bytes>,
        body: Incoming,
        progress: Arc<Progress>,
        /// How long the client is waited for, where its socket cannot tell.
        patience: Option<Box<(Patience, Terms)>>,
    },
}

/// Why a request's body ended before its end.
pub(crate) type UploadError = Box<dyn Error + Send + Sync>;

/// How far an upload has come, seen from outside of it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    moved: AtomicBool,
    waits: AtomicBool,
    done: AtomicBool,
    broken: AtomicBool,
    answered: AtomicBool,
    bytes: AtomicU64,
}

impl Progress {
    /// Whether it was the client's turn, or is: something was passed on since this was last
    /// asked, or the next piece is waited for. For how long is not for the instance to say.
    pub(crate) fn moved(&self) -> bool {
        self.moved.swap(false, Relaxed) || self.waits.load(Relaxed)
    }

    /// How many bytes were passed on.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Its request has the head of its answer. Whether all of it was passed on before.
    pub(crate) fn answered(&self) -> bool {
        self.answered.store(true, Relaxed);
        self.done.load(Relaxed)
    }

    /// Whether the client broke it off or framed it wrongly.
    pub(crate) fn broken(&self) -> bool {
        self.broken.load(Relaxed)
    }
}

impl Upload {
    /// The body of a request. `terms` are for those that share their connection with others, so
    /// that its socket does not know which of them it waits for. They hold until the answer
    /// begins: from then on the two may have a conversation, and its pauses are their own.
    pub(crate) fn new(body: Incoming, terms: Option<Terms>) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let patience = terms.map(|terms| Box::new((Patience::default(), terms)));
        Self::Stream { again: VecDeque::new(), body, progress: Arc::default(), patience }
    }

    /// Makes pieces that were passed on the first of what is still to come.
    pub(crate) fn put_back(&mut self, pieces: impl Iterator<Item = Bytes>) {
        if let Self::Stream { again, .. } = self {
            again.extend(pieces);
        }
    }

    /// `None` where there is nothing to pass on.
    pub(crate) fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Empty => None,
            Self::Stream { progress, .. } => Some(Arc::clone(progress)),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Self::Stream { again, body, progress, patience } = self.get_mut() else {
            return Poll::Ready(None);
        };
        if let Some(piece) = again.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let mut frame = Pin::new(&mut *body).poll_frame(cx).map_err(UploadError::from);
        if let Some(patience) = patience
            && !progress.answered.load(Relaxed)
        {
            let (patience, terms) = &mut **patience;
            if let Poll::Ready(Err(error)) = patience.with(1, *terms, cx, moved(&frame)) {
                frame = Poll::Ready(Some(Err(error.into())));
            }
        }
        progress.waits.store(frame.is_pending(), Relaxed);
        let frame = ready!(frame);
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                progress.bytes.fetch_add(length as u64, Relaxed);
                progress.moved.store(true, Relaxed);
            }
            Some(Err(_)) => progress.broken.store(true, Relaxed),
            None => {}
        }
        if frame.is_none() || body.is_end_stream() {
            progress.done.store(true, Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream { again, body, .. } => again.is_empty() && body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream { again, body, .. } if again.is_empty() => body.size_hint(),
            // What is sent again has its length, if it has one, in its head.
            Self::Stream { .. } => SizeHint::default(),
        }
    }
}

/// The bytes that a step of a body has moved.
fn moved<E>(step: &Poll<Option<Result<Frame<Bytes>, E>>>) -> Poll<io::Result<usize>> {
    match step {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(frame.data_ref().map_or(0, Bytes::len))),
        Poll::Ready(Some(Err(_)) | None) => Poll::Ready(Ok(0)),
    }
}

/// Whether nothing can follow. Whoever has the trailers of a body asks for no more.
pub(crate) fn is_last<E>(step: &Option<Result<Frame<Bytes>, E>>) -> bool {
    match step {
        Some(Ok(frame)) => frame.is_trailers(),
        Some(Err(_)) => false,
        None => true,
    }
}

/// The body of an answer on its way to the client.
pub(crate) enum Reply<L> {
    /// From an instance.
    Forwarded(Download<L>),
    /// From the management surface.
    Managed(ManagementBody),
    /// From `rescue`, or nothing at all.
    Page(Full<Bytes>),
}

/// The body of an instance's answer. While it lives, the instance is in use; with it ends an
/// upload that was answered before its end.
pub(crate) struct Download<L> {
    body: Answer,
    ended: bool,
    /// Taken on drop, when it is known whether the connection can be used again.
    connection: Option<Returning>,
    /// After `connection`, so that the connection is back in the pool before the use ends.
    _lease: L,
}

impl<L> Download<L> {
    pub(crate) fn new(body: Answer, connection: Returning, lease: L) -> Self {
        Self { body, ended: false, connection: Some(connection), _lease: lease }
    }
}

impl<L> Drop for Download<L> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // Otherwise its end goes with it: the rest of this answer would be the next client's, and
        // nothing may reach the instance after its use has ended. An instance that has answered
        // before it had the whole request may never read the rest, or take it for the next one.
        if !connection.early && (self.ended || self.body.is_end_stream()) {
            connection.sender.give_back(connection.pool);
        }
    }
}

// No field is ever pinned by way of the whole.
impl<L> Unpin for Reply<L> {}

impl<L> Body for Reply<L> {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Forwarded(download) => {
                let frame = ready!(Pin::new(&mut download.body).poll_frame(cx));
                download.ended |= is_last(&frame);
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Self::Managed(body) => Pin::new(body).poll_frame(cx),
            Self::Page(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Forwarded(download) => download.body.is_end_stream(),
            Self::Managed(body) => body.is_end_stream(),
            Self::Page(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Forwarded(download) => download.body.size_hint(),
            Self::Managed(body) => body.size_hint(),
            Self::Page(body) => body.size_hint(),
        }
    }
}
