//! Which headers pass, and what ten says of itself to an instance.
//!
//! Whatever a client says about forwarding is dropped and said anew; of trusted proxies see
//! [`claims`]. Host and everything that is not about the connection pass unchanged, in their
//! spelling and their order.

mod claims;

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) use self::claims::Origin;
use crate::head::{Fields, Name, Request, Version, trim};

/// The id of a request, on its way in and on every answer of ten's own.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers that are never removed because `Connection` nominates them: they are for the end
/// of the way (RFC 9110, section 7.6.1 forbids nominating them), and an instance that misses
/// one takes the request for another than it is.
const NOT_NOMINABLE: [&[u8]; 17] = [
    b"host",
    b"content-length",
    b"content-type",
    b"content-encoding",
    b"content-range",
    b"authorization",
    b"cookie",
    b"set-cookie",
    b"origin",
    b"referer",
    b"range",
    b"cache-control",
    b"date",
    b"expect",
    b"trailer",
    b"sec-fetch-site",
    b"sec-websocket-key",
];

/// Where headers are written to.
pub(crate) trait Headers {
    /// Adds one, whose value consists of these parts.
    fn add(&mut self, name: &[u8], value: &[&[u8]]);
}

/// As text of HTTP/1.
impl Headers for Vec<u8> {
    fn add(&mut self, name: &[u8], value: &[&[u8]]) {
        self.extend_from_slice(name);
        self.extend_from_slice(b": ");
        for part in value {
            self.extend_from_slice(part);
        }
        self.extend_from_slice(b"\r\n");
    }
}

/// For HTTP/2 and for ten's own handlers.
impl Headers for HeaderMap {
    fn add(&mut self, name: &[u8], value: &[&[u8]]) {
        let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(value.concat()));
        // Both were held to what headers may consist of as they were read.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            self.append(name, value);
        }
    }
}

/// A client as instances are told of it, put into words once for each connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// As `X-Forwarded-For` has it.
    text: String,
    /// As `Forwarded` has it.
    quoted: String,
    /// As `X-Forwarded-Proto` has it.
    scheme: &'static str,
}

impl Peer {
    /// From this address, over plain HTTP.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical();
        Self { text: ip.to_string(), quoted: node(ip), scheme: "http" }
    }

    /// Over HTTPS.
    pub(crate) fn is_secure(&mut self) {
        self.scheme = "https";
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
pub(crate) fn upgrade(request: &Request, has_body: bool) -> Option<&[u8]> {
    let protocol = request.fields.all(Name::Upgrade).next()?;
    let possible = request.version == Version::Http11 && !has_body;
    let http = protocol.split(|byte| *byte == b',').any(|name| {
        let name = trim(name).to_ascii_lowercase();
        name.starts_with(b"h2") || name.starts_with(b"http")
    });
    let readable = protocol.iter().all(|byte| byte.is_ascii());
    (possible && readable && !http && request.fields.has_option("upgrade")).then_some(protocol)
}

/// What an instance is told of a request beside what its client says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) origin: &'a Origin,
    pub(crate) id: &'a [u8],
}

/// Writes a client's headers as those of the request to the instance, but for those of the
/// connection.
pub(crate) fn to_instance(fields: &Fields, told: Told<'_>, out: &mut impl Headers) {
    let Told { peer, origin, id } = told;
    let nominates = fields.has(Name::Connection);
    for field in fields.iter() {
        match field.known {
            Name::Claim => {}
            known if known.is_hop_by_hop() => {}
            _ if nominates && is_nominated(fields, field.name) => {}
            _ => out.add(field.name, &[field.value]),
        }
    }
    let host = fields.all(Name::Host).next();
    origin.write(peer, host, out);
    out.add(b"x-request-id", &[id]);
}

/// Writes an instance's headers as those of the answer to the client, but for the length of a
/// body that cannot be where it is `lengthless`.
pub(crate) fn to_client(fields: &Fields, lengthless: bool, out: &mut impl Headers) {
    let nominates = fields.has(Name::Connection);
    for field in fields.iter() {
        match field.known {
            Name::ContentLength if lengthless => {}
            known if known.is_hop_by_hop() => {}
            _ if nominates && is_nominated(fields, field.name) => {}
            _ => out.add(field.name, &[field.value]),
        }
    }
}

/// Says what is wished of a connection of HTTP/1: trailers, and the switch to a protocol. Both
/// are of the connection, and are announced as such (RFC 9110, sections 10.1.4 and 7.8).
pub(crate) fn wish(fields: &Fields, upgrade: Option<&[u8]>, out: &mut impl Headers) {
    if wants_trailers(fields) {
        out.add(b"connection", &[b"TE"]);
        announce_trailers(out);
    }
    if let Some(protocol) = upgrade {
        announce_upgrade(out, protocol);
    }
}

/// Says that trailers are understood.
pub(crate) fn announce_trailers(out: &mut impl Headers) {
    out.add(b"te", &[b"trailers"]);
}

/// Whether whoever says this understands trailers.
pub(crate) fn wants_trailers(fields: &Fields) -> bool {
    fields.all(Name::Te).any(|te| has_token(te, b"trailers"))
}

/// Says that the connection switches to `protocol`.
pub(crate) fn announce_upgrade(out: &mut impl Headers, protocol: &[u8]) {
    out.add(b"connection", &[b"upgrade"]);
    out.add(b"upgrade", &[protocol]);
}

/// Writes the trailers that pass: none that frames or routes, and nothing of the connection or
/// of who forwards (RFC 9110, section 6.5.1). `lines` are whole and sound.
pub(crate) fn trailers(lines: &[u8], out: &mut impl Headers) {
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        if Name::of(&line[..colon]) == Name::Other {
            out.add(&line[..colon], &[trim(&line[colon + 1..])]);
        }
    }
}

/// Headers as text, to be read like those of HTTP/1.
pub(crate) fn write(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        out.add(name.as_str().as_bytes(), &[value.as_bytes()]);
    }
}

/// Whether `Connection` says that a header is of the connection, and may.
fn is_nominated(fields: &Fields, name: &[u8]) -> bool {
    let same = |option: &[u8]| option.eq_ignore_ascii_case(name);
    fields.options().any(same) && !NOT_NOMINABLE.iter().any(|known| same(known))
}

/// Whether a list has this token.
pub(crate) fn has_token(list: &[u8], token: &[u8]) -> bool {
    tokens(list).any(|it| it.eq_ignore_ascii_case(token))
}

/// What a list consists of.
pub(crate) fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(trim)
}
