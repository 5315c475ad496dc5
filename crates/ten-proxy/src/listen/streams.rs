//! The requests that are under way on one connection of HTTP/2, and which of them its client
//! lets stand.
//!
//! ```text
//!             polled, nothing there            taken
//!  waiting for the instance ◀──────── body ───────────▶ waiting for the client, until a time
//! ```
//!
//! hyper asks a body for more only when the client's window has room for it. A body that was not
//! asked for long is cut: what it holds (the instance's connection, the lease) is let go, and
//! the stream is reset when the client opens its window again. Where that has become of all of
//! them, the connection is of no use to anybody.

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

/// What a client is allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// Longest silence without a request.
    pub(super) idle: Duration,
    /// Longest wait for room in a window.
    pub(super) stall: Duration,
    /// So many bytes may take a second; 0: as long as the stall.
    pub(super) rate: u32,
}

/// The streams of one connection. The locks are for the compiler: whoever takes them runs on
/// the same thread.
#[derive(Debug)]
pub(super) struct Streams<B> {
    allowance: Allowance,
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
    pub(super) fn new(allowance: Allowance) -> Arc<Self> {
        let state = State { idle_since: Instant::now(), answers: Vec::new() };
        Arc::new(Self { allowance, live: AtomicUsize::new(0), state: Mutex::new(state) })
    }

    /// One more request is under way.
    pub(super) fn begin(self: &Arc<Self>) -> Live<B> {
        self.live.fetch_add(1, Relaxed);
        Live(Arc::clone(self))
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
                Some(due) if due <= now => cut.push(answer.body.take()),
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
        lock(&self.0.state).idle_since = Instant::now();
        self.0.live.fetch_sub(1, Relaxed);
    }
}

impl<B> Live<B> {
    /// Watches the body of its answer.
    pub(super) fn watch(self, body: B) -> Watched<B> {
        let due = Some(Instant::now() + self.0.allowance.stall);
        let answer = Arc::new(Mutex::new(Answer { body: Some(body), due }));
        lock(&self.0.state).answers.push(Arc::downgrade(&answer));
        Watched { answer, live: self }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Watched<B> {
    answer: Arc<Mutex<Answer<B>>>,
    live: Live<B>,
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
        let Some(body) = answer.body.as_mut() else {
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())));
        };
        let frame = Pin::new(body).poll_frame(cx);
        let Allowance { stall, rate, .. } = self.live.0.allowance;
        answer.due = match &frame {
            Poll::Pending => None,
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                let fair = Duration::from_secs(bytes.checked_div(rate.into()).unwrap_or(0));
                Some(Instant::now() + stall.max(fair))
            }
            Poll::Ready(_) => Some(Instant::now() + stall),
        };
        frame
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.answer).body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.answer).body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
