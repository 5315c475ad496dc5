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

use std::{future::poll_fn, io, time::Duration};

use super::frames::Frames;
use crate::{DrainSignal, buffer::Buffer, wire::Wire};

/// Longest wait for a side's own Close after it was sent one, and for the end of a side that
/// still sends to one that is gone.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// From one side to the other.
pub(super) struct Flow {
    from: Wire,
    /// Read and not yet passed on. Without memory while nothing comes.
    buffer: Buffer,
    sink: Wire,
    frames: Frames,
    /// What a drain says to the sink.
    goodbye: Vec<u8>,
    drain: DrainSignal,
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
        (from, buffer): (Wire, Buffer),
        sink: Wire,
        frames: Frames,
        goodbye: Vec<u8>,
        drain: DrainSignal,
    ) -> Self {
        Self { from, buffer, sink, frames, goodbye, drain }
    }

    /// Runs to the end of this direction.
    ///
    /// # Errors
    /// If the source breaks.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let ended = match self.pass().await? {
            End::Source => self.sink.end_writing(),
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
                got = fill(&self.from, &mut self.buffer) => got?,
            };
            if got == 0 {
                return Ok(End::Source);
            }
            let draining = self.drain.has_begun();
            let mut passed = 0;
            while passed < got && !(draining && self.frames.between()) {
                passed += self.frames.step(&self.buffer[passed..]);
            }
            let written = self.sink.write_all(&self.buffer[..passed]).await;
            self.buffer.consume(passed);
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
                self.sink.write_all(&self.goodbye).await?;
            }
            loop {
                while !self.buffer.is_empty() {
                    let stepped = self.frames.step(&self.buffer);
                    self.buffer.consume(stepped);
                }
                if self.frames.closed() || fill(&self.from, &mut self.buffer).await? == 0 {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(CLOSE_TIMEOUT, parting).await.map_err(io::Error::from)?
    }
}

/// Reads what there is where nothing is here; how much is here then, 0 at the end.
async fn fill(from: &Wire, buffer: &mut Buffer) -> io::Result<usize> {
    if buffer.is_empty() {
        poll_fn(|cx| from.poll_read(cx, buffer)).await?;
    }
    Ok(buffer.len())
}
