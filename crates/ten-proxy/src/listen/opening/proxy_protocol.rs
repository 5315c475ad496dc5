//! The PROXY protocol, versions 1 and 2: what a proxy says of a connection before its first byte.
//!
//! By haproxy's `doc/proxy-protocol.txt`. Only trusted peers are asked for it, and they write it
//! by machine, so nothing is tolerated that the text does not allow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header of version 1, with its line end.
const V1_MAX: usize = 107;
const V1_START: &[u8] = b"PROXY ";
/// How a header of version 2 begins.
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// A header of version 2 without what its length counts.
const V2_FIXED: usize = 16;
/// Longest header of version 2. The addresses take 216 bytes at most; the rest is left to what
/// proxies say beyond them, which is skipped.
const V2_MAX: usize = 4 << 10;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parsed {
    /// More are needed.
    Incomplete,
    /// No header.
    Invalid,
    Header {
        source: Source,
        /// In bytes; what follows is the connection's own.
        len: usize,
    },
}

/// Who speaks on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listen) enum Source {
    /// Whom the proxy speaks for.
    Client(SocketAddr),
    /// The proxy itself, to see whether we live.
    Proxy,
    /// Somebody of whom the proxy knows no address.
    Unknown,
}

/// Reads the header at the start of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let begins_with = |start: &[u8]| {
        let len = bytes.len().min(start.len());
        bytes[..len] == start[..len]
    };
    if begins_with(V2_SIGNATURE) {
        v2(bytes)
    } else if begins_with(V1_START) {
        v1(bytes)
    } else {
        Parsed::Invalid
    }
}

fn v1(bytes: &[u8]) -> Parsed {
    let line = &bytes[..bytes.len().min(V1_MAX)];
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < V1_MAX { Parsed::Incomplete } else { Parsed::Invalid };
    };
    let line = line[..end].strip_suffix(b"\r").and_then(|line| str::from_utf8(line).ok());
    match line.and_then(|line| v1_source(line.strip_prefix("PROXY ")?)) {
        Some(source) => Parsed::Header { source, len: end + 1 },
        None => Parsed::Invalid,
    }
}

fn v1_source(line: &str) -> Option<Source> {
    let (family, rest) = line.split_once(' ').unwrap_or((line, ""));
    if family == "UNKNOWN" {
        return Some(Source::Unknown);
    }
    let mut parts = rest.split(' ');
    let (source, destination) = (parts.next()?, parts.next()?);
    let address: IpAddr = match family {
        "TCP4" => {
            destination.parse::<Ipv4Addr>().ok()?;
            source.parse::<Ipv4Addr>().ok()?.into()
        }
        "TCP6" => {
            destination.parse::<Ipv6Addr>().ok()?;
            source.parse::<Ipv6Addr>().ok()?.into()
        }
        _ => return None,
    };
    let source = port(parts.next()?)?;
    port(parts.next()?)?;
    parts.next().is_none().then_some(Source::Client(SocketAddr::new(address, source)))
}

/// A port in its only spelling.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = plain && (text.len() == 1 || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

fn v2(bytes: &[u8]) -> Parsed {
    // What is wrong is said as soon as it is seen.
    let (command, family) = (bytes.get(12), bytes.get(13));
    if command.is_some_and(|command| !matches!(command, 0x20 | 0x21)) {
        return Parsed::Invalid;
    }
    let (Some(command), Some(family), Some(length)) = (command, family, bytes.get(14..V2_FIXED))
    else {
        return Parsed::Incomplete;
    };
    let len = V2_FIXED + usize::from(u16::from_be_bytes([length[0], length[1]]));
    if len > V2_MAX {
        return Parsed::Invalid;
    }
    let Some(block) = bytes.get(V2_FIXED..len) else { return Parsed::Incomplete };
    // Of a LOCAL header, the rest is to be ignored.
    let source = if *command == 0x20 { Some(Source::Proxy) } else { v2_source(*family, block) };
    match source {
        Some(source) => Parsed::Header { source, len },
        None => Parsed::Invalid,
    }
}

/// The addresses of source and destination, then the ports, then whatever else. Datagrams do not
/// carry what is served here.
fn v2_source(family: u8, block: &[u8]) -> Option<Source> {
    match family {
        0x00 => Some(Source::Unknown),
        0x11 => {
            let address: [u8; 4] = block.first_chunk().copied()?;
            v2_client(Ipv4Addr::from(address).into(), block.get(8..12)?)
        }
        0x21 => {
            let address: [u8; 16] = block.first_chunk().copied()?;
            v2_client(Ipv6Addr::from(address).into(), block.get(32..36)?)
        }
        // A client on a Unix socket has a path and no address.
        0x31 => block.get(..216).map(|_| Source::Unknown),
        _ => None,
    }
}

fn v2_client(address: IpAddr, ports: &[u8]) -> Option<Source> {
    let port = u16::from_be_bytes(*ports.first_chunk()?);
    Some(Source::Client(SocketAddr::new(address, port)))
}

#[cfg(test)]
mod tests;
