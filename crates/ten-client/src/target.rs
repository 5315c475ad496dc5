//! Where the server is: a Unix socket, or a host and a port.

use std::{fmt, io, path::PathBuf, str::FromStr, time::Duration};

use http::Uri;
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};

use crate::Error;

/// Longer than any handshake that still helps, shorter than a person's patience; the kernel's
/// own limit is about two minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Its admin socket.
    Socket(PathBuf),
    /// Its management host over plain HTTP.
    Http {
        /// A name or an address; IPv6 without brackets.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

/// Why a text is not the URL of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// TLS to the server is not built yet.
    #[error("https is not supported yet; use http:// over a tunnel, or the admin socket")]
    Https,
    /// Not `http://host[:port]`.
    #[error("is not of the form http://host:port")]
    Form,
}

pub(crate) enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Target {
    /// What the `Host` field says.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Socket(_) => "localhost".to_owned(),
            Self::Http { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Http { host, port } => format!("{host}:{port}"),
        }
    }

    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        let attempt = async {
            match self {
                Self::Socket(path) => UnixStream::connect(path).await.map(Connection::Unix),
                Self::Http { host, port } => {
                    TcpStream::connect((host.as_str(), *port)).await.map(Connection::Tcp)
                }
            }
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer within 10 s");
        timeout(CONNECT_TIMEOUT, attempt)
            .await
            .map_err(late)
            .flatten()
            .map_err(|source| Error::Unreachable { target: self.clone(), source })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Http { .. } => write!(f, "http://{}", self.authority()),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// Reads `http://host[:port]`, the form of `--server`.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let uri: Uri = text.parse().map_err(|_| TargetError::Form)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(TargetError::Https),
            _ => return Err(TargetError::Form),
        }
        let authority = uri.authority().ok_or(TargetError::Form)?;
        let bare = uri.path() == "/" && uri.query().is_none();
        if !bare || authority.as_str().contains('@') {
            return Err(TargetError::Form);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        Ok(Self::Http { host: host.to_owned(), port: authority.port_u16().unwrap_or(80) })
    }
}
