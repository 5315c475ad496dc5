//! Where a running instance is reached.

use std::{fmt, net::SocketAddr, path::PathBuf};

/// The listener of one running instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A port on the loopback address.
    Tcp(SocketAddr),
    /// A port on the loopback address of a network of its own. Only a socket that was made in
    /// that network reaches it.
    Private(SocketAddr),
    /// A Unix socket, at its path outside the walls.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    /// `127.0.0.1:30000`, `private:127.0.0.1:30000` or `unix:/path`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Private(address) => write!(f, "private:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
