//! Which headers pass, and what ten says of itself to an instance.
//!
//! ten is the first that a client talks to: there is no trusted proxy before it, so whatever a
//! client says about forwarding is dropped and said anew. Host and everything that is not
//! about the connection pass unchanged.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

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
    peer: SocketAddr,
    id: &HeaderValue,
    upgrade: Option<HeaderValue>,
) {
    let trailers = headers.get_all(TE).iter().any(|te| has_token(te, "trailers"));
    remove_hop_by_hop(headers);
    remove_claims(headers);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = upgrade {
        announce_upgrade(headers, protocol);
    }
    let peer = peer.ip().to_canonical();
    if let Some(host) = headers.get(HOST).cloned() {
        if let Some(forwarded) = forwarded(peer, &host) {
            headers.insert(FORWARDED, forwarded);
        }
        headers.insert(X_FORWARDED_HOST, host);
    }
    if let Ok(peer) = HeaderValue::try_from(peer.to_string()) {
        headers.insert(X_FORWARDED_FOR, peer);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(X_REQUEST_ID, id.clone());
}

/// Makes an instance's headers those of the answer to the client.
pub(crate) fn to_client(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
}

/// Says that the connection switches to `protocol`.
pub(crate) fn announce_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = tokens(headers)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .filter(|name| !NOT_NOMINABLE.contains(name))
        .collect();
    for name in HOP_BY_HOP.iter().chain(&nominated) {
        headers.remove(name);
    }
}

/// Removes what only a trusted proxy may say: all of `X-Forwarded-*`, `Forwarded`,
/// `X-Real-IP`, `X-Request-Id`; and `Proxy`, which CGI turns into `HTTP_PROXY` (httpoxy).
/// Names count in their spelling with `_` too: WSGI and CGI read both as one variable.
fn remove_claims(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> =
        headers.keys().filter(|name| is_claim(name.as_str())).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

fn is_claim(name: &str) -> bool {
    let name = match name.contains('_') {
        true => Cow::Owned(name.replace('_', "-")),
        false => Cow::Borrowed(name),
    };
    matches!(&*name, "forwarded" | "proxy" | "x-forwarded" | "x-real-ip" | "x-request-id")
        || name.starts_with("x-forwarded-")
}

/// RFC 7239. The host was parsed strictly, so it needs no escape inside the quotes.
fn forwarded(peer: IpAddr, host: &HeaderValue) -> Option<HeaderValue> {
    let host = host.to_str().ok()?;
    let value = match peer {
        IpAddr::V4(ip) => format!("for={ip};host=\"{host}\";proto=http"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]\";host=\"{host}\";proto=http"),
    };
    HeaderValue::try_from(value).ok()
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
