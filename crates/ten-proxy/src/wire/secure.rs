//! A TLS session on a socket, read and written as the socket itself is.
//!
//! ```text
//! socket ──▶ incoming ──▶ rustls ──▶ whoever reads
//! socket ◀────────────── rustls ◀── whoever writes
//! ```
//!
//! What a session has taken to encrypt it has taken for good. It counts as written only as the socket
//! takes it, and the last of it only once the socket has all; so nothing waits here for somebody to
//! flush it, and how fast a client takes what it is sent is seen as it is on a bare socket.
//!
//! A client that ends its socket and not its session (RFC 8446, section 6.1) has ended both: where
//! a request ends, its framing says.

use std::{
    fmt,
    io::{self, BufRead, ErrorKind, IoSlice, Write},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::BufMut;
use rustls::ServerConnection;

use super::Socket;
use crate::{buffer::Buffer, tls::H2};

/// Bytes that a session encrypts at most before the socket has to take them. A body's buffer,
/// and what is written before it.
const MOST: usize = 64 << 10;

/// A socket with a session on it.
pub(crate) struct Secure {
    socket: Socket,
    session: Mutex<Session>,
}

struct Session {
    tls: ServerConnection,
    /// Read from the socket and not looked at.
    incoming: Buffer,
    records: Records,
    /// Of what is offered to be written, so many bytes are encrypted already.
    taken: usize,
    /// Since then the socket has taken so many bytes, whoever has had it take them.
    moved: usize,
    /// The end of what we write is on its way.
    ends: bool,
}

impl Secure {
    /// A session that has begun with the client's first message, up to which `records` has seen what
    /// came. `incoming` came after it.
    pub(crate) fn new(
        socket: Socket,
        mut tls: ServerConnection,
        incoming: Buffer,
        records: Records,
    ) -> Self {
        tls.set_buffer_limit(Some(MOST));
        let session = Session { tls, incoming, records, taken: 0, moved: 0, ends: false };
        Self { socket, session: Mutex::new(session) }
    }

    /// All that share a connection are on one thread: nobody ever waits for this.
    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries on until both sides agree on their keys. `heard` is called when the client says
    /// something.
    pub(crate) fn poll_handshake(
        &self,
        cx: &mut Context<'_>,
        heard: impl Fn(),
    ) -> Poll<io::Result<()>> {
        let session = &mut *self.session();
        session.process(&self.socket, cx)?;
        while session.tls.is_handshaking() {
            ready!(session.poll_flush(&self.socket, cx))?;
            if ready!(session.poll_more(&self.socket, cx))? == 0 {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            heard();
            session.process(&self.socket, cx)?;
        }
        // Of what else there is to be sent, the socket takes what it can now: a client may wait for the
        // last word of the handshake, and what is written next may be long in coming.
        let _ = session.poll_flush(&self.socket, cx)?;
        Poll::Ready(Ok(()))
    }

    /// Whether both sides have agreed to speak HTTP/2 (RFC 7301).
    pub(crate) fn has_chosen_h2(&self) -> bool {
        self.session().tls.alpn_protocol() == Some(H2)
    }

    /// As [`Wire::poll_read`](super::Wire::poll_read).
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        let read = self.poll_take(cx, |here| {
            let count = here.len().min(buffer.make_room());
            buffer.spare().extend_from_slice(&here[..count]);
            count
        });
        if read.is_pending() {
            buffer.rest();
        }
        read
    }

    /// As [`Wire::poll_fill`](super::Wire::poll_fill).
    pub(super) fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        memory: &mut impl BufMut,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_take(cx, |here| {
            let count = here.len().min(room);
            memory.put_slice(&here[..count]);
            count
        })
    }

    /// Lends what has come to `take`, which says how much of it it has taken; 0 is the end.
    fn poll_take(
        &self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        let session = &mut *self.session();
        loop {
            let mut reader = session.tls.reader();
            match reader.fill_buf() {
                Ok([]) => return Poll::Ready(Ok(0)),
                Ok(here) => {
                    let taken = take(here);
                    reader.consume(taken);
                    return Poll::Ready(Ok(taken));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            if session.incoming.is_empty() {
                // An answer to the session itself, such as new keys. That it cannot be sent is an
                // error of whoever writes next.
                let _ = session.poll_flush(&self.socket, cx);
            }
            if ready!(session.poll_more(&self.socket, cx))? == 0 {
                return Poll::Ready(Ok(0));
            }
            session.process(&self.socket, cx)?;
        }
    }

    /// Whether part of something was read, and not yet all of it.
    pub(super) fn is_amid(&self) -> bool {
        self.session().records.is_amid()
    }

    /// As [`Wire::poll_write`](super::Wire::poll_write).
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let session = &mut *self.session();
        if session.taken == 0 {
            let taken = session.tls.writer().write_vectored(pieces)?;
            // Keys wear out, and in TLS 1.2 there are no others: then nothing is said any more.
            if taken > 0 && !session.tls.wants_write() {
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            }
            (session.taken, session.moved) = (taken, 0);
        }
        if let Poll::Ready(flushed) = session.poll_flush(&self.socket, cx) {
            flushed?;
            return Poll::Ready(Ok(mem::take(&mut session.taken)));
        }
        // As much as the socket took, more or less: what is still here keeps the last byte back.
        let written = mem::take(&mut session.moved).min(session.taken.saturating_sub(1));
        session.taken -= written;
        if written > 0 { Poll::Ready(Ok(written)) } else { Poll::Pending }
    }

    /// Ends the session for what we write, and then that side of the socket.
    pub(super) fn poll_end_writing(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let session = &mut *self.session();
        if !session.ends {
            session.ends = true;
            session.tls.send_close_notify();
        }
        ready!(session.poll_flush(&self.socket, cx))?;
        Poll::Ready(self.socket.end_writing())
    }

    /// As [`Wire::resets`](super::Wire::resets).
    pub(super) fn resets(&self) -> io::Result<()> {
        self.socket.resets()
    }
}

impl Session {
    /// Has the session read more; 0 is the end of the socket.
    fn poll_more(&mut self, socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.incoming.is_empty() && ready!(socket.poll_read(cx, &mut self.incoming))? == 0 {
            return Poll::Ready(Ok(0));
        }
        let read = self.tls.read_tls(&mut &*self.incoming)?;
        if read == 0 {
            return Poll::Ready(Err(ErrorKind::InvalidData.into()));
        }
        self.records.pass(&self.incoming[..read]);
        self.incoming.consume(read);
        Poll::Ready(Ok(read))
    }

    /// Looks at what was read.
    fn process(&mut self, socket: &Socket, cx: &mut Context<'_>) -> io::Result<()> {
        let processed = self.tls.process_new_packets();
        processed.map(drop).map_err(|error| {
            // Why is said to the client, too, as far as its socket takes it at once.
            let _ = self.poll_flush(socket, cx);
            io::Error::new(ErrorKind::InvalidData, error)
        })
    }

    /// Has the socket take what there is to be sent; ready when it has all.
    fn poll_flush(&mut self, socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Outlet { socket, cx }) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(count) => self.moved += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The records that have come, by their heads alone (RFC 8446, section 5.1): where one ends.
#[derive(Debug, Default)]
pub(crate) struct Records {
    head: [u8; 5],
    /// Of the head, so many bytes are here.
    known: usize,
    /// Of what follows it, so many are missing.
    missing: usize,
}

impl Records {
    /// Looks at what passes.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let past = self.missing.min(bytes.len());
            (self.missing, bytes) = (self.missing - past, &bytes[past..]);
            let more = (self.head.len() - self.known).min(bytes.len());
            if self.missing > 0 || more == 0 {
                continue;
            }
            self.head[self.known..self.known + more].copy_from_slice(&bytes[..more]);
            (self.known, bytes) = (self.known + more, &bytes[more..]);
            if self.known == self.head.len() {
                let [_, _, _, high, low] = self.head;
                (self.known, self.missing) = (0, u16::from_be_bytes([high, low]).into());
            }
        }
    }

    /// Whether a part of one has come, and not yet all of it.
    fn is_amid(&self) -> bool {
        self.known > 0 || self.missing > 0
    }
}

