//! Connections as whoever reads and writes them has them: a socket, or a TLS session on one.

mod secure;
mod socket;

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::BufMut;

pub(crate) use self::{
    secure::{Records, Secure},
    socket::Socket,
};
use crate::buffer::Buffer;

/// A connection. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) enum Wire {
    Bare(Socket),
    Secure(Arc<Secure>),
}

impl From<Socket> for Wire {
    fn from(socket: Socket) -> Self {
        Self::Bare(socket)
    }
}

impl Wire {
    /// Reads as soon as there is anything; 0 is the end. Who waits with an empty buffer needs no
    /// memory for it.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Bare(socket) => socket.poll_read(cx, buffer),
            Self::Secure(secure) => secure.poll_read(cx, buffer),
        }
    }

    /// Reads as soon as there is anything into memory with so much `room`.
    pub(crate) fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        memory: &mut impl BufMut,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Bare(socket) => socket.poll_fill(cx, memory, room),
            Self::Secure(secure) => secure.poll_fill(cx, memory, room),
        }
    }

    /// Whether something was read that nobody can begin anything with before the rest has come.
    pub(crate) fn is_amid(&self) -> bool {
        match self {
            Self::Bare(_) => false,
            Self::Secure(secure) => secure.is_amid(),
        }
    }

    /// Writes as soon as the socket takes anything. Until then the same bytes must be offered again,
    /// though perhaps with more behind them: they may be on their way.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Bare(socket) => socket.poll_write(cx, pieces),
            Self::Secure(secure) => secure.poll_write(cx, pieces),
        }
    }

    /// Writes everything.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match poll_fn(|cx| self.poll_write(cx, &[IoSlice::new(bytes)])).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    /// Has its end be a reset, so that nobody takes it for the end of what was written.
    pub(crate) fn resets(&self) -> io::Result<()> {
        match self {
            Self::Bare(socket) => socket.resets(),
            Self::Secure(secure) => secure.resets(),
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn poll_end_writing(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Bare(socket) => Poll::Ready(socket.end_writing()),
            Self::Secure(secure) => secure.poll_end_writing(cx),
        }
    }
}
