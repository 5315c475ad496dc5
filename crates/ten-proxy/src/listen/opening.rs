//! The first bytes of a connection: on whose behalf it is, and which version of HTTP it speaks.
//!
//! ```text
//! trusted, `proxy_protocol` ─▶ header of the PROXY protocol ─┐
//! all others ────────────────────────────────────────────────┴▶ preface? ─▶ HTTP/2
//!                                                                   └─no──▶ HTTP/1
//! ```
//!
//! A client that knows that we speak HTTP/2 begins with its preface (RFC 9113, section 3.3),
//! which no request of HTTP/1 can be taken for. Whatever does not begin so is left to HTTP/1;
//! there a header of the PROXY protocol that nobody asked for is a malformed request.

mod proxy_protocol;

use std::{io, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{io::Interest, net::TcpStream};

pub(super) use self::proxy_protocol::Source;
use self::proxy_protocol::{Parsed, parse};
use super::places::Guest;

/// How a connection of HTTP/2 begins (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Room for each read. A request of a browser fits.
const ROOM: usize = 4 << 10;

/// What is known of a connection after its first bytes.
#[derive(Debug)]
pub(super) struct Opening {
    /// What a header of the PROXY protocol says, where one was asked for.
    pub(super) source: Option<Source>,
    pub(super) version: Version,
    /// Everything that was read after that header, the preface too.
    pub(super) read: BytesMut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// Reads until the version is certain, behind a header of the PROXY protocol if that is `headed`.
///
/// # Errors
/// `TimedOut` where that takes longer than `within`, `UnexpectedEof` where the client leaves
/// first, `InvalidData` where the header is missing or wrong.
pub(super) async fn read(
    stream: &TcpStream,
    guest: &Guest,
    headed: bool,
    within: Duration,
) -> io::Result<Opening> {
    let reading = async {
        let mut read = BytesMut::new();
        let source = if headed { Some(source(stream, guest, &mut read).await?) } else { None };
        loop {
            if let Some(version) = version(&read) {
                return Ok(Opening { source, version, read });
            }
            more(stream, guest, &mut read).await?;
        }
    };
    tokio::time::timeout(within, reading).await.map_err(io::Error::from)?
}

/// Reads a header of the PROXY protocol, and leaves in `read` what was read behind it.
async fn source(stream: &TcpStream, guest: &Guest, read: &mut BytesMut) -> io::Result<Source> {
    loop {
        match parse(read) {
            Parsed::Incomplete => more(stream, guest, read).await?,
            Parsed::Invalid => {
                let error = "a trusted peer did not begin with a PROXY protocol header";
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            Parsed::Header { source, len } => {
                read.advance(len);
                return Ok(source);
            }
        }
    }
}

async fn more(stream: &TcpStream, guest: &Guest, read: &mut BytesMut) -> io::Result<()> {
    // No room is held for who says nothing.
    let arrived = || {
        read.reserve(ROOM);
        stream.try_read_buf(read)
    };
    match stream.async_io(Interest::READABLE, arrived).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => {
            guest.heard();
            Ok(())
        }
    }
}

/// The version that a connection speaks whose first bytes these are; `None`: too few to tell.
fn version(read: &[u8]) -> Option<Version> {
    if read.len() >= PREFACE.len() {
        return Some(if read.starts_with(PREFACE) { Version::Http2 } else { Version::Http1 });
    }
    if PREFACE.starts_with(read) { None } else { Some(Version::Http1) }
}