/// The socket, as rustls writes to it. Who has met `WouldBlock` is woken when there is room.
struct Outlet<'a, 'b, 'c> {
    socket: &'a Socket,
    cx: &'b mut Context<'c>,
}

impl Write for Outlet<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.socket.poll_write(self.cx, pieces) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nothing of what passes.
impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure").field("socket", &self.socket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::Arc};

    use rustix::net::sockopt;
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::{
        Identity,
        tls::tests::{pair, trusting},
    };

    /// Whoever waits for a client has to see that it takes something.
    #[tokio::test]
    async fn what_a_slow_client_takes_counts_as_it_takes_it() {
        const SIZE: usize = 200_000;
        let (chain, key) = pair(&["a.test"]);
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, accepted) = tokio::join!(connecting, listener.accept());
        let (stream, ours) = (stream.unwrap(), accepted.unwrap().0);
        sockopt::set_socket_recv_buffer_size(&stream, 4 << 10).unwrap();
        sockopt::set_socket_send_buffer_size(&ours, 4 << 10).unwrap();
        let tls = ServerConnection::new(identity.config()).unwrap();
        let socket = Socket::from(ours);
        let secure = Secure::new(socket, tls, Buffer::default(), Records::default());
        let client = TlsConnector::from(Arc::new(trusting(&[chain])));
        let client = client.connect("a.test".try_into().unwrap(), stream);
        let shaken = poll_fn(|cx| secure.poll_handshake(cx, || {}));
        let (client, shaken) = tokio::join!(client, shaken);
        shaken.unwrap();
        let mut client = client.unwrap();
        let body: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
        let (mut steps, mut left) = (0, &body[..]);
        let mut got = Vec::new();
        while !left.is_empty() {
            let mut piece = [0; 2 << 10];
            let mut nothing = Vec::new();
            tokio::select! {
                biased;
                // Whoever reads first has the socket take what waits.
                written = poll_fn(|cx| {
                    assert!(secure.poll_fill(cx, &mut nothing, 1).is_pending());
                    secure.poll_write(cx, &[IoSlice::new(left)])
                }) => {
                    let written = written.unwrap();
                    assert!(written > 0 && written <= left.len());
                    left = &left[written..];
                    steps += 1;
                }
                read = client.read(&mut piece) => got.extend_from_slice(&piece[..read.unwrap()]),
            }
        }
        // Or it would be seen to take something as often as there is room for.
        assert!(steps > SIZE.div_ceil(MOST), "{steps}");
        let rest = async {
            poll_fn(|cx| secure.poll_end_writing(cx)).await.unwrap();
        };
        let (_, read) = tokio::join!(rest, client.read_to_end(&mut got));
        read.unwrap();
        assert!(got == body);
    }

    #[test]
    fn where_a_record_ends_is_known_however_it_comes() {
        let bytes = b"\x16\x03\x01\x00\x03abc\x17\x03\x03\x00\x00\x17\x03\x03\x00\x01x";
        let ends = [8, 13, 19];
        for piece in 1..=bytes.len() {
            let (mut records, mut seen) = (Records::default(), 0);
            for part in bytes.chunks(piece) {
                records.pass(part);
                seen += part.len();
                assert_eq!(!records.is_amid(), ends.contains(&seen), "{piece}: after {seen}");
            }
        }
    }
}
