//! The two ways of a stream of HTTP/2, on whichever end of it we are.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use h2::{RecvStream, SendStream};

use crate::{body::Source, headers};

/// What the other side sends: a body and its trailers.
pub(crate) struct Received {
    arrivals: Arc<Mutex<Arrivals>>,
    piece: Bytes,
    /// Bytes that were taken and whose room the other side was not given back yet.
    taken: usize,
    trailers: Option<Vec<u8>>,
}

/// What has come and waits to be read: no more than the window has room for.
struct Arrivals {
    stream: RecvStream,
    first: Bytes,
    /// Behind the first, as one piece.
    rest: BytesMut,
    /// There is no more data.
    end: Option<Result<(), h2::Error>>,
    /// Who waits for more.
    reader: Option<Waker>,
}

/// The place of a body's frames as they come.
///
/// To h2 each that waits costs as much as 256 bytes, however small it is, and past some memory for
/// all of a connection that ends. So whoever drives an exchange gathers them, whatever the body
/// waits for. h2 wakes the one task that has asked last: the body is to be read by the same one.
pub(crate) struct Inbox(Weak<Mutex<Arrivals>>);

impl Inbox {
    /// Makes one piece of the frames that have come. To be asked whenever its task is polled.
    pub(crate) fn gather(&self, cx: &mut Context<'_>) {
        let Some(arrivals) = self.0.upgrade() else { return };
        let mut arrivals = lock(&arrivals);
        arrivals.gather(cx);
        if !arrivals.is_empty()
            && let Some(reader) = arrivals.reader.take_if(|it| !it.will_wake(cx.waker()))
        {
            reader.wake();
        }
    }
}

impl Received {
    pub(crate) fn new(stream: RecvStream) -> Self {
        let (first, rest) = (Bytes::new(), BytesMut::new());
        let arrivals = Arrivals { stream, first, rest, end: None, reader: None };
        let arrivals = Arc::new(Mutex::new(arrivals));
        Self { arrivals, piece: Bytes::new(), taken: 0, trailers: None }
    }

    /// Where it comes in, for as long as this lives.
    pub(crate) fn inbox(&self) -> Inbox {
        Inbox(Arc::downgrade(&self.arrivals))
    }

    /// Whether nothing is to come any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.piece.is_empty() && lock(&self.arrivals).has_ended()
    }

    /// Makes one piece of the frames that have come.
    pub(crate) fn gather(&self, cx: &mut Context<'_>) {
        lock(&self.arrivals).gather(cx);
    }

    /// Throws the rest away.
    pub(crate) async fn run_out(mut self) {
        let next = |it: &mut Self, cx: &mut Context<'_>| {
            it.poll_data(cx).map(|data| data.ok().flatten().map(<[u8]>::len))
        };
        while let Some(count) = poll_fn(|cx| next(&mut self, cx)).await {
            self.take(count);
        }
    }
}

impl Source for Received {
    type Error = h2::Error;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<&[u8]>, h2::Error>> {
        if self.trailers.is_some() {
            return Poll::Ready(Ok(None));
        }
        let mut arrivals = lock(&self.arrivals);
        // More is asked for once what came before was taken.
        let taken = std::mem::take(&mut self.taken);
        if taken > 0 {
            arrivals.stream.flow_control().release_capacity(taken)?;
        }
        arrivals.gather(cx);
        if self.piece.is_empty() {
            match ready!(arrivals.poll_next(cx))? {
                Some(piece) => self.piece = piece,
                None => {
                    let trailers = ready!(arrivals.stream.poll_trailers(cx))?.unwrap_or_default();
                    let mut lines = Vec::new();
                    headers::write(&trailers, &mut lines);
                    self.trailers = Some(lines);
                    return Poll::Ready(Ok(None));
                }
            }
        }
        Poll::Ready(Ok(Some(&self.piece)))
    }

    fn take(&mut self, count: usize) {
        self.piece.advance(count);
        self.taken += count;
    }

    fn trailers(&self) -> &[u8] {
        self.trailers.as_deref().unwrap_or_default()
    }
}

impl Arrivals {
    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.rest.is_empty() && self.end.is_none()
    }

    fn has_ended(&self) -> bool {
        self.first.is_empty() && self.rest.is_empty() && self.stream.is_end_stream()
    }

    fn gather(&mut self, cx: &mut Context<'_>) {
        while self.end.is_none()
            && let Poll::Ready(data) = self.stream.poll_data(cx)
        {
            match data {
                Some(Ok(data)) if self.first.is_empty() && self.rest.is_empty() => {
                    self.first = data;
                }
                Some(Ok(data)) => self.rest.extend_from_slice(&data),
                Some(Err(error)) => self.end = Some(Err(error)),
                None => self.end = Some(Ok(())),
            }
        }
    }

    /// What comes next, not nothing; `None` after all of it.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, h2::Error>> {
        if !self.first.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.first))));
        }
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(Some(self.rest.split().freeze())));
        }
        match self.end.replace(Ok(())) {
            Some(end) => Poll::Ready(end.map(|()| None)),
            None => {
                self.end = None;
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn lock(arrivals: &Mutex<Arrivals>) -> MutexGuard<'_, Arrivals> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until the other side takes some of `wanted` bytes, and says how many; `None`: it never
/// will. No window is claimed for what is not there: that would keep it from the other streams.
pub(crate) fn poll_room(
    stream: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<Option<usize>> {
    stream.reserve_capacity(wanted);
    while stream.capacity() == 0 {
        if !matches!(ready!(stream.poll_capacity(cx)), Some(Ok(_))) {
            return Poll::Ready(None);
        }
    }
    Poll::Ready(Some(stream.capacity().min(wanted)))
}
