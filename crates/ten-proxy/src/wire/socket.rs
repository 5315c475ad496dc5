//! Connected sockets, read and written with one system call each.
//!
//! A task waits for a socket to be ready and then moves what it can. A read that leaves room in
//! its buffer has emptied the socket, and says so to the runtime: that spares the read which
//! would only find that out.

use std::{
    io::{self, ErrorKind::WouldBlock, IoSlice},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BufMut;
use rustix::net::{Shutdown, sockopt};
use tokio::{
    io::Interest,
    net::{TcpStream, UnixStream},
};

use crate::buffer::Buffer;

/// A connected socket, of either kind. Clones are the same socket.
#[derive(Debug, Clone)]
pub(crate) enum Socket {
    Tcp(Arc<TcpStream>),
    Unix(Arc<UnixStream>),
}

/// The same call on either kind.
macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($stream) => $call,
            Socket::Unix($stream) => $call,
        }
    };
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(Arc::new(stream))
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(Arc::new(stream))
    }
}

impl Socket {
    /// Reads as soon as there is anything; 0 is the end. Who waits with an empty buffer needs no
    /// memory for it.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.poll_read_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => {
                    buffer.rest();
                    return Poll::Pending;
                }
            }
            let room = buffer.make_room();
            if let Some(read) = self.try_read(buffer.spare(), room) {
                return Poll::Ready(read);
            }
        }
    }

    /// Reads as soon as there is anything into memory with so much `room`.
    pub(crate) fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        memory: &mut impl BufMut,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            if let Some(read) = self.try_read(memory, room) {
                return Poll::Ready(read);
            }
        }
    }

    /// `None`: there is nothing.
    fn try_read(&self, memory: &mut impl BufMut, room: usize) -> Option<io::Result<usize>> {
        let mut got = 0;
        let read = either!(self, stream => stream.try_io(Interest::READABLE, || {
            got = stream.try_read_buf(memory)?;
            if got > 0 && got < room { Err(WouldBlock.into()) } else { Ok(()) }
        }));
        match read {
            Err(error) if error.kind() == WouldBlock && got == 0 => None,
            Err(error) if error.kind() != WouldBlock => Some(Err(error)),
            _ => Some(Ok(got)),
        }
    }

    /// Whether there is something to read, or an end.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read_ready(cx))
    }

    /// Writes as soon as the socket takes anything.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(either!(self, stream => stream.poll_write_ready(cx)))?;
            let written = match pieces {
                [piece] => either!(self, stream => stream.try_write(piece)),
                _ => either!(self, stream => stream.try_write_vectored(pieces)),
            };
            match written {
                Err(error) if error.kind() == WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Whether nothing has come that nobody has read, not even an end. Not by way of a poll: that
    /// finds nothing either where its task has done enough for now.
    pub(crate) fn is_quiet(&self) -> bool {
        let read = either!(self, stream => stream.try_read(&mut [0]));
        read.is_err_and(|error| error.kind() == WouldBlock)
    }

    /// Has its end be a reset, so that nobody takes it for the end of what was written.
    pub(crate) fn resets(&self) -> io::Result<()> {
        let now = Some(Duration::ZERO);
        Ok(either!(self, stream => sockopt::set_socket_linger(stream, now))?)
    }

    /// Says that nothing more will be written.
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        Ok(either!(self, stream => rustix::net::shutdown(stream, Shutdown::Write))?)
    }
}
