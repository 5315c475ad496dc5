//! One direction of a tunnel.
//!
//! ```text
//!        ┌─bytes─┐
//!        ▼       │
//!       Passing ─┴─ end of the source ─────────▶ the end, passed on (half-close)
//!        ├────── parting, between two frames ──▶ Close sent ─┐
//!        └────── nobody takes them ──────────────────────────┴▶ discarding ──▶ done
//! ```
//!
//! What is read is written before more is read, so a side that takes nothing slows the other
//! down, and one buffer is all that a direction ever holds. While it is idle, it holds none.
//!
//! A client that takes nothing of what it is sent is waited for as long as in the middle of a body:
//! it would hold the instance for ever. An instance has what time it likes.
//!
//! A source that breaks takes the tunnel with it: it would not take anything either. A sink
//! that breaks does not: it may have said a last thing before it closed, which its own direction
//! still carries. What is sent to it meanwhile is thrown away, because closing a socket with
//! unread bytes makes the kernel send RST, which can destroy that last thing.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    task::{Context, Poll, ready},
    time::Duration,
};

use super::{frames::Frames, parting::Parting};
use crate::{
    buffer::Buffer,
    listen::{Patience, Terms},
    wire::Wire,
};

/// Longest wait for a side's own Close after it was sent one, and for the end of a side that
/// still sends to one that is gone.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// From one side to the other.
pub(super) struct Flow<'a> {
    from: Wire,
    /// Read and not yet passed on. Without memory while nothing comes.
    buffer: Buffer,
    sink: Wire,
    /// How long the sink is waited for, where that has an end.
    patience: Option<(Patience, Terms)>,
    frames: Frames,
    /// What the sink is told at the parting.
    goodbye: Vec<u8>,
    parting: &'a Parting,
}

/// Why no more bytes pass.
enum End {
    /// The source has ended.
    Source,
    /// The sink takes no more.
    Sink(io::Error),
    /// The parting has begun, and the last frame that passed is complete.
    Parting,
}

impl<'a> Flow<'a> {
    pub(super) fn new(
        (from, buffer): (Wire, Buffer),
        sink: Wire,
        frames: Frames,
        goodbye: Vec<u8>,
        parting: &'a Parting,
    ) -> Self {
        Self { from, buffer, sink, patience: None, frames, goodbye, parting }
    }

    /// Waits for its sink no longer than these terms say.
    pub(super) fn within(self, terms: Terms) -> Self {
        Self { patience: Some((Patience::default(), terms)), ..self }
    }

    /// Runs to the end of this direction.
    ///
    /// # Errors
    /// If the source breaks, or the sink has taken nothing for as long as it may.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let ended = match self.pass().await? {
            End::Source => end(&self.sink).await,
            End::Parting if self.frames.closed() => Ok(()),
            End::Parting => self.part(true).await,
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
            let Some(got) = poll_fn(|cx| self.poll_next(cx)).await? else {
                return Ok(End::Parting);
            };
            if got == 0 {
                return Ok(End::Source);
            }
            let mut passed = 0;
            while passed < got && !self.parts() {
                passed += self.frames.step(&self.buffer[passed..]);
            }
            while passed > 0 {
                match poll_fn(|cx| self.poll_write(passed, cx)).await {
                    Ok(written) => {
                        self.buffer.consume(written);
                        passed -= written;
                    }
                    Err(error)
                        if self.patience.is_some() && error.kind() == io::ErrorKind::TimedOut =>
                    {
                        return Err(error);
                    }
                    Err(error) => {
                        self.buffer.consume(passed);
                        return Ok(End::Sink(error));
                    }
                }
            }
        }
    }

    fn poll_write(&mut self, count: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let written = self.sink.poll_write(cx, &[IoSlice::new(&self.buffer[..count])]);
        let written = written.map(|written| match written {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            written => written,
        });
        match &mut self.patience {
            Some((patience, terms)) => patience.with(0, *terms, cx, written),
            None => written,
        }
    }

    /// Whether nothing may pass any more.
    fn parts(&self) -> bool {
        self.parting.has_begun() && self.frames.between()
    }

    /// How much is there to be passed on, as [`poll_fill`] says; `None` at the parting.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        if self.parts() {
            return Poll::Ready(Ok(None));
        }
        poll_fill(&self.from, &mut self.buffer, cx).map_ok(Some)
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
                let more = poll_fn(|cx| poll_fill(&self.from, &mut self.buffer, cx));
                if self.frames.closed() || more.await? == 0 {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(CLOSE_TIMEOUT, parting).await.map_err(io::Error::from)?
    }
}

/// Says that nothing more comes.
pub(super) async fn end(sink: &Wire) -> io::Result<()> {
    let ending = poll_fn(|cx| sink.poll_end_writing(cx));
    tokio::time::timeout(CLOSE_TIMEOUT, ending).await.map_err(io::Error::from)?
}

/// Reads what there is where nothing is here; how much is here then, 0 at the end.
fn poll_fill(from: &Wire, buffer: &mut Buffer, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    if buffer.is_empty() {
        ready!(from.poll_read(cx, buffer))?;
    }
    Poll::Ready(Ok(buffer.len()))
}
