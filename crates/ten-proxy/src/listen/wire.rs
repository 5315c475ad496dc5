//! What the sockets of HTTP/1 and HTTP/2 have in common: reads that cost one system call, writes
//! that a client may not hold up for ever, and a close that loses no answer.
//!
//! **Lingering close.** Closing a socket with unread bytes makes the kernel send RST, which
//! can destroy an answer that the client has not read yet (RFC 9112, section 9.6). So after
//! the end of the writing side, what the client still sends is thrown away for a while.

use std::{
    future::Future,
    io::{self, ErrorKind::WouldBlock},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::net::Shutdown;
use tokio::{
    io::{Interest, ReadBuf},
    net::TcpStream,
    time::Sleep,
};

/// Longest time for which a closing connection reads on.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes that a closing connection reads and throws away.
const LINGER_BYTES: usize = 1 << 20;

/// A client's TCP connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Arc<TcpStream>,
    linger: Option<Linger>,
}

#[derive(Debug)]
struct Linger {
    left: usize,
    end: Pin<Box<Sleep>>,
}

impl Wire {
    pub(super) fn new(stream: Arc<TcpStream>) -> Self {
        Self { stream, linger: None }
    }

    /// Reads as soon as there is anything.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let mut got = 0;
            let read = self.stream.try_io(Interest::READABLE, || {
                got = self.stream.try_read_buf(buf)?;
                // A short read has emptied the socket. Saying so spares the read that would
                // find that out, as tokio's own reads do.
                if got > 0 && got < room { Err(WouldBlock.into()) } else { Ok(()) }
            });
            match read {
                Err(error) if error.kind() == WouldBlock && got == 0 => {}
                Err(error) if error.kind() != WouldBlock => return Poll::Ready(Err(error)),
                _ => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Writes as soon as the stream takes anything.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_write_vectored(bufs) {
                Err(error) if error.kind() == WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Says that nothing more will be written.
    pub(super) fn end_writing(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.stream, Shutdown::Write)?)
    }

    /// Ends the writing side, then reads until the client has ended its own, or for a while.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            self.end_writing()?;
        }
        let mut linger = self.linger.take().unwrap_or_else(|| Linger {
            left: LINGER_BYTES,
            end: Box::pin(tokio::time::sleep(LINGER_TIMEOUT)),
        });
        let mut waste = [0; 8 << 10];
        while linger.left > 0 && linger.end.as_mut().poll(cx).is_pending() {
            let mut waste = ReadBuf::new(&mut waste);
            let Poll::Ready(read) = self.poll_read(cx, &mut waste) else {
                self.linger = Some(linger);
                return Poll::Pending;
            };
            read?;
            match waste.filled().len() {
                0 => break,
                n => linger.left = linger.left.saturating_sub(n),
            }
        }
        Poll::Ready(Ok(()))
    }
}
