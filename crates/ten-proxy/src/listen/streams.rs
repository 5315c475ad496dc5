//! The requests that are under way on one connection of HTTP/2, and which of them its client
//! lets stand.
//!
//! ```text
//!             polled, nothing there            taken
//!  waiting for the instance ◀──────── body ───────────▶ waiting for the client, until a time
//! ```
//!
//! hyper asks a body for one piece more than the client's window has room for, and then waits. A
//! body that was not asked for long is cut: what it holds (the instance's connection, the lease)
//! is let go, and the stream is reset when the client opens its window again. Where that has
//! become of all of them, the connection is of no use to anybody.
//!
//! Pieces are small ([`MAX_PIECE`]), so that an honest client with a slow line takes each in time.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::places::{Further, Guest};

/// What a client is allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// Longest silence without a request.
    pub(super) idle: Duration,
    /// Longest time for taking one piece.
    pub(super) stall: Duration,
}

/// Largest piece of an answer, in bytes: a frame of the size that every client takes (RFC 9113,
/// section 4.2). At the default `body_timeout` of a minute, who takes 280 bytes in a second is in
/// time.
const MAX_PIECE: usize = 16 << 10;

/// The streams of one connection. The locks are for the compiler: whoever takes them runs on
/// the same thread.
#[derive(Debug)]
pub(super) struct Streams<B> {
    allowance: Allowance,
    /// Silent while there are none.
    guest: Arc<Guest>,
    live: AtomicUsize,
    state: Mutex<State<B>>,
}

#[derive(Debug)]
struct State<B> {
    /// When the last request ended.
    idle_since: Instant,
    answers: Vec<Weak<Mutex<Answer<B>>>>,
}

#[derive(Debug)]
struct Answer<B> {
    /// `None`: it was cut.
    body: Option<B>,
    /// Of the piece under way, what was not passed on yet.
    rest: Bytes,
    /// Until when it may wait for the client; `None`: it waits for the instance.
    due: Option<Instant>,
}

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Well; look again then.
    Well(Instant),
    /// It has been silent for as long as it may.
    Idle,
    /// Its client takes nothing of all that it asked for.
    Stuck,
}

impl<B> Streams<B> {
    pub(super) fn new(allowance: Allowance, guest: Arc<Guest>) -> Arc<Self> {
        let state = State { idle_since: Instant::now(), answers: Vec::new() };
        Arc::new(Self { allowance, guest, live: AtomicUsize::new(0), state: Mutex::new(state) })
    }

    /// One more request is under way.
    pub(super) fn begin(self: &Arc<Self>) -> Live<B> {
        self.guest.is_busy();
        self.live.fetch_add(1, Relaxed);
        Live(Arc::clone(self))
    }

    pub(super) fn are_none(&self) -> bool {
        self.live.load(Relaxed) == 0
    }

    /// Cuts what has waited for too long, and says how the connection stands.
    pub(super) fn judge(&self) -> Verdict {
        let now = Instant::now();
        let mut next = now + self.allowance.stall;
        let mut cut = Vec::new();
        let mut state = lock(&self.state);
        state.answers.retain(|answer| answer.strong_count() > 0);
        for answer in state.answers.iter().filter_map(Weak::upgrade) {
            let mut answer = lock(&answer);
            match answer.due {
                Some(due) if due <= now => {
                    cut.push((answer.body.take(), std::mem::take(&mut answer.rest)));
                }
                Some(due) => next = next.min(due),
                None => {}
            }
        }
        let idle_end = state.idle_since + self.allowance.idle;
        drop(state);
        match self.live.load(Relaxed) {
            0 if idle_end <= now => Verdict::Idle,
            0 => Verdict::Well(idle_end),
            live if live == cut.len() => Verdict::Stuck,
            _ => Verdict::Well(next),
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Live<B>(Arc<Streams<B>>);

impl<B> Drop for Live<B> {
    fn drop(&mut self) {
        // Written before the count falls: whoever sees none also sees since when.
        let now = Instant::now();
        lock(&self.0.state).idle_since = now;
        if self.0.live.fetch_sub(1, Relaxed) == 1 {
            self.0.guest.is_silent(now);
        }
    }
}

impl<B> Live<B> {
    /// Watches the body of its answer.
    pub(super) fn watch(self, body: B, further: Option<Further>) -> Watched<B> {
        let due = Some(Instant::now() + self.0.allowance.stall);
        let answer = Arc::new(Mutex::new(Answer { body: Some(body), rest: Bytes::new(), due }));
        lock(&self.0.state).answers.push(Arc::downgrade(&answer));
        Watched { answer, live: self, _further: further }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Watched<B> {
    answer: Arc<Mutex<Answer<B>>>,
    live: Live<B>,
    _further: Option<Further>,
}

impl<B> Body for Watched<B>
where
    B: Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut answer = lock(&self.answer);
        let Answer { body, rest, due } = &mut *answer;
        let Some(body) = body.as_mut() else {
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())));
        };
        let frame = if rest.is_empty() {
            Pin::new(body).poll_frame(cx)
        } else {
            Poll::Ready(Some(Ok(Frame::data(std::mem::take(rest)))))
        };
        let frame = frame.map_ok(|frame| match frame.into_data() {
            Ok(mut piece) if piece.len() > MAX_PIECE => {
                *rest = piece.split_off(MAX_PIECE);
                Frame::data(piece)
            }
            Ok(piece) => Frame::data(piece),
            Err(trailers) => trailers,
        });
        *due = frame.is_ready().then(|| Instant::now() + self.live.0.allowance.stall);
        frame
    }

    fn is_end_stream(&self) -> bool {
        let answer = lock(&self.answer);
        answer.rest.is_empty() && answer.body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let answer = lock(&self.answer);
        match &answer.body {
            // Asked once, before the first piece.
            Some(body) if answer.rest.is_empty() => body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
