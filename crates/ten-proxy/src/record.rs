//! What is known of an exchange when it has ended, for whoever observes the data plane.
//!
//! A [`Recording`] goes with a request from its head to the last byte of its answer, and becomes
//! an [`Exchange`] where it is dropped: with the answer's body, with the tunnel, or with the
//! request itself where its client left. Where nobody observes it is empty: no clock is read and
//! nothing is copied.

use std::{
    error::Error,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode, Version,
    header::{HOST, REFERER, USER_AGENT},
    uri::PathAndQuery,
};
use http_body::{Body, Frame, SizeHint};
use jiff::Timestamp;
use ten_domain::InstanceName;
use tokio::time::Instant;

use crate::body::{Progress, Upload, is_last};

/// The status of an exchange whose client left before there was one. Nobody is sent it; the
/// number is nginx's.
const CLIENT_LEFT: u16 = 499;

/// Is told of every exchange.
pub trait Observer: Send + Sync + 'static {
    /// Called once for each exchange, when its answer has ended or was cut, or its tunnel has
    /// closed; by the thread that serves clients, which must not be held up.
    fn observe(&self, exchange: &Exchange);
}

/// All who are told.
pub(crate) type Observers = Arc<[Box<dyn Observer>]>;

/// A request and its answer, from the end of the request's head. All text is the client's.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The client, as far as it is believed who that is.
    pub peer: IpAddr,
    /// What it asked; `None` where that made no sense.
    pub line: Option<RequestLine>,
    /// In which version.
    pub version: Version,
    /// Of which host, as it was spelled.
    pub host: Option<HeaderValue>,
    /// What it says it is.
    pub user_agent: Option<HeaderValue>,
    /// Where it says it comes from.
    pub referer: Option<HeaderValue>,
    /// The id that instance and client were given too.
    pub request_id: HeaderValue,
    /// When the request's head had been read.
    pub began: Timestamp,
    /// The answer's status.
    pub status: StatusCode,
    /// Bytes of the request's body that were passed on to an instance.
    pub received_bytes: u64,
    /// Bytes of the answer's body that were passed on to the client. Those inside a tunnel do
    /// not count, in either direction.
    pub sent_bytes: u64,
    /// Whether the answer ended before its end.
    pub cut: bool,
    /// The instance that had the request; the last, where there were several.
    pub instance: Option<InstanceName>,
    /// What ten answered in the instance's place: the kind of the error, or `asleep-answer`.
    pub own_answer: Option<&'static str>,
    /// From `began` to the end.
    pub duration: Duration,
    /// How much of it was spent waiting for an instance: for its wake, or for room in it. Zero
    /// where one that runs took the request at once.
    pub wake: Duration,
    /// From when the instance was sent the request to the head of its answer; `None` without one.
    pub upstream: Option<Duration>,
}

/// What a request asks for.
#[derive(Debug, Clone)]
pub struct RequestLine {
    /// The method.
    pub method: Method,
    /// The path and the query.
    pub target: PathAndQuery,
}

/// An exchange under way; empty where nobody observes.
#[derive(Default)]
pub(crate) struct Recording(Option<Box<Record>>);

struct Record {
    exchange: Exchange,
    observers: Observers,
    start: Instant,
    /// Since when it waits for an instance, while it does.
    waits: Option<Instant>,
    upload: Option<Arc<Progress>>,
}

impl Record {
    fn waited(&mut self) {
        let waited = self.waits.take().map_or(Duration::ZERO, |since| since.elapsed());
        self.exchange.wake += waited;
    }
}

