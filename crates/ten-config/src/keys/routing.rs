//! `[routing]`.

use super::{Default, Key, Kind, key};

pub(super) const ROUTING: &[Key] = &[
    key("default", Kind::Text, Default::Absent, "The service that the domain itself serves."),
    key(
        "subdomain",
        Kind::Named(&Kind::Text),
        Default::Absent,
        "Services by subdomain: admin = \"backoffice\" is admin.example.com.",
    ),
    key(
        "path",
        Kind::Named(&Kind::Text),
        Default::Absent,
        "Services by path on the domain: \"/api\" = \"api\"; the longest prefix wins.",
    ),
];
