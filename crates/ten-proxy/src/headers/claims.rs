//! What a proxy says of a client, and how much of it is believed.
//!
//! ```text
//!  X-Forwarded-For: forged, 203.0.113.9, 10.0.0.2      from 10.0.0.1
//!                   └─ not looked at ─┘└ the client    └ trusted, as 10.0.0.2 is
//! ```
//!
//! Whoever is trusted adds the address of its own client at the end, so the list is read from
//! there: up to the first address that is not trusted, and that is the client. What stands
//! before it anyone may have written; it is passed on as far as it consists of addresses.
//!
//! The rest counts only where it is well-formed: a proxy may pass on unread what its client sent.
//! None of it ever says which instance a request is for.

use std::net::{IpAddr, SocketAddr};

use ten_domain::{Host, ProxySettings};

use super::{Headers, Peer, node};
use crate::head::{Fields, trim};

/// Most addresses of a list that are passed on: its last ones.
const MAX_HOPS: usize = 32;
/// Longest `Forwarded` that is passed on, in bytes.
const MAX_FORWARDED: usize = 4 << 10;
/// Longest request id that is taken over.
const MAX_ID: usize = 128;

/// Whom a request is from.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The client, as far as is believed.
    pub(crate) address: IpAddr,
    claims: Option<Box<Claims>>,
}

impl Origin {
    /// From the peer of the connection itself: nothing it says of others counts.
    pub(crate) fn peer(address: IpAddr) -> Self {
        Self { address: address.to_canonical(), claims: None }
    }

    /// From whom a trusted peer says.
    pub(crate) fn behind(peer: IpAddr, fields: &Fields, settings: &ProxySettings) -> Self {
        let claims = Claims::of(peer.to_canonical(), fields, settings);
        Self { address: claims.client, claims: Some(Box::new(claims)) }
    }

    /// The id that the request has already.
    pub(crate) fn id(&self) -> Option<&str> {
        self.claims.as_ref()?.id.as_deref()
    }

    /// Writes what was said before, or in place of, what we know of the peer itself. The host was
    /// parsed strictly, so it needs no escape inside the quotes (RFC 7239).
    pub(super) fn write(&self, peer: &Peer, host: Option<&[u8]>, out: &mut impl Headers) {
        let said = self.claims.as_deref();
        if let Some(host) = host {
            let forwarded = said.and_then(|it| it.forwarded.clone().or_else(|| it.translated()));
            let [before, comma] = listed(forwarded.as_deref());
            let (quoted, scheme) = (peer.quoted.as_bytes(), peer.scheme.as_bytes());
            let own: [&[u8]; 6] = [b"for=", quoted, b";host=\"", host, b"\";proto=", scheme];
            let [is_for, quoted, host_is, host, proto_is, scheme] = own;
            let value = [before, comma, is_for, quoted, host_is, host, proto_is, scheme];
            out.add(b"forwarded", &value);
            let said = said.and_then(|it| it.host.as_deref()).map(str::as_bytes);
            out.add(b"x-forwarded-host", &[said.unwrap_or(host)]);
        }
        let [before, comma] = listed(said.and_then(|it| it.hops.as_deref()));
        out.add(b"x-forwarded-for", &[before, comma, peer.text.as_bytes()]);
        let proto = said.and_then(|it| it.proto.as_deref());
        out.add(b"x-forwarded-proto", &[proto.unwrap_or(peer.scheme).as_bytes()]);
    }
}

/// What stands in a list before one more item.
fn listed(said: Option<&str>) -> [&[u8]; 2] {
    said.map_or([b"", b""], |said| [said.as_bytes(), b", "])
}

/// What a trusted peer says of one request.
#[derive(Debug)]
struct Claims {
    client: IpAddr,
    id: Option<String>,
    hops: Option<String>,
    forwarded: Option<String>,
    host: Option<String>,
    proto: Option<String>,
}

