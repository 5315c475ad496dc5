//! What a service is to those who ask for something: what it speaks, how much of it at a time,
//! whom it wakes for, and what is said in its place while it sleeps. No request is seen here.

use std::{collections::BTreeMap, time::Duration};

/// What an instance speaks on its listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge (RFC 9113, section 3.3).
    H2c,
}

impl Protocol {
    /// The word of the lexicon.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::H2c => "h2c",
        }
    }
}

/// How many requests an instance has at one time, and what becomes of more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// Most requests in flight; at least 1. WebSockets and the like count.
    pub max: u32,
    /// Most that wait for their turn, or for the instance to wake. Past it they are refused.
    pub queue_limit: usize,
    /// Longest wait for a turn at an instance that runs.
    pub queue_timeout: Duration,
}

impl Concurrency {
    /// Those of a service that says nothing: more than any of a server's instances needs, and
    /// few enough that one of them cannot take all connections.
    pub const DEFAULT: Self =
        Self { max: 1_000, queue_limit: 1_000, queue_timeout: Duration::from_secs(10) };
}

/// `[service.X.asleep]`: what is answered without waking.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asleep {
    /// The path of the health check, without its query: 200.
    pub health: Option<String>,
    /// The text of `/robots.txt`.
    pub robots: Option<String>,
    /// `/favicon.ico`: 204.
    pub favicon: bool,
    /// Further paths, each with its status, 200 to 599.
    pub paths: BTreeMap<String, u16>,
}

/// An answer that needs no process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsleepAnswer<'a> {
    /// The status code.
    pub status: u16,
    /// Plain text.
    pub body: &'a str,
}

impl Asleep {
    /// The answer to a GET or HEAD of `path`, which has no query, if there is one.
    pub fn answer(&self, path: &str) -> Option<AsleepAnswer<'_>> {
        let bare = |status| AsleepAnswer { status, body: "" };
        if let Some(status) = self.paths.get(path) {
            return Some(bare(*status));
        }
        match path {
            _ if self.health.as_deref() == Some(path) => Some(bare(200)),
            "/robots.txt" => self.robots.as_deref().map(|body| AsleepAnswer { status: 200, body }),
            "/favicon.ico" if self.favicon => Some(bare(204)),
            _ => None,
        }
    }
}

/// Which requests may wake an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDemand {
    /// A request for any valid id, known or not.
    Any,
    /// Only for ids that an operator spawned.
    Known,
    /// None: only operators start it.
    Off,
}

impl OnDemand {
    /// The word of the lexicon.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Known => "known",
            Self::Off => "off",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_answered() {
        let asleep = Asleep {
            health: Some("/health".into()),
            robots: Some("User-agent: *".into()),
            favicon: true,
            paths: [("/status".into(), 503)].into(),
        };
        let status = |path| asleep.answer(path).map(|answer| answer.status);
        assert_eq!((status("/health"), status("/favicon.ico")), (Some(200), Some(204)));
        assert_eq!((status("/status"), status("/status/")), (Some(503), None));
        let robots = AsleepAnswer { status: 200, body: "User-agent: *" };
        assert_eq!(asleep.answer("/robots.txt"), Some(robots));
        assert_eq!(Asleep::default().answer("/robots.txt"), None);
        assert_eq!(Asleep::default().answer("/favicon.ico"), None);
    }
}
