//! Where the server is: a Unix socket, or a host and a port, with TLS or without.

use std::{fmt, io, path::PathBuf, str::FromStr, time::Duration};

use http::Uri;
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};

use tokio_rustls::client::TlsStream;

use crate::{Error, tls};

/// Longer than any handshake that still helps, shorter than a person's patience; the kernel's
/// own limit is about two minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Its admin socket.
    Socket(PathBuf),
    /// Its management host.
    Http {
        /// Whether over TLS.
        secure: bool,
        /// A name or an address; IPv6 without brackets.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

/// Why a text is not the URL of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not of the form https://host:port")]
pub struct TargetError;

pub(crate) enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Target {
    /// What the `Host` field says.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Socket(_) => "localhost".to_owned(),
            Self::Http { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Http { host, port, .. } => format!("{host}:{port}"),
        }
    }

    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        let unreachable = |source| Error::Unreachable { target: self.clone(), source };
        let attempt = async {
            match self {
                Self::Socket(path) => {
                    UnixStream::connect(path).await.map(Connection::Unix).map_err(unreachable)
                }
                Self::Http { secure, host, port } => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await;
                    let stream = stream.map_err(unreachable)?;
                    if !secure {
                        return Ok(Connection::Tcp(stream));
                    }
                    let untrusted = |source| Error::Untrusted { target: self.clone(), source };
                    let session = tls::begin(stream, host).await.map_err(untrusted)?;
                    Ok(Connection::Tls(session.into()))
                }
            }
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer within 10 s");
        timeout(CONNECT_TIMEOUT, attempt).await.unwrap_or_else(|_| Err(unreachable(late())))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Http { secure, .. } => {
                write!(f, "{}://{}", if *secure { "https" } else { "http" }, self.authority())
            }
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// Reads `https://host[:port]`, or the same with `http`: the form of `--server`.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let uri: Uri = text.parse().map_err(|_| TargetError)?;
        let (secure, usual) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(TargetError),
        };
        let authority = uri.authority().ok_or(TargetError)?;
        let bare = uri.path() == "/" && uri.query().is_none();
        if !bare || authority.as_str().contains('@') {
            return Err(TargetError);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(usual);
        Ok(Self::Http { secure, host: host.to_owned(), port })
    }
}