impl Claims {
    /// Reads what `peer` says.
    fn of(peer: IpAddr, fields: &Fields, settings: &ProxySettings) -> Self {
        let (client, hops) = hops(peer, fields, settings);
        Self {
            client,
            id: only(fields, "x-request-id").filter(|id| is_id(id.as_bytes())),
            hops,
            forwarded: forwarded(fields),
            host: only(fields, "x-forwarded-host").filter(|host| Host::parse(host).is_ok()),
            proto: only(fields, "x-forwarded-proto")
                .filter(|proto| matches!(proto.as_str(), "http" | "https" | "ws" | "wss")),
        }
    }

    /// What the other headers say, in the words of `Forwarded`: a proxy that writes only those
    /// means the same, and an instance may read either.
    fn translated(&self) -> Option<String> {
        if self.hops.is_none() && self.host.is_none() && self.proto.is_none() {
            return None;
        }
        let mut text = format!("for={}", node(self.client));
        for (name, said) in [("host", &self.host), ("proto", &self.proto)] {
            if let Some(said) = said {
                text.push_str(&format!(";{name}=\"{said}\""));
            }
        }
        Some(text)
    }
}

/// The client, and the end of the list that consists of addresses, as it was written.
fn hops(peer: IpAddr, fields: &Fields, settings: &ProxySettings) -> (IpAddr, Option<String>) {
    let lines: Vec<&[u8]> = fields.named("x-forwarded-for").collect();
    let items = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
    let known = items.map_while(|item| {
        let text = str::from_utf8(trim(item)).ok()?;
        Some((text, address(text)?))
    });
    let mut hops: Vec<(&str, IpAddr)> = known.take(MAX_HOPS).collect();
    let untrusted = hops.iter().find(|(_, address)| !settings.trusts(*address));
    let client = untrusted.or(hops.last()).map_or(peer, |(_, address)| *address);
    hops.reverse();
    let texts: Vec<&str> = hops.iter().map(|(text, _)| *text).collect();
    (client, Some(texts.join(", ")).filter(|list| !list.is_empty()))
}

/// An address, perhaps with a port, as proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let address = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}

/// Every `Forwarded` in one, if it is a list of pairs (RFC 7239, section 4).
fn forwarded(fields: &Fields) -> Option<String> {
    // Of what is not ASCII nothing is a token, and nothing quoted needs it.
    let text = |line| str::from_utf8(line).ok().filter(|line| line.is_ascii());
    let lines: Vec<&str> = fields.named("forwarded").map(text).collect::<Option<_>>()?;
    let all = lines.join(", ");
    (all.len() <= MAX_FORWARDED && is_forwarded(&all)).then_some(all)
}

/// `name=value;name="value", name=value`: quotes are the one thing to take care of, since what
/// follows an open one would be read as part of it.
fn is_forwarded(all: &str) -> bool {
    let mut rest = all;
    loop {
        let Some((name, value)) = rest.split_once('=') else { return false };
        if !is_token(name.trim_start_matches([' ', '\t'])) {
            return false;
        }
        let after = match value.strip_prefix('"') {
            Some(quoted) => after_quotes(quoted),
            None => {
                let end = value.find([';', ',', ' ', '\t']).unwrap_or(value.len());
                is_token(&value[..end]).then_some(&value[end..])
            }
        };
        let Some(after) = after else { return false };
        let after = after.trim_start_matches([' ', '\t']);
        if after.is_empty() {
            return true;
        }
        let Some(next) = after.strip_prefix([';', ',']) else { return false };
        rest = next;
    }
}

/// What follows the quote that ends a quoted string.
fn after_quotes(quoted: &str) -> Option<&str> {
    let mut escaped = false;
    let end = quoted.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some(&quoted[end + 1..])
}

/// RFC 9110, section 5.6.2; and what is often left without the quotes it needs, an address.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:[]/".contains(&c))
}

fn is_id(id: &[u8]) -> bool {
    (1..=MAX_ID).contains(&id.len())
        && id.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.:/+=@".contains(c))
}

/// The value of a header that is there once.
fn only(fields: &Fields, name: &str) -> Option<String> {
    let value = str::from_utf8(fields.only(name)?).ok()?;
    value.is_ascii().then(|| value.to_owned())
}

#[cfg(test)]
mod tests;
