//! Every key of `tenement.toml`: the one list that checking, suggestions and the JSON Schema
//! read. A row says what a key may hold, what it is when absent, and whether it is built.

mod asleep;
mod proxy;
mod routing;
mod service;
mod settings;

pub(crate) use asleep::ASLEEP;
pub(crate) use proxy::PROXY;
pub(crate) use settings::{SETTINGS, TLS};

use routing::ROUTING;
use service::SERVICE;

use crate::suggest;

/// One key of one table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// An older word for the same key.
    pub(crate) alias: Option<&'static str>,
    pub(crate) kind: Kind,
    pub(crate) default: Default,
    /// Whether the feature exists. A key without it is known, checked and refused by name.
    pub(crate) built: bool,
    /// One line for the schema, in the words of a user.
    pub(crate) doc: &'static str,
}

/// What a key may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A list of strings.
    Texts,
    Boolean,
    /// A whole number, both ends allowed.
    Integer {
        min: i64,
        max: i64,
    },
    /// A duration in seconds, whole or with a fraction, up to [`YEAR`].
    Seconds {
        min: f64,
    },
    /// One of a few words; the `later` ones are valid but not built.
    Word {
        words: &'static [&'static str],
        later: &'static [&'static str],
    },
    /// A signal that asks a process to stop.
    Signal,
    /// A user: `"inherit"`, `"dynamic"`, a name or a uid.
    User,
    /// A table with these keys.
    Table(&'static [Key]),
    /// A table whose keys are names that the config chooses.
    Named(&'static Kind),
}

/// What an absent key means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Default {
    /// The key must be there.
    Required,
    /// Nothing, or what the doc says.
    Absent,
    Text(&'static str),
    Number(i64),
    Boolean(bool),
}

/// The longest duration that can be set, in seconds. Longer ones are typing errors, and sums
/// of durations stay far from overflow.
pub(crate) const YEAR: i64 = 365 * 24 * 60 * 60;

/// For counts and sizes that have no natural limit: far above any machine, far below overflow.
const MOST: i64 = 1_000_000_000;

/// From 1 up to no natural limit.
const COUNT: Kind = Kind::Integer { min: 1, max: MOST };

/// A duration that may be zero.
const DURATION: Kind = Kind::Seconds { min: 0.0 };

/// A duration within which something must be able to happen at all.
const PATIENCE: Kind = Kind::Seconds { min: 0.1 };

/// The tables of the document itself.
pub(crate) const ROOT: &[Key] = &[
    key("settings", Kind::Table(SETTINGS), Default::Absent, "What holds for the whole server."),
    key(
        "service",
        Kind::Named(&Kind::Table(SERVICE)),
        Default::Absent,
        "The services: [service.NAME] is the template of which instances are copies.",
    )
    .alias("process"),
    key(
        "instances",
        Kind::Named(&Kind::Texts),
        Default::Absent,
        "Ids to spawn once the server listens, for each service: api = [\"prod\"].",
    ),
    key("routing", Kind::Table(ROUTING), Default::Absent, "What other hosts and paths lead to."),
];

impl Key {
    const fn later(self) -> Self {
        Self { built: false, ..self }
    }

    const fn alias(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }

    /// Every spelling of it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.alias)
    }
}

const fn key(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Key {
    Key { name, alias: None, kind, default, built: true, doc }
}

/// The table in which a key that was found elsewhere belongs, as its header is written.
pub(crate) fn home_of(name: &str) -> Option<&'static str> {
    const HOMES: [(&str, &[Key]); 7] = [
        ("top level", ROOT),
        ("[service.NAME]", SERVICE),
        ("[settings]", SETTINGS),
        ("[routing]", ROUTING),
        ("[settings.proxy]", PROXY),
        ("[settings.tls]", TLS),
        ("[service.NAME.asleep]", ASLEEP),
    ];
    let holds = |keys: &[Key]| keys.iter().any(|key| key.names().any(|own| own == name));
    HOMES.into_iter().find(|(_, keys)| holds(keys)).map(|(home, _)| home)
}

impl Kind {
    /// What is allowed, to follow "must be".
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Text => "a string".into(),
            Self::Texts => "a list of strings".into(),
            Self::Boolean => "true or false".into(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Seconds { min } => format!("a number of seconds from {min} to {YEAR} (a year)"),
            Self::Word { words, .. } => suggest::one_of(words.iter().copied()),
            Self::Signal => suggest::one_of(ten_domain::StopSignal::names()),
            Self::User => "\"inherit\", \"dynamic\", a user name or a uid".into(),
            Self::Table(_) => "a table".into(),
            Self::Named(Kind::Table(_)) => "a table of tables, such as [service.api]".into(),
            Self::Named(inner) => match **inner {
                Self::Texts => "a table of lists of strings".into(),
                Self::Integer { .. } => "a table of numbers".into(),
                _ => "a table of strings".into(),
            },
        }
    }
}
