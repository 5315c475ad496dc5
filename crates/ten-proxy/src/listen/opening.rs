//! The first bytes of a connection: which version of HTTP it speaks.
//!
//! A client that knows that we speak HTTP/2 begins with its preface (RFC 9113, section 3.3),
//! which no request of HTTP/1 can be taken for. Whatever does not begin so is left to HTTP/1.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::{io::Interest, net::TcpStream};

/// How a connection of HTTP/2 begins (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Room for the first read. A request of a browser fits.
const ROOM: usize = 4 << 10;

/// What is known of a connection after its first bytes.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) version: Version,
    /// Everything that was read, the preface too.
    pub(super) read: BytesMut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// Reads until the version is certain.
///
/// # Errors
/// `TimedOut` where that takes longer than `within`, `UnexpectedEof` where the client leaves first.
pub(super) async fn read(stream: &TcpStream, within: Duration) -> io::Result<Opening> {
    let reading = async {
        let mut read = BytesMut::with_capacity(ROOM);
        loop {
            let receive = || stream.try_read_buf(&mut read);
            match stream.async_io(Interest::READABLE, receive).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => {
                    if let Some(version) = version(&read) {
                        return Ok(Opening { version, read });
                    }
                }
            }
        }
    };
    tokio::time::timeout(within, reading).await.map_err(io::Error::from)?
}

/// The version that a connection speaks whose first bytes these are; `None`: too few to tell.
fn version(read: &[u8]) -> Option<Version> {
    if read.len() >= PREFACE.len() {
        return Some(if read.starts_with(PREFACE) { Version::Http2 } else { Version::Http1 });
    }
    if PREFACE.starts_with(read) { None } else { Some(Version::Http1) }
}
