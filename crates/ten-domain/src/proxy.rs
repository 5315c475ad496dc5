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
    /// Bytes that earn one second of patience: who is slower for long is cut off.
    pub min_body_rate: u32,
    /// Longest head of a request, in bytes, with its empty line.
    pub max_head_bytes: usize,
    /// Most header lines of a request.
    pub max_headers: usize,
    /// Most connections of clients at one time, tunnels included.
    pub max_connections: usize,
    /// Most of them from one address; an IPv6 client is its /64.
    pub max_connections_per_ip: usize,
    /// Most requests at one time on one HTTP/2 connection.
    pub max_streams: u32,
    /// Most instances that requests from one address may bring into being in a minute.
    pub max_new_instances_per_ip: u32,
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
        max_new_instances_per_ip: 60,
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
    /// A line in the combined format, as nginx and Apache write it, with two fields more.
    Text,
    /// A line of JSON.
    Json,
}
