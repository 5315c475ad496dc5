//! What is refused before anything is routed or forwarded.
//!
//! Two parsers that disagree about where a message ends or whom it is for are how one client
//! reads another's answers (request smuggling). Everything forwarded is written anew from what
//! was parsed, so an instance never sees a doubtful byte; what is refused here and below is
//! refused for whoever stands in front of us. Each line has its case in `tests/framing.rs`.
//!
//! Refused by hyper itself, with 400 (or as noted), an empty page without `X-Ten-State`, and
//! the connection closed:
//! - obs-fold, white space before the colon, a line without colon, an empty name, NUL or a bare
//!   CR in a header, a name with bytes of 0x80 and above, HTTP/0.9, HTTP/1.2;
//! - a `Content-Length` that is not all digits, does not fit 64 bits (the two largest that
//!   do: 431), or differs from another one;
//! - `Transfer-Encoding` in HTTP/1.0, or one that does not end in `chunked`;
//! - more than 100 headers or 64 KiB of them (431), a target over 64 KiB (431);
//! - HTTP/2's preface (closed without an answer);
//! - chunk sizes that are empty, prefixed, over 64 bits or with `_`, a bare LF after the size,
//!   a bare CR in an extension, anything but CRLF after a chunk. The instance then sees its
//!   request broken off, never a second one.
//!
//! Refused here, 400 and the connection closed: see [`BadRequest`].
//!
//! Not refused, and harmless to instances, because hyper resolves it before we see it:
//! - `Content-Length` together with `Transfer-Encoding: chunked`: the length is dropped, the
//!   message is framed by its chunks, and the connection closes after the answer;
//! - the same `Content-Length` twice: one is dropped;
//! - a bare LF as the end of the request line or of a header line;
//! - empty lines before the request line (RFC 9112, section 2.2 asks for that).
//!
//! SPEC-strict refusal of these four needs a look at the bytes before hyper has them.

use http::{
    HeaderMap, Method, Request, Uri, Version,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
    response,
};
use ten_domain::{Host, HostError};

/// Why a request is refused as malformed. All of these are answered with 400, and the
/// connection is closed, because what follows on it cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRequest {
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
    #[error("the target's scheme is not http or https, or it names a user")]
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

/// Checks a request's head and says whom it is for.
pub(crate) fn request<B>(request: &Request<B>) -> Result<Host, BadRequest> {
    framing(request.headers(), request.version())?;
    let host = host(request.headers())?;
    target(request.method(), request.uri(), &host)?;
    Ok(host)
}

fn framing(headers: &HeaderMap, version: Version) -> Result<(), BadRequest> {
    if headers.contains_key(TRANSFER_ENCODING) {
        if version != Version::HTTP_11 || !is_chunked_alone(headers) {
            return Err(BadRequest::TransferEncoding);
        }
        if headers.contains_key(CONTENT_LENGTH) {
            return Err(BadRequest::ContentLength);
        }
    }
    if !has_plain_length(headers) {
        return Err(BadRequest::ContentLength);
    }
    Ok(())
}

/// At most one `Content-Length`, and it a number in its only spelling (`010` has been read
/// as octal).
fn has_plain_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return true };
    let digits = length.as_bytes();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain && (digits[0] != b'0' || digits.len() == 1) && lengths.next().is_none()
}

fn is_chunked_alone(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = encodings.next();
    first.is_some_and(|e| e.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && encodings.next().is_none()
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
fn target(method: &Method, uri: &Uri, host: &Host) -> Result<(), BadRequest> {
    if method == Method::CONNECT {
        return Err(BadRequest::Connect);
    }
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
pub(crate) fn response(head: &response::Parts) -> Result<(), BadResponse> {
    let encoded = head.headers.contains_key(TRANSFER_ENCODING);
    if encoded && !is_chunked_alone(&head.headers) {
        return Err(BadResponse::TransferEncoding);
    }
    let doubly = encoded && head.headers.contains_key(CONTENT_LENGTH);
    if doubly || !has_plain_length(&head.headers) {
        return Err(BadResponse::ContentLength);
    }
    Ok(())
}
