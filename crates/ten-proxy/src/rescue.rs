//! Every error → the answer that a stranger may see.
//!
//! Pages say what the client can act on. Paths, pids, addresses and error chains go to the
//! log, once, here, together with the id that the answer carries.

use std::{error::Error, io, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER},
};
use http_body::Body;
use http_body_util::Full;
use ten_domain::RouteError;

use crate::{
    Refusal,
    check::{BadRequest, BadResponse},
    headers::X_REQUEST_ID,
};

/// Tells a client's programmer what state the instance was in (SPEC 4).
const X_TEN_STATE: HeaderName = HeaderName::from_static("x-ten-state");
/// When to come back where nothing better is known: a queue or a limit may have room in a second.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// Why a request was not answered by whom it was for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("malformed request")]
    BadRequest(#[from] BadRequest),
    #[error("no route")]
    Route(#[from] RouteError),
    #[error("no lease")]
    Refused(#[from] Refusal),
    #[error("the instance cannot be connected to")]
    Connect(#[source] io::Error),
    #[error("the instance broke off the connection or sent what is not HTTP")]
    Lost(#[source] hyper::Error),
    #[error("the instance's answer cannot be passed on")]
    BadResponse(#[from] BadResponse),
    #[error("the instance did not answer within {limit:?}")]
    Timeout { limit: Duration },
    #[error("the client broke off the request's body or framed it wrongly")]
    Upload(#[source] hyper::Error),
    #[error("the client stood still in the middle of the request's body")]
    Stalled(#[source] hyper::Error),
    #[error("the client left while its request waited")]
    Gone,
}

/// What is kept of a request for the case that it cannot be answered.
#[derive(Debug)]
pub(crate) struct Asked {
    id: HeaderValue,
    /// As it came, for the log.
    host: Option<HeaderValue>,
    html: bool,
    /// A body follows, and may be left unread in the connection.
    body: bool,
}

impl Asked {
    pub(crate) fn new<B: Body>(request: &Request<B>, id: HeaderValue) -> Self {
        let html = |value: &HeaderValue| value.to_str().is_ok_and(|v| v.contains("text/html"));
        Self {
            id,
            host: request.headers().get(HOST).cloned(),
            html: request.headers().get_all(ACCEPT).iter().any(html),
            body: !request.body().is_end_stream(),
        }
    }

    pub(crate) fn id(&self) -> &HeaderValue {
        &self.id
    }
}

struct Page {
    status: StatusCode,
    state: &'static str,
    /// The last part of the problem's `type`.
    kind: &'static str,
    title: &'static str,
    detail: &'static str,
    retry_after: Option<Duration>,
    /// The connection cannot be used again.
    close: bool,
}

impl Page {
    const fn new(
        status: StatusCode,
        state: &'static str,
        kind: &'static str,
        title: &'static str,
        detail: &'static str,
    ) -> Self {
        Self { status, state, kind, title, detail, retry_after: None, close: false }
    }

    const fn retry(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    const fn closing(mut self) -> Self {
        self.close = true;
        self
    }
}

/// The answer in place of the one that could not be had.
pub(crate) fn rescue(fault: &Fault, asked: &Asked) -> Response<Full<Bytes>> {
    let page = page(fault);
    log(fault, page.status, asked);
    let (media_type, body) = match asked.html {
        true => ("text/html; charset=utf-8", html(&page)),
        false => ("application/problem+json", problem(&page)),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_TEN_STATE, HeaderValue::from_static(page.state));
    headers.insert(X_REQUEST_ID, asked.id.clone());
    if let Some(after) = page.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs_f64().ceil().max(1.0) as u64));
    }
    if page.close || asked.body {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn page(fault: &Fault) -> Page {
    use StatusCode as S;
    match fault {
        Fault::BadRequest(BadRequest::TargetTooLong) => Page::new(
            S::URI_TOO_LONG,
            "unknown",
            "target-too-long",
            "Address too long",
            "The address of the request is longer than is allowed here.",
        )
        .closing(),
        Fault::BadRequest(BadRequest::HeadTooLong | BadRequest::TooManyHeaders) => Page::new(
            S::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "unknown",
            "headers-too-large",
            "Headers too large",
            "The request has more or longer headers than are allowed here.",
        )
        .closing(),
        Fault::BadRequest(_) => Page::new(
            S::BAD_REQUEST,
            "unknown",
            "malformed-request",
            "Malformed request",
            "The request breaks a rule of HTTP that is enforced here.",
        )
        .closing(),
        Fault::Upload(_) => Page::new(
            S::BAD_REQUEST,
            "unknown",
            "malformed-body",
            "Malformed request body",
            "The body of the request was cut short or is not framed as HTTP wants it.",
        )
        .closing(),
        Fault::Stalled(_) => Page::new(
            S::REQUEST_TIMEOUT,
            "unknown",
            "body-timeout",
            "Too slow",
            "The body of the request stood still for too long.",
        )
        .closing(),
        // For clients that have only closed their writing side.
        Fault::Gone => Page::new(
            S::BAD_REQUEST,
            "unknown",
            "client-left",
            "Gone",
            "The connection was closed from the client's side before the request had its turn.",
        )
        .closing(),
        Fault::Route(RouteError::Unknown) | Fault::Refused(Refusal::Unknown) => Page::new(
            S::NOT_FOUND,
            "unknown",
            "not-found",
            "Not found",
            "There is nothing at this address.",
        ),
        Fault::Route(RouteError::Misdirected) => Page::new(
            S::MISDIRECTED_REQUEST,
            "unknown",
            "misdirected",
            "Misdirected request",
            "The connection was made for another host.",
        ),
        Fault::Refused(Refusal::Asleep) => Page::new(
            S::SERVICE_UNAVAILABLE,
            "asleep",
            "asleep",
            "Asleep",
            "This address sleeps, and requests do not wake it.",
        ),
        Fault::Refused(Refusal::NotReady { retry_after }) => Page::new(
            S::SERVICE_UNAVAILABLE,
            "waking",
            "not-ready",
            "Not ready yet",
            "It was started and is not ready. Try again shortly.",
        )
        .retry(*retry_after),
        Fault::Refused(Refusal::Failed) => Page::new(
            S::SERVICE_UNAVAILABLE,
            "failed",
            "failed",
            "Out of order",
            "It failed to start several times and waits for its operator.",
        ),
        Fault::Refused(Refusal::QueueFull) => Page::new(
            S::SERVICE_UNAVAILABLE,
            "waking",
            "queue-full",
            "Too many are waiting",
            "More requests wait for it than may. Try again shortly.",
        )
        .retry(RETRY_SOON),
        Fault::Refused(Refusal::TooManyRunning) => Page::new(
            S::SERVICE_UNAVAILABLE,
            "asleep",
            "too-many-running",
            "No room to wake it",
            "As many as may run are running. Try again shortly.",
        )
        .retry(RETRY_SOON),
        Fault::Refused(Refusal::TooManyNew { retry_after }) => Page::new(
            S::TOO_MANY_REQUESTS,
            "asleep",
            "too-many-new",
            "Too many new addresses",
            "Requests from your network have asked for too many new addresses. Try again shortly.",
        )
        .retry(*retry_after),
        Fault::Refused(Refusal::ShuttingDown) => Page::new(
            S::SERVICE_UNAVAILABLE,
            "unknown",
            "shutting-down",
            "Shutting down",
            "The server is shutting down. Try again shortly.",
        )
        .retry(RETRY_SOON)
        .closing(),
        Fault::Connect(_) | Fault::Lost(_) | Fault::BadResponse(_) => Page::new(
            S::BAD_GATEWAY,
            "unknown",
            "bad-gateway",
            "Bad gateway",
            "It did not give a usable answer.",
        ),
        Fault::Timeout { .. } => Page::new(
            S::GATEWAY_TIMEOUT,
            "unknown",
            "timeout",
            "Too slow",
            "It did not answer in time.",
        ),
    }
}

fn log(fault: &Fault, status: StatusCode, asked: &Asked) {
    let fault = fault as &dyn Error;
    let (id, host, status) = (&asked.id, &asked.host, status.as_u16());
    if status < 500 {
        tracing::debug!(?id, ?host, status, fault, "request refused");
    } else {
        tracing::warn!(?id, ?host, status, fault, "request failed");
    }
}

/// The texts are our own constants: none needs an escape, here or in `html`.
fn problem(page: &Page) -> String {
    let Page { kind, title, detail, .. } = page;
    let status = page.status.as_u16();
    format!(
        r#"{{"type":"urn:tenement:problem:{kind}","title":"{title}","status":{status},"detail":"{detail}"}}"#
    )
}

fn html(page: &Page) -> String {
    let Page { title, detail, .. } = page;
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>:root{{color-scheme:light dark}}\
         body{{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem}}\
         </style><h1>{title}</h1><p>{detail}</p></html>\n"
    )
}
