//! What is refused before anything is routed or forwarded.
//!
//! Two parsers that disagree about where a message ends or whom it is for are how one client
//! reads another's answers (request smuggling). Everything forwarded is written anew from what
//! was parsed, so an instance never sees a doubtful byte; what is refused here and below is
//! refused for whoever stands in front of us. Each line has its case in `tests/framing.rs`.
//!
//! Requests are checked twice. `listen::framing` reads the bytes before hyper does, and refuses
//! what has no single meaning; here is what needs the parsed head: whom it is for. Both refuse
//! with 400 (or 414, 431), a page of ours, and the end of the connection: see [`BadRequest`].
//! A fault in a body breaks it off: the instance sees a part of one request, never a second.
//!
//! Not refused: one empty line before a request line (RFC 9112, section 2.2 asks for that),
//! characters in a target that RFC 3986 wants escaped and browsers do not all escape, and a
//! body with any method, since its end is as certain as with `POST`.

use http::{
    HeaderMap, HeaderName, Request, Response, Uri, Version,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};
use ten_domain::{Host, HostError};

/// Why a request is refused as malformed. The connection is closed after the answer, because
/// what follows on it cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRequest {
    #[error("the request line is not a method, a target and a version")]
    RequestLine,
    #[error("the version is not HTTP/1.0 or HTTP/1.1")]
    Version,
    #[error("a line ends without a carriage return")]
    LineEnd,
    #[error("a header line does not begin with a name and a colon")]
    HeaderName,
    #[error("a header has a control character in it")]
    Control,
    #[error("the request line is longer than a head may be")]
    TargetTooLong,
    #[error("the head is longer than a head may be")]
    HeadTooLong,
    #[error("the head has more lines than a head may have")]
    TooManyHeaders,
    #[error("the request has no Host")]
    NoHost,
    #[error("the request has more than one Host")]
    TwoHosts,
    #[error("the Host is malformed")]
    Host(#[source] HostError),
    #[error("the Host is not text")]
    HostBytes,
    #[error("the target names another host than the Host header")]
    OtherHost,
    #[error("the target is malformed, not of http or https, or names a user")]
    Target,
    #[error("CONNECT is not served")]
    Connect,
    #[error("a request for the server as a whole (*) is not served")]
    Asterisk,
    #[error("the Content-Length is not a plain number")]
    ContentLength,
    #[error("the Transfer-Encoding is not \"chunked\" alone")]
    TransferEncoding,
}

/// Checks a request's head, of `max_headers` lines at most, and says whom it is for. (The lines
/// of HTTP/1 were counted before; those of HTTP/2 are fields of a block.)
pub(crate) fn request<B>(request: &Request<B>, max_headers: usize) -> Result<Host, BadRequest> {
    if request.headers().len() > max_headers {
        return Err(BadRequest::TooManyHeaders);
    }
    if request.version() == Version::HTTP_2 {
        framing(request.headers())?;
    }
    let host = host(request.headers())?;
    target(request.uri(), &host)?;
    Ok(host)
}

/// What `listen::framing` has refused already in a head of HTTP/1. In HTTP/2 these fields frame
/// nothing; but the request may go on as one of HTTP/1, where they do.
fn framing(headers: &HeaderMap) -> Result<(), BadRequest> {
    let alias = |own: &HeaderName, name: &HeaderName| {
        name != own && is_read_as(name.as_str().as_bytes(), own.as_str().as_bytes())
    };
    if !has_plain_length(headers) || headers.keys().any(|name| alias(&CONTENT_LENGTH, name)) {
        return Err(BadRequest::ContentLength);
    }
    let encoding = |name: &HeaderName| {
        is_read_as(name.as_str().as_bytes(), TRANSFER_ENCODING.as_str().as_bytes())
    };
    if headers.keys().any(encoding) { Err(BadRequest::TransferEncoding) } else { Ok(()) }
}

/// Whether somebody takes `name` for `header`: CGI and WSGI write `-` as `_`, and so make one
/// variable of both.
pub(crate) fn is_read_as(name: &[u8], header: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || *a == b'_' && *b == b'-';
    name.len() == header.len() && name.iter().zip(header).all(same)
}

/// The value of a `Content-Length` in its only spelling (`010` has been read as octal), if
/// whoever counts in signed 64 bits can count that far.
pub(crate) fn plain_length(value: &[u8]) -> Option<u64> {
    let plain =
        value.iter().all(u8::is_ascii_digit) && (value.len() == 1 || !value.starts_with(b"0"));
    let length: i64 = plain.then(|| str::from_utf8(value).ok()?.parse().ok())??;
    u64::try_from(length).ok()
}

/// Whether a `Transfer-Encoding` is one whose end everybody finds in the same place.
pub(crate) fn is_chunked(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"chunked")
}

fn has_plain_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return true };
    plain_length(length.as_bytes()).is_some() && lengths.next().is_none()
}

fn is_chunked_alone(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    encodings.next().is_some_and(|e| is_chunked(e.as_bytes())) && encodings.next().is_none()
}

fn host(headers: &HeaderMap) -> Result<Host, BadRequest> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().ok_or(BadRequest::NoHost)?;
    if hosts.next().is_some() {
        return Err(BadRequest::TwoHosts);
    }
    Host::parse(host.to_str().map_err(|_| BadRequest::HostBytes)?).map_err(BadRequest::Host)
}

/// The four forms of a target are in RFC 9112, section 3.2.
fn target(uri: &Uri, host: &Host) -> Result<(), BadRequest> {
    let Some(authority) = uri.authority() else {
        return if uri.path() == "*" { Err(BadRequest::Asterisk) } else { Ok(()) };
    };
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    if !web || authority.as_str().contains('@') {
        return Err(BadRequest::Target);
    }
    match Host::parse(authority.as_str()) {
        Ok(named) if named == *host => Ok(()),
        _ => Err(BadRequest::OtherHost),
    }
}

/// Why an instance's answer cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadResponse {
    #[error(
        "it has a Content-Length that is doubled, not a plain number, or beside a Transfer-Encoding"
    )]
    ContentLength,
    #[error("its Transfer-Encoding is not \"chunked\" alone")]
    TransferEncoding,
    #[error("it switches protocols unasked")]
    Upgrade,
}

/// Checks the framing of an instance's answer. hyper is lenient here where browsers are not.
pub(crate) fn response<B>(response: &Response<B>) -> Result<(), BadResponse> {
    let headers = response.headers();
    let encoded = headers.contains_key(TRANSFER_ENCODING);
    if encoded && !is_chunked_alone(headers) {
        return Err(BadResponse::TransferEncoding);
    }
    let doubly = encoded && headers.contains_key(CONTENT_LENGTH);
    if doubly || !has_plain_length(headers) {
        return Err(BadResponse::ContentLength);
    }
    Ok(())
}
