//! A chunked body (RFC 9112, section 7.1), byte by byte but for its data.
//!
//! ```text
//!  ┌──────────────────────── LF ◀─ CR ◀─ Data ◀──┐ (size > 0)
//!  ▼                                             │
//! Size ──;──▶ Extension ──CR──▶ SizeEnd ──LF─────┤
//!                                                ▼ (size = 0)
//!     Ended ◀──LF── LastEnd ◀──CR─── TrailerStart ◀──LF── TrailerEnd
//!                                       └▶ Name ──:──▶ Value ──CR──┘
//! ```
//!
//! Stricter than the grammar in one point: no space beside a size. Chunks are not held, so the
//! memory of this is a state, two numbers, and the trailers.

use crate::head::{is_control, is_token};

/// Most digits of a size: sixteen fill 64 bits.
const MAX_DIGITS: u8 = 16;
/// Most bytes of all extensions of a body together. Nobody uses them, and they would be a way
/// to send for ever without sending anything.
const MAX_EXTENSIONS: u32 = 16 << 10;
/// Most bytes of all trailers of a body together.
const MAX_TRAILERS: usize = 16 << 10;

/// How far a chunked body has come.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    at: At,
    /// Of the chunk under way: what its digits say so far, then what is left of its data.
    size: u64,
    digits: u8,
    extensions: u32,
    /// Lines of trailers, with their ends.
    trailers: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Name,
    Value,
    TrailerEnd,
    LastEnd,
    Ended,
    /// Nothing leads out of here: what follows a fault has no meaning any more.
    Broken,
}

impl Chunks {
    pub(super) fn has_ended(&self) -> bool {
        self.at == At::Ended
    }

    /// How much of the chunk's data is still to come; 0 outside of data.
    pub(super) fn data(&self) -> u64 {
        if self.at == At::Data { self.size } else { 0 }
    }

    /// So much of the data was used.
    pub(super) fn took(&mut self, count: u64) {
        self.size -= count;
        if self.size == 0 {
            self.at = At::DataCr;
        }
    }

    pub(super) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Reads what lies before the next data, or the end of the body; how many bytes that were.
    /// `Err` where one is not sound.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> Result<usize, ()> {
        for (count, byte) in bytes.iter().enumerate() {
            if matches!(self.at, At::Data | At::Ended) {
                return Ok(count);
            }
            self.at = self.next(*byte).unwrap_or(At::Broken);
            if self.at == At::Broken {
                return Err(());
            }
        }
        Ok(bytes.len())
    }

    /// Where `byte` leads; `None`: nowhere.
    fn next(&mut self, byte: u8) -> Option<At> {
        Some(match (self.at, byte) {
            (At::Size, b'\r') if self.digits > 0 => At::SizeEnd,
            (At::Size, b';') if self.digits > 0 => At::Extension,
            (At::Size, _) if self.digits < MAX_DIGITS => {
                let digit = char::from(byte).to_digit(16)?;
                self.digits += 1;
                self.size = self.size << 4 | u64::from(digit);
                At::Size
            }
            (At::Extension, b'\r') => At::SizeEnd,
            (At::Extension, _) if !is_control(byte) && self.extensions < MAX_EXTENSIONS => {
                self.extensions += 1;
                At::Extension
            }
            (At::SizeEnd, b'\n') if self.size == 0 => At::TrailerStart,
            (At::SizeEnd, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.digits = 0;
                At::Size
            }
            (At::TrailerStart, b'\r') => At::LastEnd,
            (At::TrailerStart | At::Name, _) if is_token(byte) => self.trailer(byte, At::Name)?,
            (At::Name, b':') => self.trailer(byte, At::Value)?,
            (At::Value, b'\r') => self.trailer(byte, At::TrailerEnd)?,
            (At::Value, _) if !is_control(byte) => self.trailer(byte, At::Value)?,
            (At::TrailerEnd, b'\n') => self.trailer(byte, At::TrailerStart)?,
            (At::LastEnd, b'\n') => At::Ended,
            _ => return None,
        })
    }

    fn trailer(&mut self, byte: u8, to: At) -> Option<At> {
        self.trailers.push(byte);
        (self.trailers.len() < MAX_TRAILERS).then_some(to)
    }
}
