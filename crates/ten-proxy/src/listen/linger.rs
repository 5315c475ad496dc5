//! The end of a connection that loses no answer.
//!
//! Closing a socket with unread bytes makes the kernel send RST, which can destroy an answer that
//! the client has not read yet (RFC 9112, section 9.6). So after the end of the writing side, what
//! the client still sends is thrown away for a while.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use crate::{buffer::Buffer, wire::Wire};

/// Longest time for which a closing connection reads on.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes that a closing connection reads and throws away.
const MAX_BYTES: usize = 1 << 20;

/// A connection that is being closed.
#[derive(Debug)]
pub(super) struct Linger {
    /// Our own side has ended.
    ended: bool,
    left: usize,
    end: Pin<Box<Sleep>>,
}

impl Linger {
    /// The time for it begins.
    pub(super) fn begin() -> Self {
        Self { ended: false, left: MAX_BYTES, end: Box::pin(sleep(TIMEOUT)) }
    }

    /// Ends the writing side, then reads until the client has ended its own, or for a while.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, wire: &Wire) -> Poll<io::Result<()>> {
        let mut waste = Buffer::default();
        while self.left > 0 && self.end.as_mut().poll(cx).is_pending() {
            if !self.ended {
                ready!(wire.poll_end_writing(cx))?;
                self.ended = true;
            }
            match wire.poll_read(cx, &mut waste) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(count)) => {
                    self.left = self.left.saturating_sub(count);
                    waste.consume(count);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}
