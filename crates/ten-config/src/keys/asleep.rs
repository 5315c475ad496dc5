//! `[service.NAME.asleep]`.

use super::{Default, Key, Kind, key};

/// Final statuses (RFC 9110, section 15): an answer that is only the beginning of one is none.
const STATUS: Kind = Kind::Integer { min: 200, max: 599 };

pub(crate) const ASLEEP: &[Key] = &[
    key(
        "health",
        Kind::Boolean,
        Default::Boolean(false),
        "Whether the path of `health` is answered with 200.",
    ),
    key("robots", Kind::Text, Default::Absent, "The text that /robots.txt is answered with."),
    key(
        "favicon",
        Kind::Boolean,
        Default::Boolean(false),
        "Whether /favicon.ico is answered with 204: there is none.",
    ),
    key(
        "paths",
        Kind::Named(&STATUS),
        Default::Absent,
        "Further paths and the status that each is answered with: { \"/status\" = 204 }.",
    ),
];
