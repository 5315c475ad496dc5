//! The client's socket, as hyper sees it: it passes on what is sound, ends what stands still,
//! and closes without losing the answer ([`Wire`]).
//!
//! **Refusals.** [`Framing`] reads along. A head waits here until it is complete and sound. In
//! place of a refused one, hyper reads [`REFUSED`], a request that no client can get past
//! `Framing`: so its answer is ours, comes after the answers before it, and is the last one.
//! After a fault in a body the next read fails.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    course::Course,
    framing::{Framing, Limits, Scan, Violation},
    patience::Patience,
    wire::Wire,
};

/// Most bytes that wait for an answer that decides what they are.
const MAX_HELD: usize = 64 << 10;
/// What hyper reads in place of a refused head. `check` gives the true reason.
const REFUSED: &[u8] = b"CONNECT refused:0 HTTP/1.1\r\n\r\n";

/// A client's connection.
#[derive(Debug)]
pub(super) struct ClientSocket {
    wire: Wire,
    course: Arc<Course>,
    framing: Framing,
    /// Read from the stream and not yet passed on.
    held: BytesMut,
    /// So many of them may be.
    passable: usize,
    /// Reads on once an answer has decided what is held.
    undecided: Option<Waker>,
    reading: Patience,
    writing: Patience,
}

impl ClientSocket {
    /// A connection of which `held` was read already.
    pub(super) fn new(stream: Arc<TcpStream>, course: Arc<Course>, held: BytesMut) -> Self {
        let settings = course.settings();
        let limits = Limits { bytes: settings.max_head_bytes, headers: settings.max_headers };
        let mut socket = Self {
            wire: Wire::new(stream),
            course,
            framing: Framing::new(limits),
            held,
            passable: 0,
            undecided: None,
            reading: Patience::default(),
            writing: Patience::default(),
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
        if self.held.is_empty() {
            // A tunnel, or a connection that is kept alive, needs no room for what is held.
            self.held = BytesMut::new();
        }
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

    /// What comes of a write; where nothing does, the client has so long.
    fn bound_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Some(reader) = self.undecided.take() {
            reader.wake();
        }
        match self.course.is_tunnel() {
            true => written,
            false => self.writing.with(self.course.answers(), self.course.patience(), cx, written),
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
            if !this.held.is_empty() {
                // Part of a head, read before anybody waited for it.
                this.course.heard();
            }
            if this.framing.refused() {
                return match this.course.refused() {
                    // The answer is on its way, and with it the end.
                    Some(_) => Poll::Pending,
                    None => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                };
            }
            if this.framing.undecided() {
                this.undecided = Some(cx.waker().clone());
                if this.held.len() >= MAX_HELD {
                    return Poll::Pending;
                }
            }
            let read = this.wire.poll_read(cx, buf);
            let mut read = read.map_ok(|()| buf.filled().len() - start);
            if this.framing.in_body() {
                let (number, terms) = (this.framing.heads(), this.course.patience());
                read = this.reading.with(number, terms, cx, read);
            }
            if ready!(read)? == 0 {
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
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.wire.poll_write(cx, bufs);
        self.bound_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.course.is_tunnel() {
            true => Poll::Ready(self.wire.end_writing()),
            false => self.wire.poll_close(cx),
        }
    }
}
