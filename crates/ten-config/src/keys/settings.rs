//! `[settings]`.

use super::{
    COUNT, DURATION, Default, Key, Kind, PATIENCE, YEAR, key,
    proxy::{self, PROXY},
};

/// Delays: from none to a year, in milliseconds.
const MILLIS: Kind = Kind::Integer { min: 0, max: YEAR * 1000 };

pub(crate) const SETTINGS: &[Key] = &[
    // Where the Filesystem Hierarchy Standard puts state that must outlive a reboot.
    key(
        "data_dir",
        Kind::Text,
        Default::Text("/var/lib/tenement"),
        "Where everything that must last lives. A relative path starts at the config's folder.",
    ),
    // Health checks are for what runs but does not work, which is rare: a crash is seen at once.
    key(
        "health_check_interval",
        PATIENCE,
        Default::Number(10),
        "Seconds between health checks of a running instance, where the service sets none.",
    ),
    key(
        "max_restarts",
        Kind::Integer { min: 0, max: 1_000_000 },
        Default::Number(3),
        "Restarts within restart_window after which a crashing instance is given up as failed.",
    ),
    key(
        "restart_window",
        Kind::Seconds { min: 1.0 },
        Default::Number(300),
        "Seconds in which crashes are counted; as long without a crash clears the count.",
    ),
    key(
        "backoff_base_ms",
        MILLIS,
        Default::Number(1000),
        "Milliseconds before the first restart; doubles each time. 0: at once.",
    ),
    key("backoff_max_ms", MILLIS, Default::Number(60_000), "No restart waits longer, in ms."),
    key(
        "admin_host",
        Kind::Text,
        Default::Absent,
        "Host of the dashboard and API where [routing] puts a service on the domain itself.",
    ),
    key(
        "trusted_proxies",
        Kind::Texts,
        Default::Absent,
        "Addresses and networks whose word on who the client is counts: [\"10.0.0.0/8\", \"::1\"].",
    ),
    key(
        "proxy_protocol",
        Kind::Boolean,
        Default::Boolean(false),
        "Whether connections from trusted_proxies begin with a PROXY protocol header.",
    ),
    key(
        "access_log",
        Kind::Word { words: &["off", "text", "json"], later: &[] },
        Default::Text(proxy::DEFAULT.access_log.word()),
        "What is written down of each request: nothing, a line in the combined format, or one \
         of JSON.",
    ),
    key("proxy", Kind::Table(PROXY), Default::Absent, "How clients are treated."),
    key(
        "metrics_auth",
        Kind::Boolean,
        Default::Boolean(false),
        "Whether /metrics requires a token.",
    )
    .later(),
    key(
        "trash_retention",
        DURATION,
        Default::Number(24 * 60 * 60),
        "Seconds for which data in the trash can be brought back.",
    ),
    key(
        "ram_budget_mb",
        COUNT,
        Default::Absent,
        "Memory that all instances may use together before idle ones go into deeper sleep.",
    )
    .later(),
    key("tls", Kind::Table(TLS), Default::Absent, "Certificates and HTTPS."),
    key("logs", Kind::Table(LOGS), Default::Absent, "How long logs are kept.").later(),
];

/// Ports to be served on: 0 is any free one, as for `ten serve --port`.
const SERVED: Kind = Kind::Integer { min: 0, max: 65_535 };

/// `[settings.tls]`.
pub(crate) const TLS: &[Key] = &[
    key("enabled", Kind::Boolean, Default::Boolean(false), "Whether HTTPS is served."),
    key(
        "cert_file",
        Kind::Text,
        Default::Absent,
        "The certificate chain, PEM, the server's own certificate first. Read again when it has changed.",
    ),
    key("key_file", Kind::Text, Default::Absent, "The key of cert_file, PEM."),
    key("https_port", SERVED, Default::Number(443), "The port of HTTPS; 0: any free one."),
    key(
        "http_port",
        SERVED,
        Default::Number(80),
        "The port of plain HTTP, which sends clients to HTTPS; 0: any free one.",
    ),
    key("acme_email", Kind::Text, Default::Absent, "Where the certificate authority writes to.")
        .later(),
    key("domain", Kind::Text, Default::Absent, "The domain whose certificates are obtained.")
        .later(),
    key("cache_dir", Kind::Text, Default::Text("{data_dir}/acme"), "Where certificates are kept.")
        .later(),
    key("staging", Kind::Boolean, Default::Boolean(false), "Use Let's Encrypt's staging servers.")
        .later(),
    key("dns_provider", Kind::Text, Default::Absent, "Who answers DNS-01 for wildcards.").later(),
];

/// `[settings.logs]`.
const LOGS: &[Key] = &[
    key("max_mb", COUNT, Default::Number(1024), "Disk space of all logs."),
    key("max_days", COUNT, Default::Number(7), "Age at which logs are deleted."),
];
