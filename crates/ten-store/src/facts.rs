//! What is remembered. Times are kept to the second.

use std::fmt;

use jiff::Timestamp;
use ten_domain::{InstanceName, Weight};

/// An instance that exists, whether it runs or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownInstance {
    /// Its name.
    pub name: InstanceName,
    /// Its share of its service's traffic.
    pub weight: Weight,
    /// Who wanted it.
    pub origin: Origin,
    /// When it was first remembered.
    pub created_at: Timestamp,
}

/// Who wanted an instance to exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An operator, by a command or in `[instances]`.
    Operator,
    /// A request for its hostname.
    Request,
}

/// An API token, without its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Its public part, by which it is found.
    pub prefix: String,
    /// Argon2id hash of the whole token, as a PHC string.
    pub hash: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
}

impl fmt::Debug for Token {
    /// Leaves the hash out, so that it never gets into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("prefix", &self.prefix)
            .field("name", &self.name)
            .field("created_at", &self.created_at)
            .field("expires_at", &self.expires_at)
            .field("last_used", &self.last_used)
            .finish_non_exhaustive()
    }
}
