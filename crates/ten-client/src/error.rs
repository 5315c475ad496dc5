//! Why a call did not succeed.

use std::io;

use http::StatusCode;
use ten_api::Problem;

use crate::{Distrust, Target};

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection came about.
    #[error("cannot connect to {target}")]
    Unreachable {
        /// Where it was looked for.
        target: Target,
        /// What the kernel or the resolver said.
        source: io::Error,
    },
    /// A connection came about, and no TLS session on it that could be trusted.
    #[error("cannot trust {target}")]
    Untrusted {
        /// Which server.
        target: Target,
        /// What is wrong with it, or with this host.
        source: Distrust,
    },
    /// The connection ended before the answer did.
    #[error("the connection to {target} broke")]
    Broken {
        /// The server.
        target: Target,
        /// How it broke.
        source: hyper::Error,
    },
    /// The connection to a command ended before it did.
    #[error("the connection to {target} broke")]
    Cut {
        /// The server.
        target: Target,
        /// How it broke.
        source: io::Error,
    },
    /// The server answered that it did not do it.
    #[error("{}", .0.detail)]
    Problem(Problem),
    /// Something answered that is no tenement server.
    #[error("{target} answered {status}, and not as tenement does")]
    NotTenement {
        /// Who answered.
        target: Target,
        /// With which status.
        status: StatusCode,
    },
    /// The answer is not what this version of the client knows.
    #[error("{target} answered {path} in a form that is not known here")]
    Unreadable {
        /// The server.
        target: Target,
        /// The path that was asked for.
        path: String,
        /// What is wrong with the answer.
        source: serde_json::Error,
    },
    /// The request cannot be put into words, such as a token with a line break in it.
    #[error("cannot send this request: {0}")]
    Unsendable(String),
}

impl Error {
    /// Whether the server was asked over plain HTTP and serves HTTPS.
    pub fn wants_https(&self) -> bool {
        matches!(
            self,
            Self::NotTenement {
                target: Target::Http { secure: false, .. },
                status: StatusCode::PERMANENT_REDIRECT,
            }
        )
    }

    /// Whether no server was there to answer.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Broken { .. }
            | Self::Cut { .. } => true,
            Self::Problem(_)
            | Self::NotTenement { .. }
            | Self::Unreadable { .. }
            | Self::Unsendable(_) => false,
        }
    }
}
