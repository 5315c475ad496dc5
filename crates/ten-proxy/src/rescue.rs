//! Every error → the answer that a stranger may see; and the few answers of ten's own that are
//! no errors.
//!
//! Paths, pids, addresses and error chains go to the log, once, here, together with the id that
//! the answer carries.

mod accept;
mod error_pages;
mod page;

use std::{error::Error, io, sync::OnceLock, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, REFRESH, RETRY_AFTER,
    },
};
use http_body_util::Full;
use ten_domain::{AsleepAnswer, InstanceName, RouteError};

pub use self::error_pages::{ErrorPages, ErrorPagesError, MAX_PAGE};
use self::{
    accept::prefers_html,
    page::{Page, State},
};
use crate::{
    Refusal,
    check::{Aim, BadRequest, BadResponse},
    files,
    head::{Name, Request, Version},
    headers::X_REQUEST_ID,
    listen::Crowded,
    pool::Broken,
    request_id::RequestId,
    upload::UploadError,
};

/// Tells a client's programmer what state the instance was in (SPEC 4).
const X_TEN_STATE: HeaderName = HeaderName::from_static("x-ten-state");

/// The port that URLs of HTTPS do not name (RFC 9110, section 4.2.2).
const HTTPS: u16 = 443;

/// Why a request was not answered by whom it was for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("malformed request")]
    BadRequest(#[from] BadRequest),
    #[error("no route")]
    Route(#[from] RouteError),
    #[error("no lease")]
    Refused(#[from] Refusal),
    #[error("it wakes, and its browser is shown so")]
    Waking,
    #[error("the instance cannot be connected to")]
    Connect(#[source] io::Error),
    #[error("the instance broke off the connection or sent what is not HTTP")]
    Lost(#[source] Broken),
    #[error("the instance's answer cannot be passed on")]
    BadResponse(#[from] BadResponse),
    #[error("the instance did not answer within {limit:?}")]
    Timeout { limit: Duration },
    #[error("the client broke off the request's body or framed it wrongly")]
    Upload(#[source] UploadError),
    #[error("the client stood still in the middle of the request's body")]
    Stalled(#[source] UploadError),
    #[error("the head of the request had no end in time")]
    SlowHead,
    #[error("the client left while its request waited")]
    Gone,
    #[error("no place for one more request")]
    Crowded(#[from] Crowded),
}

impl Fault {
    /// What is said of it, and when to come back where it knows better than its page.
    fn page(&self) -> (&'static Page, Option<Duration>) {
        let page = match self {
            Self::BadRequest(BadRequest::TargetTooLong) => &page::TARGET_TOO_LONG,
            Self::BadRequest(BadRequest::HeadTooLong | BadRequest::TooManyHeaders) => {
                &page::HEADERS_TOO_LARGE
            }
            Self::BadRequest(_) => &page::MALFORMED_REQUEST,
            Self::Upload(_) => &page::MALFORMED_BODY,
            Self::Stalled(_) => &page::BODY_TIMEOUT,
            Self::SlowHead => &page::HEAD_TIMEOUT,
            Self::Gone => &page::CLIENT_LEFT,
            Self::Crowded(_) => &page::CROWDED,
            Self::Route(RouteError::Unknown) | Self::Refused(Refusal::Unknown) => &page::NOT_FOUND,
            Self::Route(RouteError::Misdirected) => &page::MISDIRECTED,
            Self::Refused(Refusal::Asleep) => &page::ASLEEP,
            Self::Waking => &page::WAKING,
            Self::Refused(Refusal::NotReady { retry_after }) => {
                return (&page::NOT_READY, Some(*retry_after));
            }
            Self::Refused(Refusal::Failed) => &page::FAILED,
            Self::Refused(Refusal::QueueFull) => &page::QUEUE_FULL,
            Self::Refused(Refusal::Busy) => &page::BUSY,
            Self::Refused(Refusal::TooManyRunning) => &page::TOO_MANY_RUNNING,
            Self::Refused(Refusal::TooManyNew { retry_after }) => {
                return (&page::TOO_MANY_NEW, Some(*retry_after));
            }
            Self::Refused(Refusal::ShuttingDown) => &page::SHUTTING_DOWN,
            Self::Connect(error) if files::are_none(error) => &page::NO_FILES,
            Self::Connect(_) | Self::Lost(_) | Self::BadResponse(_) => &page::BAD_GATEWAY,
            Self::Timeout { .. } => &page::TIMEOUT,
        };
        (page, page.retry_after)
    }

    /// Which of ten's pages it leads to.
    pub(crate) fn kind(&self) -> &'static str {
        self.page().0.kind
    }
}

/// What there is of a request for the case that ten answers it.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    request: &'a Request,
    id: &'a RequestId,
    /// A body follows, and may be left unread in the connection.
    body: bool,
    /// Who had the request when it failed, for the log.
    instance: OnceLock<InstanceName>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(request: &'a Request, id: &'a RequestId, body: bool) -> Self {
        Self { request, id, body, instance: OnceLock::new() }
    }

    /// It failed at this instance.
    pub(crate) fn failed_at(&self, instance: &InstanceName) {
        self.instance.get_or_init(|| instance.clone());
    }

    pub(crate) fn id(&self) -> &RequestId {
        self.id
    }

    /// Whether other requests share the connection, which then survives this one.
    fn is_shared(&self) -> bool {
        self.request.version == Version::Http2
    }

    /// The first, where there are several.
    fn accept(&self) -> Option<&[u8]> {
        self.request.fields.get("accept")
    }
}

/// The answer in place of the one that could not be had.
pub(crate) fn rescue(
    fault: &Fault,
    asked: &Asked<'_>,
    pages: &ErrorPages,
) -> Response<Full<Bytes>> {
    let (page, retry_after) = fault.page();
    log(fault, page, asked);
    let (media_type, body) = match prefers_html(asked.accept()) {
        true => {
            // Our own, or one of a trusted proxy's whose characters mean nothing in HTML.
            let id = asked.id.as_str();
            let text = pages.text(page, id).unwrap_or_else(|| html(page, id));
            ("text/html; charset=utf-8", text)
        }
        false => ("application/problem+json", problem(page)),
    };
    let mut response = own(asked, page.status, page.state, Some(media_type), body.into());
    let headers = response.headers_mut();
    if let Some(after) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs_f64().ceil().max(1.0) as u64));
    }
    if !page.is_failure() {
        // At once, because the answer to that waits for the wake too: whoever comes back later
        // sees it later, and may miss that it failed. The address stays as it is, and neither a
        // script nor a page's own words are needed (HTML, "shared declarative refresh steps").
        headers.insert(REFRESH, HeaderValue::from_static("0"));
    }
    if (page.closes || asked.body) && !asked.is_shared() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether a browser means to show the answer as a page of its own (Fetch Metadata).
pub(crate) fn is_navigation(request: &Request) -> bool {
    request.method() == b"GET"
        && request.fields.get("sec-fetch-mode") == Some(b"navigate")
        && prefers_html(request.fields.get("accept"))
}

/// The answer that a service has left with us for while it sleeps.
pub(crate) fn asleep(answer: AsleepAnswer<'_>, asked: &Asked<'_>) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::NO_CONTENT);
    let media_type = (!answer.body.is_empty()).then_some("text/plain; charset=utf-8");
    let body = Bytes::copy_from_slice(answer.body.as_bytes());
    own(asked, status, State::Asleep, media_type, body)
}

/// The answer to a request that came in plain: the same, in HTTPS (RFC 9110, section 15.4.9).
pub(crate) fn moved(
    aim: &Aim<'_>,
    port: u16,
    asked: &Asked<'_>,
) -> Result<Response<Full<Bytes>>, BadRequest> {
    let port = if port == HTTPS { String::new() } else { format!(":{port}") };
    let [slash, target] = aim.target();
    let location = format!("https://{}{port}{slash}{target}", aim.host);
    let location = HeaderValue::from_maybe_shared(Bytes::from(location));
    let location = location.map_err(|_| BadRequest::Target)?;
    let status = StatusCode::PERMANENT_REDIRECT;
    let mut response = own(asked, status, State::Unknown, None, Bytes::new());
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// What all answers of ten's own have in common.
fn own(
    asked: &Asked<'_>,
    status: StatusCode,
    state: State,
    media_type: Option<&'static str>,
    body: Bytes,
) -> Response<Full<Bytes>> {
    let length = body.len();
    let body = if asked.request.is_head() { Full::default() } else { Full::from(body) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(media_type) = media_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_TEN_STATE, HeaderValue::from_static(state.word()));
    headers.insert(X_REQUEST_ID, asked.id.to_header());
    response
}

fn log(fault: &Fault, page: &Page, asked: &Asked<'_>) {
    let fault = fault as &dyn Error;
    let (id, status) = (asked.id.as_str(), page.status.as_u16());
    let host = asked.request.fields.all(Name::Host).next().map(String::from_utf8_lossy);
    if page.status.is_server_error() && page.is_failure() {
        let instance = asked.instance.get().map(tracing::field::display);
        tracing::warn!(instance, ?id, ?host, status, fault, "request failed");
    } else {
        tracing::debug!(?id, ?host, status, fault, "request refused");
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

/// The icon is there for the browser not to ask for one, which would wait for the wake too.
fn html(page: &Page, id: &str) -> String {
    let Page { title, detail, .. } = page;
    // For a visitor to name to the operator. Where all goes well there is nothing to look up.
    let request = match page.is_failure() {
        true => format!("<small>Request {id}</small>"),
        false => String::new(),
    };
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <link rel=\"icon\" href=\"data:,\">\
         <style>:root{{color-scheme:light dark}}\
         body{{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem}}\
         h1{{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem}}p{{margin:0 0 2rem}}\
         small{{opacity:.7;overflow-wrap:anywhere}}\
         </style><h1>{title}</h1><p>{detail}</p>{request}</html>\n"
    )
}
