//! How strangers are treated: the meaning of `[settings.proxy]` and of what belongs to it.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

/// What the data plane allows its clients. Times are waits for the client, never for an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxySettings {
    /// Longest time from the first byte of a request head to its last, and from the accepting of
    /// a connection to its first whole head.
    pub head_timeout: Duration,
    /// Longest silence between two requests of one connection.
    pub idle_timeout: Duration,
    /// The patience with which a body begins, and the most that a client can have.
    pub body_timeout: Duration,
    /// Bytes that earn one second of patience: who is slower for long is cut off. 0: only
    /// silence counts.
    pub min_body_rate: u32,
    /// Longest head of a request, in bytes, with its empty line.
    pub max_head_bytes: usize,
    /// Most header lines of a request.
    pub max_headers: usize,
    /// Most connections of clients at one time, tunnels included; requests of HTTP/2 that share one
    /// count each.
    pub max_connections: usize,
    /// Most of them from one address; an IPv6 client is its /64.
    pub max_connections_per_ip: usize,
    /// Most requests at one time on one HTTP/2 connection.
    pub max_streams: u32,
    /// Most frames at once that carry nothing, on one HTTP/2 connection: what resets, asks after
    /// or sets something. With one more the connection ends.
    pub max_useless_frames: u32,
    /// Of those, for how many there is room again after a second. Not 0.
    pub useless_frames_per_second: u32,
    /// Most instances that requests from one address may bring into being in a minute.
    pub max_new_instances_per_ip: u32,
    /// How long requests and tunnels may still take when the server stops; the rest is cut.
    pub drain_timeout: Duration,
    /// Whose word on who the client is counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether connections from `trusted_proxies` begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// What is written down of each request.
    pub access_log: AccessLog,
    /// The folder with pages in place of ten's own. Absolute.
    pub error_pages: Option<PathBuf>,
}

impl ProxySettings {
    /// Those of a config that says nothing of them.
    pub const DEFAULT: Self = Self {
        head_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        body_timeout: Duration::from_secs(60),
        min_body_rate: 240,
        max_head_bytes: 64 << 10,
        max_headers: 100,
        max_connections: 10_000,
        max_connections_per_ip: 2_000,
        max_streams: 100,
        // A page with a thousand images may be left in one moment, and a browser sends a few such
        // frames in a second.
        max_useless_frames: 1000,
        useless_frames_per_second: 100,
        max_new_instances_per_ip: 60,
        drain_timeout: Duration::from_secs(10),
        trusted_proxies: Vec::new(),
        proxy_protocol: false,
        access_log: AccessLog::Off,
        error_pages: None,
    };

    /// Whether what this address says of a client is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

/// What is written down of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// Nothing.
    Off,
    /// A line in the combined format, as nginx and Apache write it, with four fields more.
    Text,
    /// A line of JSON.
    Json,
}

impl AccessLog {
    /// The word of the lexicon.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_client_is_one_on_an_ipv6_socket_too() {
        let settings = ProxySettings {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            ..ProxySettings::DEFAULT
        };
        let trusts = |address: &str| settings.trusts(address.parse().unwrap());
        assert!(trusts("10.1.2.3") && trusts("::ffff:10.1.2.3") && trusts("::1"));
        assert!(!trusts("11.1.2.3") && !trusts("::ffff:11.1.2.3") && !trusts("::2"));
        assert!(!ProxySettings::DEFAULT.trusts("127.0.0.1".parse().unwrap()));
    }
}
