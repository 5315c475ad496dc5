//! The host a request names, parsed strictly and brought into one spelling.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Longest host name, in bytes (RFC 1035, section 2.3.4, in its textual form).
const MAX_NAME: usize = 253;
/// Longest label of a host name, in bytes (same section).
const MAX_LABEL: usize = 63;

/// A request's host: lower case, without port and without the root's trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name.
    Name(String),
    /// An IP literal; an IPv4-mapped IPv6 address counts as its IPv4 address.
    Ip(IpAddr),
}

/// Why a text is not a host. All of these are answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No host at all.
    #[error("the host is empty")]
    Empty,
    /// A character that host names do not have, such as `/`, `@`, `%` or a control character.
    #[error("the host has an illegal character")]
    Character,
    /// An empty label (`a..b`), a label over 63 bytes or a name over 253.
    #[error("the host is not a DNS name")]
    Name,
    /// A port that is not a number from 1 to 65535.
    #[error("the host's port is not a number from 1 to 65535")]
    Port,
    /// Brackets around something else than an IPv6 address.
    #[error("the host is not an IPv6 address")]
    Ipv6,
}

/// As URLs have it (RFC 3986, section 3.2.2).
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl Host {
    /// Parses the value of a `Host` header, or an authority without user information:
    /// `uri-host [ ":" port ]` (RFC 9110, section 7.2).
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(rest) = text.strip_prefix('[') {
            let (inside, after) = rest.split_once(']').ok_or(HostError::Ipv6)?;
            check_port(after)?;
            let ip: Ipv6Addr = inside.parse().map_err(|_| HostError::Ipv6)?;
            return Ok(Self::Ip(IpAddr::V6(ip).to_canonical()));
        }
        let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        check_port(port)?;
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() {
            return Err(HostError::Empty);
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
            return Err(HostError::Character);
        }
        if name.len() > MAX_NAME || name.split('.').any(|l| l.is_empty() || l.len() > MAX_LABEL) {
            return Err(HostError::Name);
        }
        Ok(match name.parse::<Ipv4Addr>() {
            Ok(ip) => Self::Ip(ip.into()),
            Err(_) => Self::Name(name.to_ascii_lowercase()),
        })
    }
}

/// `port` is empty or starts with its colon. An empty port after the colon is legal
/// (RFC 3986, section 3.2.3).
fn check_port(port: &str) -> Result<(), HostError> {
    let digits = match port.strip_prefix(':') {
        None if port.is_empty() => return Ok(()),
        None => return Err(HostError::Ipv6),
        Some("") => return Ok(()),
        Some(digits) => digits,
    };
    let legal = digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse::<u16>() {
        Ok(1..) if legal => Ok(()),
        _ => Err(HostError::Port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_for_equal_hosts() {
        let name = Host::Name("a.example.com".into());
        for same in ["a.example.com", "A.Example.COM", "a.example.com.", "a.example.com:8080"] {
            assert_eq!(Host::parse(same).as_ref(), Ok(&name), "{same}");
        }
        assert_eq!(Host::parse("[::1]:80"), Ok(Host::Ip("::1".parse().unwrap())));
        let v4 = Host::Ip("127.0.0.1".parse().unwrap());
        assert_eq!(Host::parse("127.0.0.1:1").as_ref(), Ok(&v4));
        assert_eq!(Host::parse("[::ffff:127.0.0.1]"), Ok(v4));
    }

    #[test]
    fn refuses_what_is_not_a_host() {
        let long = format!("{}.com", "a".repeat(64));
        let endless = "a.".repeat(130);
        for (bad, want) in [
            ("", HostError::Empty),
            (":80", HostError::Empty),
            (".", HostError::Empty),
            ("a/b", HostError::Character),
            ("user@a", HostError::Character),
            ("%2e", HostError::Character),
            ("a b", HostError::Character),
            ("bücher.de", HostError::Character),
            ("a\0", HostError::Character),
            ("..", HostError::Name),
            ("a..b", HostError::Name),
            (".a", HostError::Name),
            (long.as_str(), HostError::Name),
            (endless.as_str(), HostError::Name),
            ("a:0", HostError::Port),
            ("a:99999", HostError::Port),
            ("a:+80", HostError::Port),
            ("a:80:80", HostError::Port),
            ("[::1", HostError::Ipv6),
            ("[::1]x", HostError::Ipv6),
            ("[a]", HostError::Ipv6),
        ] {
            assert_eq!(Host::parse(bad), Err(want), "{bad:?}");
        }
    }
}
