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

use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};
use ten_domain::{Host, ProxySettings};

use super::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REQUEST_ID, node};

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
    pub(crate) fn behind(peer: IpAddr, headers: &HeaderMap, settings: &ProxySettings) -> Self {
        let claims = Claims::of(peer.to_canonical(), headers, settings);
        Self { address: claims.client, claims: Some(Box::new(claims)) }
    }

    /// The id that the request has already.
    pub(crate) fn id(&self) -> Option<HeaderValue> {
        self.claims.as_ref()?.id.clone()
    }

    /// Adds what was said to what `headers` say of the peer itself.
    pub(crate) fn restore(&self, headers: &mut HeaderMap) {
        if let Some(claims) = &self.claims {
            claims.restore(headers);
        }
    }
}

/// What a trusted peer says of one request.
#[derive(Debug)]
struct Claims {
    client: IpAddr,
    id: Option<HeaderValue>,
    hops: Option<HeaderValue>,
    forwarded: Option<HeaderValue>,
    host: Option<HeaderValue>,
    proto: Option<HeaderValue>,
}

impl Claims {
    /// Reads what `peer` says.
    fn of(peer: IpAddr, headers: &HeaderMap, settings: &ProxySettings) -> Self {
        let (client, hops) = hops(peer, headers, settings);
        Self {
            client,
            id: only(headers, X_REQUEST_ID).filter(|id| is_id(id.as_bytes())),
            hops,
            forwarded: forwarded(headers),
            host: only(headers, X_FORWARDED_HOST)
                .filter(|host| host.to_str().is_ok_and(|host| Host::parse(host).is_ok())),
            proto: only(headers, X_FORWARDED_PROTO)
                .filter(|proto| matches!(proto.as_bytes(), b"http" | b"https" | b"ws" | b"wss")),
        }
    }

    /// Puts it before, or in place of, what `headers` say of the peer itself.
    fn restore(&self, headers: &mut HeaderMap) {
        let forwarded = self.forwarded.clone().or_else(|| self.translated());
        for (name, said) in [(X_FORWARDED_FOR, &self.hops), (FORWARDED, &forwarded)] {
            if let (Some(said), Some(own)) = (said, headers.get(&name)) {
                let both = [said.as_bytes(), b", ", own.as_bytes()].concat();
                if let Ok(both) = HeaderValue::from_maybe_shared(bytes::Bytes::from(both)) {
                    headers.insert(name, both);
                }
            }
        }
        for (name, said) in [(X_FORWARDED_HOST, &self.host), (X_FORWARDED_PROTO, &self.proto)] {
            if let Some(said) = said {
                headers.insert(name, said.clone());
            }
        }
    }
}

impl Claims {
    /// What the other headers say, in the words of `Forwarded`: a proxy that writes only those
    /// means the same, and an instance may read either.
    fn translated(&self) -> Option<HeaderValue> {
        if self.hops.is_none() && self.host.is_none() && self.proto.is_none() {
            return None;
        }
        let mut text = format!("for={}", node(self.client));
        for (name, said) in [("host", &self.host), ("proto", &self.proto)] {
            if let Some(said) = said {
                text.push_str(&format!(";{name}=\"{}\"", said.to_str().ok()?));
            }
        }
        HeaderValue::try_from(text).ok()
    }
}

/// The client, and the end of the list that consists of addresses, as it was written.
fn hops(
    peer: IpAddr,
    headers: &HeaderMap,
    settings: &ProxySettings,
) -> (IpAddr, Option<HeaderValue>) {
    let lines: Vec<&HeaderValue> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    let items = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let known = items.map_while(|item| {
        let text = str::from_utf8(item).ok()?.trim_matches([' ', '\t']);
        Some((text, address(text)?))
    });
    let mut hops: Vec<(&str, IpAddr)> = known.take(MAX_HOPS).collect();
    let untrusted = hops.iter().find(|(_, address)| !settings.trusts(*address));
    let client = untrusted.or(hops.last()).map_or(peer, |(_, address)| *address);
    hops.reverse();
    let texts: Vec<&str> = hops.iter().map(|(text, _)| *text).collect();
    let list = HeaderValue::try_from(texts.join(", ")).ok();
    (client, list.filter(|list| !list.is_empty()))
}

/// An address, perhaps with a port, as proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let address = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}

/// Every `Forwarded` in one, if it is a list of pairs (RFC 7239, section 4).
fn forwarded(headers: &HeaderMap) -> Option<HeaderValue> {
    let lines: Vec<&str> =
        headers.get_all(FORWARDED).iter().map(|line| line.to_str().ok()).collect::<Option<_>>()?;
    let all = lines.join(", ");
    if all.len() > MAX_FORWARDED || !is_forwarded(&all) {
        return None;
    }
    HeaderValue::try_from(all).ok()
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
fn only(headers: &HeaderMap, name: HeaderName) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.clone())
}

#[cfg(test)]
mod tests;
