//! The first bytes of a connection: on whose behalf it is, whether TLS is on it, and which version of
//! HTTP it speaks.
//!
//! ```text
//! trusted, `proxy_protocol` ─▶ header of the PROXY protocol ─┐
//! all others ────────────────────────────────────────────────┴▶ plain ─▶ preface? ─▶ HTTP/2
//!                                                           │               └─no──▶ HTTP/1
//!                                                           └─▶ TLS ─▶ what ALPN says of both
//! ```
//!
//! Without TLS, a client that knows that we speak HTTP/2 begins with its preface (RFC 9113, section 3.3),
//! which no request of HTTP/1 can be taken for. Whatever does not begin so is left to HTTP/1;
//! there a header of the PROXY protocol that nobody asked for is a malformed request.

mod proxy_protocol;

use std::{future::poll_fn, io, sync::Arc};

use bytes::{Buf, BytesMut};
use rustls::server::{Accepted, AcceptedAlert, Acceptor};
use tokio::{io::Interest, net::TcpStream, time::Instant};

pub(super) use self::proxy_protocol::Source;
use self::proxy_protocol::{Parsed, parse};
use super::{Channel, Door, places::Guest};
use crate::{
    Certificates,
    buffer::Buffer,
    wire::{Records, Secure, Socket, Wire},
};

/// How a connection of HTTP/2 begins (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Room for each read. A request of a browser fits.
const ROOM: usize = 4 << 10;
/// With which the records of a TLS handshake begin (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// What is known of a connection after its first bytes.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) channel: Channel,
    pub(super) wire: Wire,
    pub(super) version: Version,
    /// Everything that was read of HTTP, the preface too.
    pub(super) read: BytesMut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// Reads until the version is certain. `read` was read already.
///
/// # Errors
/// `UnexpectedEof` where the client leaves first, `InvalidData` where it begins a TLS session that
/// comes to nothing.
pub(super) async fn read(
    stream: &Arc<TcpStream>,
    guest: &Guest,
    mut read: BytesMut,
    door: &Door,
) -> io::Result<Opening> {
    let channel = match door {
        Door::Plain => Channel::Plain,
        Door::Moved { port } => Channel::Moved { port: *port },
        Door::Secure(certificates) => {
            while read.is_empty() {
                more(stream, guest, &mut read).await?;
            }
            if read.starts_with(&[HANDSHAKE]) {
                let socket = Socket::Tcp(Arc::clone(stream));
                return secure(socket, guest, &read, &**certificates).await;
            }
            // It does not know that this is the port of HTTPS.
            Channel::Moved { port: stream.local_addr()?.port() }
        }
    };
    let version = loop {
        match version(&read) {
            Some(version) => break version,
            None => more(stream, guest, &mut read).await?,
        }
    };
    let wire = Socket::Tcp(Arc::clone(stream)).into();
    Ok(Opening { channel, wire, version, read })
}

/// Agrees on keys with a client of whose session `read` was read already.
async fn secure(
    socket: Socket,
    guest: &Guest,
    read: &[u8],
    certificates: &dyn Certificates,
) -> io::Result<Opening> {
    let (mut incoming, mut records) = (Buffer::holding(read), Records::default());
    let hello = hello(&socket, guest, &mut incoming, &mut records).await?;
    let name = hello.client_hello().server_name().map(str::to_owned);
    let identity = certificates.identity(name.as_deref()).await;
    let session = match hello.into_connection(identity.config()) {
        Ok(session) => session,
        Err(refusal) => return Err(refused(socket, refusal).await),
    };
    let session = Arc::new(Secure::new(socket, session, incoming, records));
    poll_fn(|cx| session.poll_handshake(cx, || guest.heard())).await?;
    // What it wants of us begins only now.
    guest.is_silent(Instant::now());
    let version = if session.has_chosen_h2() { Version::Http2 } else { Version::Http1 };
    let (channel, wire, mut read) =
        (Channel::Secure { name }, Wire::Secure(session), BytesMut::new());
    if version == Version::Http2 {
        while read.len() < PREFACE.len() {
            if poll_fn(|cx| wire.poll_fill(cx, &mut read, ROOM)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if !read.starts_with(PREFACE) {
            let error = "a client that had chosen HTTP/2 did not begin with its preface";
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
    }
    Ok(Opening { channel, wire, version, read })
}

/// The first message of a session.
async fn hello(
    socket: &Socket,
    guest: &Guest,
    incoming: &mut Buffer,
    records: &mut Records,
) -> io::Result<Accepted> {
    let mut acceptor = Acceptor::default();
    loop {
        if incoming.is_empty() {
            if poll_fn(|cx| socket.poll_read(cx, incoming)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            guest.heard();
        }
        let read = acceptor.read_tls(&mut &**incoming)?;
        records.pass(&incoming[..read]);
        incoming.consume(read);
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) => {}
            Err(refusal) => return Err(refused(socket.clone(), refusal).await),
        }
    }
}

/// Tells the client why there is no session.
async fn refused(socket: Socket, (error, mut alert): (rustls::Error, AcceptedAlert)) -> io::Error {
    let mut said = Vec::new();
    let told = match alert.write_all(&mut said) {
        Ok(()) => Wire::from(socket).write_all(&said).await,
        error => error,
    };
    told.err().unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads a header of the PROXY protocol, and leaves in `read` what was read behind it.
///
/// # Errors
/// `UnexpectedEof` where the client leaves first, `InvalidData` where the header is missing or wrong.
pub(super) async fn source(
    stream: &TcpStream,
    guest: &Guest,
    read: &mut BytesMut,
) -> io::Result<Source> {
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
