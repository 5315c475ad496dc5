//! A client's socket of HTTP/2, as h2 sees it: it ends floods and what stands still, and
//! closes without losing the last words.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use ten_domain::ProxySettings;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    frames::{Budget, Frames, ILLEGAL},
    linger::Linger,
    opening::PREFACE,
    patience::{Patience, Terms},
};
use crate::{turn::Turn, wire::Wire};

/// A client's connection.
#[derive(Debug)]
pub(super) struct FrameSocket {
    wire: Wire,
    frames: Frames,
    /// To be passed on before anything else.
    held: BytesMut,
    /// There was a flood: nothing is read after what is held.
    ended: bool,
    writing: Patience,
    /// Longest time for which the client may take nothing.
    patience: Duration,
    /// The end has begun.
    linger: Option<Linger>,
    /// Something waits for the client to take it. Clones of this tell who has no socket.
    waits: Arc<AtomicBool>,
    turn: Turn,
}

impl FrameSocket {
    /// A connection of which `held` was read already, the preface first.
    pub(super) fn new(
        wire: Wire,
        mut held: BytesMut,
        turn: Turn,
        settings: &ProxySettings,
    ) -> Self {
        let patience = settings.body_timeout;
        let mut frames = Frames::after(PREFACE.len(), Budget::of(settings));
        let passed = frames.scan(&held);
        held.truncate(passed);
        let (writing, linger, waits) = (Patience::default(), None, Arc::default());
        let mut socket =
            Self { wire, frames, held, ended: false, writing, patience, linger, waits, turn };
        socket.end_flood();
        socket
    }

    /// Whether something waits for the client to take it, from now on.
    pub(super) fn waits(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.waits)
    }

    /// Has h2 read [`ILLEGAL`], and nothing after it, once there was a flood.
    fn end_flood(&mut self) {
        if self.frames.ended() && !self.ended {
            tracing::debug!("a client floods its connection with frames");
            self.ended = true;
            self.held.extend_from_slice(ILLEGAL);
        }
    }
}

impl AsyncRead for FrameSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.held.is_empty() && !this.ended {
            ready!(this.turn.poll_read(cx));
            let start = buf.filled().len();
            let room = buf.remaining();
            ready!(this.wire.poll_fill(cx, buf, room))?;
            let before = this.frames.seen();
            let passed = this.frames.scan(&buf.filled()[start..]);
            this.turn.read(passed, this.frames.seen() - before);
            buf.set_filled(start + passed);
            this.end_flood();
            // Nothing more after the last frame would read as the end of the connection.
            if passed > 0 || !this.ended {
                return Poll::Ready(Ok(()));
            }
        }
        if this.held.is_empty() {
            return Poll::Pending;
        }
        let now = this.held.len().min(buf.remaining());
        buf.put_slice(&this.held[..now]);
        this.held.advance(now);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FrameSocket {
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
        let this = &mut *self;
        let written = this.wire.poll_write(cx, bufs);
        this.waits.store(written.is_pending(), Relaxed);
        if let Poll::Ready(Ok(bytes)) = written {
            this.frames.sent(bytes);
        }
        // How slow it may be is for each stream to say.
        let terms = Terms { full: this.patience, rate: 0 };
        this.writing.with(0, terms, cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { wire, linger, .. } = &mut *self;
        linger.get_or_insert_with(Linger::begin).poll(cx, wire)
    }
}
