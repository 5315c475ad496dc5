//! One direction of a tunnel.
//!
//! ```text
//!        ┌─bytes─┐
//!        ▼       │
//!       Passing ─┴─ end of the source ─────────▶ the end, passed on (half-close)
//!        ├──────── drain, between two frames ──▶ Close sent ─┐
//!        └──────── nobody takes them ────────────────────────┴▶ discarding ──▶ done
//! ```
//!
//! What is read is written before more is read, so a side that takes nothing slows the other
//! down, and one buffer is all that a direction ever holds. While it is idle, it holds none.
//!
//! A source that breaks takes the tunnel with it: it would not take anything either. A sink
//! that breaks does not: it may have said a last thing before it closed, which its own direction
//! still carries. What is sent to it meanwhile is thrown away, because closing a socket with
//! unread bytes makes the kernel send RST, which can destroy that last thing.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    time::Duration,
};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::frames::Frames;
use crate::DrainSignal;

/// Most bytes that are on their way in one direction of a tunnel.
const BUFFER: usize = 64 << 10;
/// Longest wait for a side's own Close after it was sent one, and for the end of a side that
/// still sends to one that is gone.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// One end of a tunnel.
type Side = TokioIo<Upgraded>;

/// From one side to the other.
pub(super) struct Flow {
    source: Source,
    sink: WriteHalf<Side>,
    frames: Frames,
    /// What a drain says to the sink.
    goodbye: Vec<u8>,
    drain: DrainSignal,
}

struct Source {
    from: ReadHalf<Side>,
    /// Read and not yet passed on. Without memory while nothing comes.
    buffer: Vec<u8>,
}

/// Why no more bytes pass.
enum End {
    /// The source has ended.
    Source,
    /// The sink takes no more.
    Sink(io::Error),
    /// A drain has begun, and the last frame that passed is complete.
    Drain,
}

impl Flow {
    pub(super) fn new(
        from: ReadHalf<Side>,
        sink: WriteHalf<Side>,
        frames: Frames,
        goodbye: Vec<u8>,
        drain: DrainSignal,
    ) -> Self {
        Self { source: Source { from, buffer: Vec::new() }, sink, frames, goodbye, drain }
    }

    /// Runs to the end of this direction.
    ///
    /// # Errors
    /// If the source breaks.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let ended = match self.pass().await? {
            End::Source => self.sink.shutdown().await,
            End::Drain if self.frames.closed() => Ok(()),
            End::Drain => self.part(true).await,
            End::Sink(error) => {
                tracing::debug!(%error, "one side of a tunnel takes nothing more");
                self.part(false).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "one direction of a tunnel ended badly");
        }
        Ok(())
    }

    async fn pass(&mut self) -> io::Result<End> {
        loop {
            let got = tokio::select! {
                biased;
                () = self.drain.draining(), if self.frames.between() => return Ok(End::Drain),
                got = self.source.fill() => got?,
            };
            if got == 0 {
                return Ok(End::Source);
            }
            let draining = self.drain.has_begun();
            let mut passed = 0;
            while passed < got && !(draining && self.frames.between()) {
                passed += self.frames.step(&self.source.buffer[passed..]);
            }
            let written = write(&mut self.sink, &self.source.buffer[..passed]).await;
            self.source.buffer.drain(..passed);
            if let Err(error) = written {
                return Ok(End::Sink(error));
            }
            if passed < got {
                return Ok(End::Drain);
            }
        }
    }

    /// Says goodbye, if that can be said, and throws away what still comes, until that is a
    /// Close or the end.
    async fn part(&mut self, goodbye: bool) -> io::Result<()> {
        let parting = async {
            if goodbye {
                write(&mut self.sink, &self.goodbye).await?;
            }
            loop {
                let mut rest = &self.source.buffer[..];
                while !rest.is_empty() {
                    rest = &rest[self.frames.step(rest)..];
                }
                self.source.buffer.clear();
                if self.frames.closed() || self.source.fill().await? == 0 {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(CLOSE_TIMEOUT, parting).await.map_err(io::Error::from)?
    }
}

impl Source {
    /// Reads what there is, 0 bytes at the end. Only after the buffer was emptied.
    async fn fill(&mut self) -> io::Result<usize> {
        let Self { from, buffer } = self;
        poll_fn(|cx| {
            buffer.reserve_exact(BUFFER);
            let read = pin!(from.read_buf(buffer)).poll(cx);
            if read.is_pending() {
                *buffer = Vec::new();
            }
            read
        })
        .await
    }
}

async fn write(sink: &mut WriteHalf<Side>, bytes: &[u8]) -> io::Result<()> {
    sink.write_all(bytes).await?;
    sink.flush().await
}
