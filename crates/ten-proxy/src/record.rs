//! What is known of an exchange when it has ended, for whoever observes the data plane.
//!
//! A [`Recording`] goes with a request from its head to the last byte of its answer, and becomes
//! an [`Exchange`] where it is dropped: with the answer's body, with the tunnel, or with the
//! request itself where its client left. Where nobody observes it is empty: no clock is read and
//! nothing is copied.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderValue, Method, StatusCode, Version, uri::PathAndQuery};
use jiff::Timestamp;
use ten_domain::InstanceName;
use tokio::time::Instant;

use crate::{
    head::{self, Request},
    request_id::RequestId,
    upload::{Progress, Upload},
};

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

impl RequestLine {
    /// What stands in for a target that is no path is what the server as a whole is asked.
    fn of(request: &Request) -> Option<Self> {
        let method = Method::from_bytes(request.method()).ok()?;
        let uri = http::Uri::try_from(request.target()).ok()?;
        let target = uri.into_parts().path_and_query;
        Some(Self { method, target: target.unwrap_or(PathAndQuery::from_static("*")) })
    }
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
    /// Begins with a request whose head was just read, as far as it made sense.
    pub(crate) fn begin(
        observers: &Observers,
        peer: IpAddr,
        request: &Request,
        id: &RequestId,
    ) -> Self {
        if observers.is_empty() {
            return Self::default();
        }
        let header =
            |name| request.fields.get(name).and_then(|value| HeaderValue::from_bytes(value).ok());
        let line = RequestLine::of(request);
        let exchange = Exchange {
            peer,
            line,
            version: match request.version {
                head::Version::Http10 => Version::HTTP_10,
                head::Version::Http11 => Version::HTTP_11,
                head::Version::Http2 => Version::HTTP_2,
            },
            host: header("host"),
            user_agent: header("user-agent"),
            referer: header("referer"),
            request_id: id.to_header(),
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

    /// So much of the answer's body was passed on.
    pub(crate) fn sent(&mut self, bytes: usize) {
        if let Some(record) = &mut self.0 {
            record.exchange.sent_bytes += bytes as u64;
        }
    }

    /// The answer has come to its end; or the rest is a tunnel, which ends when it ends.
    pub(crate) fn whole(&mut self) {
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
