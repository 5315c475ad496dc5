//! The body of a request on its way to an instance.
//!
//! It may be answered before it has come, and its client may be slow, or break it off: whoever
//! waits for the answer sees that in its [`Progress`].

use std::{
    collections::VecDeque,
    error::Error,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use crate::{
    body::{Source, poll_frame},
    interim::Interims,
    listen::{Patience, Reader, Terms},
    stream::Received,
};

/// Why a request's body ended before its end.
pub(crate) type UploadError = Box<dyn Error + Send + Sync>;

/// The body of a request.
pub(crate) enum Upload {
    Empty,
    Stream(Box<Stream>),
}

/// One that is not empty.
pub(crate) struct Stream {
    /// Was passed on already, to an instance that did not look at it.
    again: VecDeque<Bytes>,
    from: From,
    progress: Arc<Progress>,
}

enum From {
    Http1(Lent),
    Http2(Posted),
}

/// The body of a request of HTTP/2.
struct Posted {
    body: Received,
    /// How long the client is waited for: its socket cannot tell.
    patience: Patience,
    terms: Terms,
    /// Where it is invited, unless it was.
    invitation: Option<Interims>,
}

/// How far an upload has come, seen from outside of it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    moved: AtomicBool,
    waits: AtomicBool,
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

    /// Its request has the head of its answer.
    pub(crate) fn answered(&self) {
        self.answered.store(true, Relaxed);
    }

    /// Whether the client broke it off or framed it wrongly.
    pub(crate) fn broken(&self) -> bool {
        self.broken.load(Relaxed)
    }
}

impl Upload {
    /// A body that follows on a connection of HTTP/1.
    pub(crate) fn http1(lent: Lent) -> Self {
        Self::stream(From::Http1(lent))
    }

    /// A body of HTTP/2. `terms` hold until the answer begins: from then on the two may have a
    /// conversation, and its pauses are their own. Where the client waits for an `invitation`, it
    /// gets one once the body is waited for.
    pub(crate) fn http2(body: Received, terms: Terms, invitation: Option<Interims>) -> Self {
        if body.has_ended() {
            return Self::Empty;
        }
        let patience = Patience::default();
        Self::stream(From::Http2(Posted { body, patience, terms, invitation }))
    }

    fn stream(from: From) -> Self {
        let (again, progress) = (VecDeque::new(), Arc::default());
        Self::Stream(Box::new(Stream { again, from, progress }))
    }

    /// Makes pieces that were passed on the first of what is still to come.
    pub(crate) fn put_back(&mut self, pieces: impl DoubleEndedIterator<Item = Bytes>) {
        if let Self::Stream(stream) = self {
            pieces.rev().for_each(|piece| stream.again.push_front(piece));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether nothing is to come any more.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(stream) => stream.has_ended(),
        }
    }

    /// `None` where there is nothing to pass on.
    pub(crate) fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Empty => None,
            Self::Stream(stream) => Some(Arc::clone(&stream.progress)),
        }
    }
}

impl Stream {
    fn has_ended(&self) -> bool {
        self.again.is_empty()
            && match &self.from {
                From::Http1(lent) => lent.reader().is_none_or(Reader::has_whole_body),
                From::Http2(posted) => posted.body.has_ended(),
            }
    }
}

impl Posted {
    fn poll_data(
        &mut self,
        answered: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<&[u8]>, UploadError>> {
        let Self { body, patience, terms, invitation } = self;
        let data = body.poll_data(cx).map_err(UploadError::from);
        let moved = match &data {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(data)) => Poll::Ready(Ok(data.map_or(0, <[u8]>::len))),
            Poll::Ready(Err(_)) => Poll::Ready(Ok(0)),
        };
        if answered {
            return data;
        }
        if let Some(interims) = invitation.take_if(|_| moved.is_pending()) {
            interims.invite();
        }
        match patience.with(1, *terms, cx, moved) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            _ => data,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.progress.waits.store(false, Relaxed);
    }
}

impl Source for Upload {
    type Error = UploadError;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<&[u8]>, UploadError>> {
        let Self::Stream(stream) = self else { return Poll::Ready(Ok(None)) };
        let Stream { again, from, progress } = &mut **stream;
        if let Some(piece) = again.front() {
            return Poll::Ready(Ok(Some(piece)));
        }
        let data = match from {
            From::Http1(lent) => lent.reader_mut().map_or(Poll::Ready(Ok(None)), |reader| {
                if progress.answered.load(Relaxed) {
                    reader.invites_no_more();
                }
                reader.poll_data(cx).map_err(UploadError::from)
            }),
            From::Http2(posted) => posted.poll_data(progress.answered.load(Relaxed), cx),
        };
        progress.waits.store(data.is_pending(), Relaxed);
        let data = ready!(data);
        if data.is_err() {
            progress.broken.store(true, Relaxed);
        }
        Poll::Ready(data)
    }

    fn take(&mut self, count: usize) {
        let Self::Stream(stream) = self else { return };
        let Stream { again, from, progress } = &mut **stream;
        if let Some(piece) = again.front_mut() {
            piece.advance(count);
            if piece.is_empty() {
                again.pop_front();
            }
            return;
        }
        progress.bytes.fetch_add(count as u64, Relaxed);
        progress.moved.store(true, Relaxed);
        match from {
            From::Http1(lent) => {
                if let Some(reader) = lent.reader_mut() {
                    reader.take(count);
                }
            }
            From::Http2(posted) => posted.body.take(count),
        }
    }

    fn trailers(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Stream(stream) => match &stream.from {
                From::Http1(lent) => lent.reader().map_or(&[], Reader::trailers),
                From::Http2(posted) => posted.body.trailers(),
            },
        }
    }
}

/// The reader of a connection, in the hands of one request. Given back when it is dropped.
pub(crate) struct Lent {
    reader: Option<Box<Reader>>,
    shelf: Shelf,
}

/// Where a reader is put back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Option<Box<Reader>>>>);

impl Shelf {
    pub(crate) fn lend(&self, reader: Box<Reader>) -> Lent {
        Lent { reader: Some(reader), shelf: self.clone() }
    }

    /// The reader, if nobody has it any more.
    pub(crate) fn take(&self) -> Option<Box<Reader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Lent {
    fn reader(&self) -> Option<&Reader> {
        self.reader.as_deref()
    }

    fn reader_mut(&mut self) -> Option<&mut Reader> {
        self.reader.as_deref_mut()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.shelf.0.lock().unwrap_or_else(PoisonError::into_inner) = self.reader.take();
    }
}

/// The body of a request for ten's own management surface.
pub struct RequestBody {
    upload: Upload,
    done: bool,
}

impl RequestBody {
    pub(crate) fn new(upload: Upload) -> Self {
        Self { upload, done: false }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Self { upload, done } = self.get_mut();
        poll_frame(upload, done, cx)
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.upload.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        if self.upload.is_empty() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

/// Not named by a text: it is the client's.
impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

/// What standing still looks like to whoever asks why.
pub(crate) fn is_timeout(error: &UploadError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&**error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests;
