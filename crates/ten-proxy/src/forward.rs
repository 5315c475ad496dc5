//! One request to one leased instance, up to the head of its answer.
//!
//! What is certain to be unsent may be sent again, to this process or its successor. What may
//! have been sent is sent again only if that changes nothing (an idempotent method, RFC 9110,
//! section 9.2.2) and costs no memory (an empty body).

use std::{
    error::Error,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use http::{
    HeaderValue, Request, Response, Uri, Version, header::TRANSFER_ENCODING, uri::PathAndQuery,
};
use http_body::Body;
use hyper::body::Incoming;
use ten_domain::ProxySettings;
use tokio::time::Instant;

use crate::{
    Lease,
    alarm::AlarmPlace,
    body::{Progress, Upload},
    listen::{Client, Terms},
    pool::{Answer, Broken, Pool, Returning, SendError, Sender},
    rescue::Fault,
};

/// Why a lease was of no use, and what can still be done.
pub(crate) enum Failure {
    /// None of the request was sent.
    Unsent(Fault, Request<Upload>),
    /// It may have been sent; with a copy where sending it again is harmless.
    Lost(Fault, Option<Request<Upload>>),
    /// The request is at its end.
    Final(Fault),
}

/// Where the connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// An idle one where there is one.
    Any,
    /// A new one: the idle ones have shown that they cannot be relied on.
    Fresh,
}

/// Gives a request the form in which it goes to an instance: the target as origin-form, the
/// body's framing stated.
pub(crate) fn prepare(request: Request<Incoming>, settings: &ProxySettings) -> Request<Upload> {
    let shared = request.version() == Version::HTTP_2;
    let terms = shared.then(|| Terms::of(settings));
    let mut request = request.map(|body| Upload::new(body, terms));
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    }
    *request.version_mut() = Version::HTTP_11;
    // Said aloud, because hyper sends no body of unknown length with a GET unless told to.
    if request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    request
}

/// Sends `request` and returns the head of the answer, with what its connection needs to be
/// used again.
pub(crate) async fn send<L: Lease>(
    lease: &L,
    client: &Client,
    request: Request<Upload>,
    connection: Connection,
) -> Result<(Response<Answer>, Returning), Failure> {
    let pool = Pool::of(lease.slot(), lease.protocol(), client.seat);
    let upload = request.body().progress();
    let (sender, response) = {
        let upload = upload.as_deref();
        let answer = pin!(exchange(&pool, lease, request, connection, upload));
        within(lease.request_timeout(), &client.alarm, upload, answer).await?
    };
    let early = upload.is_some_and(|upload| !upload.answered());
    Ok((response, Returning { sender, pool, early }))
}

async fn exchange<L: Lease>(
    pool: &Pool,
    lease: &L,
    mut request: Request<Upload>,
    connection: Connection,
    upload: Option<&Progress>,
) -> Result<(Sender, Response<Answer>), Failure> {
    let copy = copy(&request);
    let reuse = connection == Connection::Any || pool.is_shared();
    loop {
        let idle = if reuse { pool.take() } else { None };
        let fresh = idle.is_none();
        let mut sender = match idle {
            Some(sender) => sender,
            // Rare and large: without the box, every request would have room for it.
            None => match Box::pin(pool.open(lease)).await {
                Ok(sender) => sender,
                Err(error) => return Err(not_connected(error, request)),
            },
        };
        match sender.send(request).await {
            Ok(response) => return Ok((sender, response)),
            Err(SendError::Unsent(error, unsent)) if fresh => {
                return Err(Failure::Unsent(Fault::Lost(error), unsent));
            }
            Err(SendError::Unsent(_, unsent)) => request = unsent,
            Err(SendError::Lost(error)) => return Err(lost(error, copy, upload)),
        }
    }
}

/// Where nobody listens any more, the process is gone: whoever gives out leases may know of
/// its successor. Other errors (no descriptors, no rights) are not cured by asking again.
fn not_connected(error: io::Error, request: Request<Upload>) -> Failure {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    match error.kind() {
        ConnectionRefused | ConnectionReset | NotFound => {
            Failure::Unsent(Fault::Connect(error), request)
        }
        _ => Failure::Final(Fault::Connect(error)),
    }
}

fn lost(error: Broken, copy: Option<Request<Upload>>, upload: Option<&Progress>) -> Failure {
    if upload.is_some_and(Progress::broken) {
        let fault = if is_timeout(&error) { Fault::Stalled } else { Fault::Upload };
        return Failure::Final(fault(error));
    }
    // An answer that makes no sense would make none the second time either.
    if error.is_final() {
        return Failure::Final(Fault::Lost(error));
    }
    Failure::Lost(Fault::Lost(error), copy)
}

/// Whether the client's socket said that its patience has ended.
fn is_timeout(error: &Broken) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A copy of a request that may be sent twice.
fn copy(request: &Request<Upload>) -> Option<Request<Upload>> {
    let harmless = request.method().is_idempotent() && request.body().is_end_stream();
    harmless.then(|| {
        let mut copy = Request::new(Upload::Empty);
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.version_mut() = request.version();
        *copy.headers_mut() = request.headers().clone();
        copy
    })
}

/// Waits for an answer for as long as the instance may take, to within one more `limit`. The time
/// runs from the last piece of the request's body, and stands still while the client is waited
/// for: a long upload is no slow answer.
async fn within<T>(
    limit: Option<Duration>,
    place: &AlarmPlace,
    upload: Option<&Progress>,
    mut answer: Pin<&mut impl Future<Output = Result<T, Failure>>>,
) -> Result<T, Failure> {
    let Some(limit) = limit else { return answer.await };
    let mut alarm = place.take();
    let mut end = Instant::now() + limit;
    let answer = poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(answer);
        }
        while alarm.is_over(end, cx) {
            if !upload.is_some_and(Progress::moved) {
                return Poll::Ready(Err(Failure::Final(Fault::Timeout { limit })));
            }
            end = Instant::now() + limit;
        }
        Poll::Pending
    });
    let answer = answer.await;
    place.put(alarm);
    answer
}
