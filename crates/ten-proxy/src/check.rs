//! What is refused before anything is routed or forwarded.
//!
//! Two parsers that disagree about where a message ends or whom it is for are how one client
//! reads another's answers (request smuggling). Everything forwarded is written anew from what
//! was parsed, so an instance never sees a doubtful byte; what is refused here and below is
//! refused for whoever stands in front of us. Each line has its case in `tests/framing.rs`.
//!
//! Requests are checked twice. [`head`](crate::head) reads their lines, and refuses what has no
//! single meaning; here is what needs the whole head: whom it is for. Both refuse
//! with 400 (or 414, 431), a page of ours, and the end of the connection: see [`BadRequest`].
//! A fault in a body breaks it off: the instance sees a part of one request, never a second.
//!
//! Not refused: one empty line before a request line (RFC 9112, section 2.2 asks for that),
//! characters in a target that RFC 3986 wants escaped and browsers do not all escape, and a
//! body with any method, since its end is as certain as with `POST`.

use http::Uri;
use ten_domain::{Host, HostError};

use crate::head::{Name, Request};

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

/// Whom a request is for, and what it asks for there.
#[derive(Debug)]
pub(crate) struct Aim<'a> {
    pub(crate) host: Host,
    /// Path and query; the path may be left out.
    target: &'a str,
}

impl<'a> Aim<'a> {
    /// Path and query, in parts.
    pub(crate) fn target(&self) -> [&'a str; 2] {
        [if self.target.starts_with('/') { "" } else { "/" }, self.target]
    }

    /// The path alone.
    pub(crate) fn path(&self) -> &'a str {
        match self.target.split_once('?').map_or(self.target, |(path, _)| path) {
            "" => "/",
            path => path,
        }
    }
}

/// Checks a request's head, and says whom it is for.
pub(crate) fn request(request: &Request) -> Result<Aim<'_>, BadRequest> {
    let host = host(request)?;
    let target = str::from_utf8(request.target()).map_err(|_| BadRequest::Target)?;
    let target = if target.starts_with('/') { target } else { absolute(target, &host)? };
    Ok(Aim { host, target })
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

fn host(request: &Request) -> Result<Host, BadRequest> {
    let mut hosts = request.fields.all(Name::Host);
    let host = hosts.next().ok_or(BadRequest::NoHost)?;
    if hosts.next().is_some() {
        return Err(BadRequest::TwoHosts);
    }
    let host = str::from_utf8(host).map_err(|_| BadRequest::HostBytes)?;
    Host::parse(host).map_err(BadRequest::Host)
}

/// What a target asks for that is not a path (RFC 9112, section 3.2).
fn absolute<'a>(target: &'a str, host: &Host) -> Result<&'a str, BadRequest> {
    if target == "*" {
        return Err(BadRequest::Asterisk);
    }
    let uri: Uri = target.parse().map_err(|_| BadRequest::Target)?;
    let authority = uri.authority().ok_or(BadRequest::Target)?.as_str();
    if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.contains('@') {
        return Err(BadRequest::Target);
    }
    if Host::parse(authority).ok().as_ref() != Some(host) {
        return Err(BadRequest::OtherHost);
    }
    let rest = target.split_once("://").and_then(|(_, rest)| rest.strip_prefix(authority));
    rest.ok_or(BadRequest::Target)
}

/// Why an instance's answer cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadResponse {
    #[error("it does not begin as an answer of HTTP/1 does")]
    Head,
    #[error("its head is longer than a head may be")]
    TooLong,
    #[error(
        "it has a Content-Length that is doubled, not a plain number, or beside a Transfer-Encoding"
    )]
    ContentLength,
    #[error("its Transfer-Encoding is not \"chunked\" alone")]
    TransferEncoding,
    #[error("its body is not framed as its Transfer-Encoding says")]
    Chunks,
    #[error("it switches to a protocol that was not asked for")]
    Upgrade,
    #[error("it says that it is about to answer, again and again")]
    Interims,
}
