//! Which headers pass, and what ten says of itself to an instance.
//!
//! Whatever a client says about forwarding is dropped and said anew; of trusted proxies see
//! [`claims`]. Host and everything that is not
//! about the connection pass unchanged.

mod claims;

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

pub(crate) use self::claims::Origin;

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Version,
    header::{
        AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, COOKIE, DATE, EXPECT, FORWARDED, HOST, ORIGIN, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, RANGE, REFERER, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};
use http_body::Body;

/// The id of a request, on its way in and on every answer of ten's own.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers of the one connection they came on (RFC 9110, section 7.6.1, and those that older
/// texts name). `Trailer` is not one: it announces fields of the message itself.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Headers that are never removed because `Connection` nominates them: they are for the end
/// of the way (RFC 9110, section 7.6.1 forbids nominating them), and an instance that misses
/// one takes the request for another than it is.
const NOT_NOMINABLE: [HeaderName; 17] = [
    HOST,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    AUTHORIZATION,
    COOKIE,
    SET_COOKIE,
    ORIGIN,
    REFERER,
    RANGE,
    CACHE_CONTROL,
    DATE,
    EXPECT,
    TRAILER,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-websocket-key"),
];

/// Most headers that a request gets on its way: `TE`, `Connection` and `Upgrade`, `Forwarded`, three
/// `X-Forwarded-*`, `X-Request-Id`, `Transfer-Encoding`.
const MOST_ADDED: usize = 9;

/// A client's address as instances are told of it, put into words once for each connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// As `X-Forwarded-For` has it.
    text: HeaderValue,
    /// As `Forwarded` has it.
    quoted: String,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical();
        let quoted = node(ip);
        // An address has no character that a header may not have.
        let text = HeaderValue::try_from(ip.to_string());
        Self { text: text.unwrap_or(HeaderValue::from_static("unknown")), quoted }
    }

    /// RFC 7239. The host was parsed strictly, so it needs no escape inside the quotes.
    fn forwarded(&self, host: &HeaderValue) -> Option<HeaderValue> {
        let parts = ["for=", &self.quoted, ";host=\"", host.to_str().ok()?, "\";proto=http"];
        HeaderValue::try_from(parts.concat()).ok()
    }
}

/// An address as `Forwarded` has it (RFC 7239, section 6).
fn node(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("\"[{ip}]\""),
    }
}

/// The protocol that a request asks to switch to, if that can be done: with HTTP/1.1, without
/// a body, and not to another version of HTTP, whose requests would pass unseen.
pub(crate) fn upgrade<B: Body>(request: &Request<B>) -> Option<HeaderValue> {
    let headers = request.headers();
    let protocol = headers.get(UPGRADE)?;
    let nominated = tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade"));
    let http = protocol.to_str().ok()?.split(',').any(|name| {
        let name = name.trim().to_ascii_lowercase();
        name.starts_with("h2") || name.starts_with("http")
    });
    let possible = request.version() == Version::HTTP_11 && request.body().is_end_stream();
    (nominated && possible && !http).then(|| protocol.clone())
}

/// Makes a client's headers those of the request to the instance.
pub(crate) fn to_instance(
    headers: &mut HeaderMap,
    peer: &Peer,
    id: &HeaderValue,
    upgrade: Option<HeaderValue>,
) {
    let trailers = headers.get_all(TE).iter().any(|te| has_token(te, "trailers"));
    remove(headers, is_claim);
    // For what follows and what hyper adds: without this, the map may grow twice.
    headers.reserve(MOST_ADDED);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = upgrade {
        announce_upgrade(headers, protocol);
    }
    if let Some(host) = headers.get(HOST).cloned() {
        if let Some(forwarded) = peer.forwarded(&host) {
            headers.insert(FORWARDED, forwarded);
        }
        headers.insert(X_FORWARDED_HOST, host);
    }
    headers.insert(X_FORWARDED_FOR, peer.text.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(X_REQUEST_ID, id.clone());
}

/// Makes an instance's headers those of the answer to the client.
pub(crate) fn to_client(headers: &mut HeaderMap) {
    remove(headers, |_| false);
}

/// Says that the connection switches to `protocol`.
pub(crate) fn announce_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Removes what is of the connection, by itself or because `Connection` nominates it, and what
/// `also` says. Most messages have none of these: looking at the few names that are there costs
/// less than nine searches for names that are not.
fn remove(headers: &mut HeaderMap, also: fn(&str) -> bool) {
    let nominated: Vec<HeaderName> = tokens(headers)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .filter(|name| !NOT_NOMINABLE.contains(name))
        .collect();
    let goes = |name: &&HeaderName| {
        HOP_BY_HOP.contains(name) || nominated.contains(name) || also(name.as_str())
    };
    let gone: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// What nobody may say but a trusted proxy: all of `X-Forwarded-*`, `Forwarded`, `X-Real-IP`,
/// `X-Request-Id`; and `Proxy`, which CGI turns into `HTTP_PROXY` (httpoxy). Names count in
/// their spelling with `_` too: WSGI and CGI read both as one variable.
fn is_claim(name: &str) -> bool {
    let name = match name.contains('_') {
        true => Cow::Owned(name.replace('_', "-")),
        false => Cow::Borrowed(name),
    };
    matches!(&*name, "forwarded" | "proxy" | "x-forwarded" | "x-real-ip" | "x-request-id")
        || name.starts_with("x-forwarded-")
}

/// The options of every `Connection` header.
fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|v| v.split(',').any(|t| t.trim().eq_ignore_ascii_case(token)))
}
