//! Where the body of a message ends, and what of its bytes is data.
//!
//! ```text
//! Length(n) ──n bytes──────▶ Ended
//! Chunks ─────last chunk───▶ Ended
//! TheRest ────end of the connection
//! ```
//!
//! The same for requests and for answers. No byte is held: what was read lies in its reader's
//! buffer, and this says how much of that is what.

mod chunks;
#[cfg(test)]
mod tests;

use self::chunks::Chunks;
use crate::buffer::Buffer;

/// A body that is being read.
#[derive(Debug)]
pub(crate) struct Framing(State);

#[derive(Debug)]
enum State {
    Length(u64),
    Chunks(Box<Chunks>),
    TheRest,
    Ended,
}

/// What lies at the beginning of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// So many bytes of data, and more than none.
    Data(usize),
    /// Too little to tell.
    More,
    /// What follows the body, if anything.
    End,
}

/// The body is not framed as HTTP/1.1 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

impl Framing {
    pub(crate) fn nothing() -> Self {
        Self(State::Ended)
    }

    pub(crate) fn length(length: u64) -> Self {
        Self(if length == 0 { State::Ended } else { State::Length(length) })
    }

    pub(crate) fn chunks() -> Self {
        Self(State::Chunks(Box::default()))
    }

    pub(crate) fn the_rest() -> Self {
        Self(State::TheRest)
    }

    /// Uses what is not data, and says what lies behind it.
    ///
    /// # Errors
    /// If a byte is not sound. Nothing can be read any more then.
    pub(crate) fn next(&mut self, buffer: &mut Buffer) -> Result<Next, Broken> {
        let left = match &mut self.0 {
            State::Ended => return Ok(Next::End),
            State::Length(left) => *left,
            State::TheRest => u64::MAX,
            State::Chunks(chunks) => {
                let skipped = chunks.skip(buffer).map_err(|()| Broken)?;
                buffer.consume(skipped);
                if chunks.has_ended() {
                    return Ok(Next::End);
                }
                chunks.data()
            }
        };
        let here = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        Ok(if here == 0 { Next::More } else { Next::Data(here) })
    }

    /// So many bytes of the data were used.
    pub(crate) fn took(&mut self, count: usize) {
        let count = count as u64;
        match &mut self.0 {
            State::Length(left) if *left == count => self.0 = State::Ended,
            State::Length(left) => *left -= count,
            State::Chunks(chunks) => chunks.took(count),
            State::TheRest | State::Ended => {}
        }
    }

    /// Whether nothing is to come any more.
    pub(crate) fn has_ended(&self) -> bool {
        match &self.0 {
            State::Ended => true,
            State::Chunks(chunks) => chunks.has_ended(),
            State::Length(_) | State::TheRest => false,
        }
    }

    /// The connection has ended; whether the body has ended with it.
    pub(crate) fn ends_with_connection(&mut self) -> bool {
        if matches!(self.0, State::TheRest) {
            self.0 = State::Ended;
        }
        self.has_ended()
    }

    /// The trailers of a body that has ended: whole lines.
    pub(crate) fn trailers(&self) -> &[u8] {
        match &self.0 {
            State::Chunks(chunks) => chunks.trailers(),
            _ => &[],
        }
    }
}