impl Recording {
    /// Begins with a request whose head was just read. What stands in place of a head that makes
    /// no sense is not worth recording: `makes_sense` tells.
    pub(crate) fn begin<B>(
        observers: &Observers,
        peer: IpAddr,
        request: &Request<B>,
        makes_sense: impl FnOnce() -> bool,
        id: &HeaderValue,
    ) -> Self {
        if observers.is_empty() {
            return Self::default();
        }
        let header = |name| request.headers().get(name).cloned();
        let target = request.uri().path_and_query().cloned();
        let target = target.unwrap_or(PathAndQuery::from_static("*"));
        let line = RequestLine { method: request.method().clone(), target };
        let exchange = Exchange {
            peer,
            line: makes_sense().then_some(line),
            version: request.version(),
            host: header(HOST),
            user_agent: header(USER_AGENT),
            referer: header(REFERER),
            request_id: id.clone(),
            began: Timestamp::now(),
            status: StatusCode::from_u16(CLIENT_LEFT).unwrap_or_default(),
            received_bytes: 0,
            sent_bytes: 0,
            cut: true,
            instance: None,
            own_answer: None,
            duration: Duration::ZERO,
            wake: Duration::ZERO,
            upstream: None,
        };
        let observers = Arc::clone(observers);
        let start = Instant::now();
        Self(Some(Box::new(Record { exchange, observers, start, waits: None, upload: None })))
    }

    /// The time, where times are measured.
    pub(crate) fn clock(&self) -> Option<Instant> {
        self.0.as_ref().map(|_| Instant::now())
    }

    /// A wait for an instance begins.
    pub(crate) fn waits(&mut self) {
        if let Some(record) = &mut self.0 {
            record.waits = Some(Instant::now());
        }
    }

    /// The wait has ended, in whatever way.
    pub(crate) fn waited(&mut self) {
        if let Some(record) = &mut self.0 {
            record.waited();
        }
    }

    /// An instance gets the request now.
    pub(crate) fn leased(&mut self, instance: &InstanceName) {
        if let Some(record) = &mut self.0 {
            record.exchange.instance = Some(instance.clone());
        }
    }

    /// What is passed on of the request's body counts.
    pub(crate) fn passes_on(&mut self, upload: &Upload) {
        if let Some(record) = &mut self.0 {
            record.upload = upload.progress();
        }
    }

    /// The head of the answer is there, of a request that was sent at `since`.
    pub(crate) fn head(&mut self, since: Option<Instant>) {
        if let Some((record, since)) = self.0.as_mut().zip(since) {
            record.exchange.upstream = Some(since.elapsed());
        }
    }

    /// ten answers in the instance's place.
    pub(crate) fn own_answer(&mut self, kind: &'static str) {
        if let Some(record) = &mut self.0 {
            record.exchange.own_answer = Some(kind);
        }
    }

    /// The client is answered with this status.
    pub(crate) fn status(&mut self, status: StatusCode) {
        if let Some(record) = &mut self.0 {
            record.exchange.status = status;
        }
    }

    /// The rest is a tunnel: it ends when it ends.
    pub(crate) fn tunnel(&mut self) -> Self {
        self.status(StatusCode::SWITCHING_PROTOCOLS);
        self.whole();
        std::mem::take(self)
    }

    fn sent(&mut self, bytes: usize) {
        if let Some(record) = &mut self.0 {
            record.exchange.sent_bytes += bytes as u64;
        }
    }

    fn whole(&mut self) {
        if let Some(record) = &mut self.0 {
            record.exchange.cut = false;
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.waited();
        let exchange = &mut self.exchange;
        exchange.duration = self.start.elapsed();
        exchange.received_bytes = self.upload.as_ref().map_or(0, |upload| upload.bytes());
        for observer in self.observers.iter() {
            observer.observe(exchange);
        }
    }
}

/// The body of an answer, with the recording that ends with it.
pub(crate) struct Recorded<B: Body> {
    body: B,
    recording: Recording,
}

impl<B: Body> Recorded<B> {
    pub(crate) fn new(body: B, recording: Recording) -> Self {
        Self { body, recording }
    }
}

impl<B> Body for Recorded<B>
where
    B: Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            this.recording.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        if is_last(&frame) {
            this.recording.whole();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body> Drop for Recorded<B> {
    fn drop(&mut self) {
        // Who knows that nothing is left need not ask for it.
        if self.body.is_end_stream() || self.body.size_hint().exact() == Some(0) {
            self.recording.whole();
        }
    }
}
