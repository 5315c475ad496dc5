//! The client's socket, as hyper sees it: it passes on what is sound, ends what stands still,
//! and closes without losing the answer.
//!
//! **Refusals.** [`Framing`] reads along. A head waits here until it is complete and sound. In
//! place of a refused one, hyper reads [`REFUSED`], a request that no client can get past
//! `Framing`: so its answer is ours, comes after the answers before it, and is the last one.
//! After a fault in a body the next read fails.
//!
//! **Lingering close.** Closing a socket with unread bytes makes the kernel send RST, which
//! can destroy an answer that the client has not read yet (RFC 9112, section 9.6). So after
//! the end of the writing side, what the client still sends is thrown away for a while.

use std::{
    future::Future,
    io::{self, ErrorKind::WouldBlock},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use rustix::net::Shutdown;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
    time::Sleep,
};

use super::{
    BODY_TIMEOUT,
    course::{Course, Stall},
    framing::{Framing, Scan, Violation},
};

/// Longest time for which a closing connection reads on.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes that a closing connection reads and throws away.
const LINGER_BYTES: usize = 1 << 20;
/// Most bytes that wait for an answer that decides what they are. A head waits in less.
const MAX_HELD: usize = 64 << 10;
/// What hyper reads in place of a refused head. `check` gives the true reason.
const REFUSED: &[u8] = b"CONNECT refused:0 HTTP/1.1\r\n\r\n";

/// A client's connection.
#[derive(Debug)]
pub(super) struct ClientSocket {
    stream: Arc<TcpStream>,
    course: Arc<Course>,
    framing: Framing,
    /// Read from the stream and not yet passed on.
    held: BytesMut,
    /// So many of them may be.
    passable: usize,
    /// Reads on once an answer has decided what is held.
    undecided: Option<Waker>,
    reading: Stall,
    writing: Stall,
    linger: Option<Linger>,
}

#[derive(Debug)]
struct Linger {
    left: usize,
    end: Pin<Box<Sleep>>,
}

impl ClientSocket {
    /// A connection of which `held` was read already.
    pub(super) fn new(stream: Arc<TcpStream>, course: Arc<Course>, held: BytesMut) -> Self {
        let mut socket = Self {
            stream,
            course,
            framing: Framing::default(),
            held,
            passable: 0,
            undecided: None,
            reading: Stall::default(),
            writing: Stall::default(),
            linger: None,
        };
        socket.rescan();
        socket
    }

    /// Passes on what is held and may go; whether there was any.
    fn pass(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        if self.passable == 0 && self.framing.undecided() {
            self.framing.decide(self.course.answers(), self.course.is_tunnel());
            self.rescan();
        }
        let now = self.passable.min(buf.remaining());
        buf.put_slice(&self.held[..now]);
        self.held.advance(now);
        self.passable -= now;
        now > 0
    }

    /// Looks at what is held.
    fn rescan(&mut self) {
        let scan = self.framing.scan(&self.held);
        self.settle(scan);
    }

    /// Takes what was just read into `buf`, from `start` on. It stays there if it may go.
    fn take(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        let new = &buf.filled()[start..];
        if self.held.is_empty() {
            let scan = self.framing.scan(new);
            if scan.passed == new.len() && scan.fault.is_none() {
                return;
            }
            self.held.extend_from_slice(new);
            self.settle(scan);
        } else {
            self.held.extend_from_slice(new);
            self.rescan();
        }
        buf.set_filled(start);
    }

    fn settle(&mut self, scan: Scan) {
        self.passable = scan.passed;
        let Some(fault) = scan.fault else { return };
        self.held.truncate(scan.passed);
        if let Violation::Head(fault) = fault {
            self.course.refuse(fault);
            self.held.extend_from_slice(REFUSED);
            self.passable = self.held.len();
        }
    }

    fn poll_socket(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
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
    fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if let Some(reader) = self.undecided.take() {
            reader.wake();
        }
        let written = loop {
            match self.stream.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
            match write(&self.stream) {
                Err(error) if error.kind() == WouldBlock => {}
                written => break Poll::Ready(written),
            }
        };
        match self.course.is_tunnel() {
            true => written,
            false => self.writing.bound(BODY_TIMEOUT, cx, written),
        }
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let start = buf.filled().len();
        while !this.pass(buf) {
            if this.framing.refused() {
                return match this.course.refused() {
                    // The answer is on its way, and with it the end.
                    Some(_) => Poll::Pending,
                    None => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                };
            }
            if this.framing.undecided() {
                this.undecided = Some(cx.waker().clone());
            }
            // Only what an answer decides about grows so long.
            if this.held.len() >= MAX_HELD {
                return Poll::Pending;
            }
            let mut read = this.poll_socket(cx, buf);
            if this.framing.in_body() {
                read = this.reading.bound(BODY_TIMEOUT, cx, read);
            }
            ready!(read)?;
            if buf.filled().len() == start {
                break;
            }
            this.course.heard();
            this.take(buf, start);
            if buf.filled().len() > start {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |stream| stream.try_write(buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |stream| stream.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            rustix::net::shutdown(&this.stream, Shutdown::Write)?;
            if this.course.is_tunnel() {
                return Poll::Ready(Ok(()));
            }
        }
        let mut linger = this.linger.take().unwrap_or_else(|| Linger {
            left: LINGER_BYTES,
            end: Box::pin(tokio::time::sleep(LINGER_TIMEOUT)),
        });
        let mut waste = [0; 8 << 10];
        while linger.left > 0 && linger.end.as_mut().poll(cx).is_pending() {
            let mut waste = ReadBuf::new(&mut waste);
            let Poll::Ready(read) = this.poll_socket(cx, &mut waste) else {
                this.linger = Some(linger);
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
