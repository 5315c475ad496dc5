//! `[settings.proxy]`. The numbers of absent keys are those of [`ProxySettings::DEFAULT`].

use ten_domain::ProxySettings;

use super::{COUNT, DURATION, Default, Key, Kind, MOST, PATIENCE, key};

/// What holds where the config says nothing.
pub(super) const DEFAULT: &ProxySettings = &ProxySettings::DEFAULT;

/// From what the head of an ordinary browser takes to 16 times the default. A head is in memory as
/// a whole before anything is known of it: at this size, a thousand strangers fill a gigabyte with
/// what is no request yet.
const HEAD_BYTES: Kind = Kind::Integer { min: 1024, max: 1 << 20 };

/// From what an ordinary browser sends to ten times the default. Rules about headers look through
/// all of them, several times: ten thousand would make a small request an expensive one.
const HEADERS: Kind = Kind::Integer { min: 16, max: 1000 };

/// From what a client needs to begin and to end politely (SETTINGS, their ACK, a few PRIORITY) to
/// no natural limit.
const FRAMES: Kind = Kind::Integer { min: 16, max: MOST };

/// In a second: from one to one in a microsecond, which is more than a processor reads.
const RATE: Kind = Kind::Integer { min: 1, max: 1_000_000 };

pub(crate) const PROXY: &[Key] = &[
    key(
        "head_timeout",
        PATIENCE,
        Default::Number(DEFAULT.head_timeout.as_secs() as i64),
        "Seconds in which the head of a request must arrive, and the first one of a connection.",
    ),
    key(
        "idle_timeout",
        PATIENCE,
        Default::Number(DEFAULT.idle_timeout.as_secs() as i64),
        "Seconds that a connection is kept open between two requests.",
    ),
    key(
        "body_timeout",
        PATIENCE,
        Default::Number(DEFAULT.body_timeout.as_secs() as i64),
        "Seconds of patience with a client that sends or reads a body, or reads what a WebSocket brings, too slowly.",
    ),
    key(
        "min_body_rate",
        Kind::Integer { min: 0, max: MOST },
        Default::Number(DEFAULT.min_body_rate as i64),
        "Bytes that earn a client one more second of that patience; 0: only silence counts.",
    ),
    key(
        "max_head_bytes",
        HEAD_BYTES,
        Default::Number(DEFAULT.max_head_bytes as i64),
        "Bytes of a request's head.",
    ),
    key(
        "max_headers",
        HEADERS,
        Default::Number(DEFAULT.max_headers as i64),
        "Header lines of a request.",
    ),
    key(
        "max_connections",
        COUNT,
        Default::Number(DEFAULT.max_connections as i64),
        "Connections of clients at a time, WebSockets and requests that share one (HTTP/2) included.",
    ),
    key(
        "max_connections_per_ip",
        COUNT,
        Default::Number(DEFAULT.max_connections_per_ip as i64),
        "Connections from one address at a time; an IPv6 /64 counts as one address.",
    ),
    key(
        "max_streams",
        COUNT,
        Default::Number(DEFAULT.max_streams as i64),
        "Requests at a time on one HTTP/2 connection.",
    ),
    key(
        "max_useless_frames",
        FRAMES,
        Default::Number(DEFAULT.max_useless_frames as i64),
        "Frames at once by which an HTTP/2 client only resets, asks or sets something; one more \
         ends its connection.",
    ),
    key(
        "useless_frames_per_second",
        RATE,
        Default::Number(DEFAULT.useless_frames_per_second as i64),
        "Such frames for which there is room again after a second.",
    ),
    key(
        "max_new_instances_per_ip",
        COUNT,
        Default::Number(DEFAULT.max_new_instances_per_ip as i64),
        "Instances that requests from one address may bring into being in a minute.",
    ),
    key(
        "drain_timeout",
        DURATION,
        Default::Number(DEFAULT.drain_timeout.as_secs() as i64),
        "Seconds for requests and WebSockets to end when the server stops; the rest is cut.",
    ),
    key(
        "error_pages",
        Kind::Text,
        Default::Absent,
        "A folder with pages in place of ten's own. A relative path starts at the config's folder.",
    ),
];
