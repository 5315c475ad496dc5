//! A TLS session on a socket, read and written as the socket itself is.
//!
//! ```text
//! socket ──▶ incoming ──▶ rustls ──▶ whoever reads
//! socket ◀────────────── rustls ◀── whoever writes
//! ```
//!
//! What a session has taken to encrypt it has taken for good. A write is ready only once the socket
//! has all that was taken of it; so nothing waits here for somebody to flush it, and how fast a
//! client takes what it is sent is seen as it is on a bare socket.
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
use crate::buffer::Buffer;

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
    /// Something was read that is part of a record.
    amid: bool,
    /// Of what is offered to be written, so many bytes are encrypted already.
    taken: usize,
    /// The end of what we write is on its way.
    ends: bool,
}

impl Secure {
    /// A session that has begun with the client's first message. `incoming` came after it.
    pub(crate) fn new(socket: Socket, mut tls: ServerConnection, incoming: Buffer) -> Self {
        tls.set_buffer_limit(Some(MOST));
        let session = Session { tls, incoming, amid: false, taken: 0, ends: false };
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
        session.amid = false;
        // What else there is to be sent goes before what is written next.
        Poll::Ready(Ok(()))
    }

    /// What both sides have agreed to speak (RFC 7301).
    pub(crate) fn protocol(&self) -> Option<Vec<u8>> {
        self.session().tls.alpn_protocol().map(<[u8]>::to_vec)
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
                    session.amid = false;
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
        self.session().amid
    }

    /// As [`Wire::poll_write`](super::Wire::poll_write).
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let session = &mut *self.session();
        if session.taken == 0 {
            session.taken = session.tls.writer().write_vectored(pieces)?;
        }
        ready!(session.poll_flush(&self.socket, cx))?;
        Poll::Ready(Ok(mem::take(&mut session.taken)))
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
        self.incoming.consume(read);
        self.amid = true;
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

    fn poll_flush(&mut self, socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Outlet { socket, cx }) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
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
