//! One request to one leased instance, up to the head of its answer.
//!
//! What is certain to be unsent may be sent again, to this process or its successor. What may
//! have been sent is sent again only if that changes nothing (an idempotent method, RFC 9110,
//! section 9.2.2) and costs no memory (an empty body). Its head is still where it was read.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use http::{
    Method, Uri, Version,
    uri::{Authority, PathAndQuery, Scheme},
};
use tokio::time::{Instant, timeout};

use crate::{
    Lease,
    alarm::AlarmPlace,
    body::Form,
    buffer,
    check::Aim,
    head::{Name, Request},
    headers::{self, Told},
    interim::Interims,
    listen::Client,
    pool::{Answered, Broken, Pool, SendError},
    rescue::Fault,
    upload::{Progress, Upload, is_timeout},
};

/// How long a request waits on a new connection before idle ones make way for it. Longer than most
/// answers take, shorter than a visitor notices.
const MAKE_WAY_AFTER: Duration = Duration::from_millis(100);

/// Why a lease was of no use, and what can still be done.
pub(crate) enum Failure {
    /// None of the request was sent.
    Unsent(Fault, Upload),
    /// It may have been sent; whether sending it again is harmless.
    Lost(Fault, bool),
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

/// A request as its instance gets it, but for its body.
pub(crate) struct Message<'a> {
    pub(crate) request: &'a Request,
    pub(crate) aim: &'a Aim<'a>,
    pub(crate) told: Told<'a>,
    /// The protocol that it asks to switch to.
    pub(crate) upgrade: Option<&'a [u8]>,
    /// Where what comes ahead of the answer goes.
    pub(crate) interims: &'a Interims,
}

impl Message<'_> {
    /// As HTTP/1.1 has it: the target in origin-form, the framing of the body said.
    pub(crate) fn to_http1(&self, has_body: bool) -> (Vec<u8>, Form) {
        let fields = &self.request.fields;
        let mut out = buffer::take();
        out.extend_from_slice(self.request.method());
        out.push(b' ');
        for part in self.aim.target() {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        headers::to_instance(fields, self.told, &mut out);
        headers::wish(fields, self.upgrade, &mut out);
        let mut form = Form::Plain;
        if has_body && !fields.has(Name::ContentLength) {
            form = Form::Chunked { trailers: true };
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        out.extend_from_slice(b"\r\n");
        (out, form)
    }

    /// As HTTP/2 has it: the host in the target, nothing of the connection. A wish for an upgrade
    /// is left out, as whoever does not know the protocol would ignore it (RFC 9110, section 7.8).
    /// `None` where that cannot be said.
    pub(crate) fn to_http2(&self) -> Option<http::Request<()>> {
        let fields = &self.request.fields;
        let host = fields.all(Name::Host).next()?;
        let target = self.aim.target().concat();
        let mut head = http::Request::new(());
        *head.method_mut() = Method::from_bytes(self.request.method()).ok()?;
        *head.uri_mut() = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(Authority::try_from(host).ok()?)
            .path_and_query(PathAndQuery::try_from(target).ok()?)
            .build()
            .ok()?;
        *head.version_mut() = Version::HTTP_2;
        headers::to_instance(fields, self.told, head.headers_mut());
        if headers::wants_trailers(fields) {
            headers::announce_trailers(head.headers_mut());
        }
        head.headers_mut().remove(http::header::HOST);
        Some(head)
    }
}

/// Sends a request, and returns the head of the answer with what follows it.
pub(crate) async fn send<L: Lease>(
    lease: &L,
    client: &Client,
    message: &Message<'_>,
    upload: Upload,
    connection: Connection,
) -> Result<(Answered, Pool), Failure> {
    let pool = Pool::of(lease.slot(), lease.protocol(), client.seat, client.files());
    let progress = upload.progress();
    let answered = {
        let progress = progress.as_deref();
        let answer = pin!(exchange(&pool, lease, message, upload, connection, progress));
        within(lease.request_timeout(), &client.alarm, progress, answer).await?
    };
    if let Some(progress) = &progress {
        progress.answered();
    }
    Ok((answered, pool))
}

async fn exchange<L: Lease>(
    pool: &Pool,
    lease: &L,
    message: &Message<'_>,
    mut upload: Upload,
    connection: Connection,
    progress: Option<&Progress>,
) -> Result<Answered, Failure> {
    let again = upload.is_empty() && message.request.is_idempotent();
    let reuse = connection == Connection::Any || pool.is_shared();
    loop {
        let idle = if reuse { pool.take() } else { None };
        let fresh = idle.is_none();
        if !fresh {
            // An instance that does one thing at a time would wait for what comes over the other.
            drop(lease.connection());
        }
        let sender = match idle {
            Some(sender) => sender,
            // Rare and large: without the box, every request would have room for it.
            None => match Box::pin(pool.open(lease)).await {
                Ok(sender) => sender,
                Err(error) => return Err(not_connected(error, upload)),
            },
        };
        let sent = match fresh {
            // Rare, too.
            true => Box::pin(making_way(pool, sender.send(message, upload))).await,
            false => sender.send(message, upload).await,
        };
        match sent {
            Ok(answered) => return Ok(answered),
            Err(SendError::Unsent(error, unsent)) if fresh => {
                return Err(Failure::Unsent(Fault::Lost(error), unsent));
            }
            Err(SendError::Unsent(_, unsent)) => upload = unsent,
            Err(SendError::Lost(error)) => return Err(lost(error, again, progress)),
        }
    }
}

/// Waits for an answer on a new connection. Nothing is known of it: the process may be one that
/// serves a connection to its end before it looks at the next, and then it is the idle ones that
/// hold this request up.
async fn making_way<T>(pool: &Pool, sent: impl Future<Output = T>) -> T {
    let (mut sent, answers) = (pin!(sent), pool.answers());
    if let Ok(sent) = timeout(MAKE_WAY_AFTER, sent.as_mut()).await {
        return sent;
    }
    // One that answers others meanwhile is only slow.
    if pool.answers() == answers {
        pool.make_way();
    }
    sent.await
}

/// Where nobody listens any more, the process is gone: whoever gives out leases may know of
/// its successor. Other errors (no descriptors, no rights) are not cured by asking again.
fn not_connected(error: io::Error, upload: Upload) -> Failure {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound};
    match error.kind() {
        ConnectionRefused | ConnectionReset | NotFound => {
            Failure::Unsent(Fault::Connect(error), upload)
        }
        _ => Failure::Final(Fault::Connect(error)),
    }
}

fn lost(broken: Broken, again: bool, progress: Option<&Progress>) -> Failure {
    match broken {
        Broken::Upload(error) if is_timeout(&error) => Failure::Final(Fault::Stalled(error)),
        Broken::Upload(error) => Failure::Final(Fault::Upload(error)),
        // An answer that makes no sense would make none the second time either.
        Broken::Answer(error) => Failure::Final(Fault::BadResponse(error)),
        error if error.is_final() || progress.is_some_and(Progress::broken) => {
            Failure::Final(Fault::Lost(error))
        }
        error => Failure::Lost(Fault::Lost(error), again),
    }
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
