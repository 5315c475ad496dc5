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
//! memory of this is a state and two numbers.

use super::head::{is_control, is_token};

/// Most digits of a size: sixteen fill 64 bits.
const MAX_DIGITS: u8 = 16;

/// How far a chunked body has come.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    at: At,
    /// Of the chunk under way: what its digits say so far, then what is left of its data.
    size: u64,
    digits: u8,
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
}

impl Chunks {
    pub(super) fn ended(&self) -> bool {
        self.at == At::Ended
    }

    /// Reads on, to the end of `bytes` or of the body. Returns how many were sound and of this
    /// body; `Err` with that where the next one is not.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<usize, usize> {
        let mut passed = 0;
        while passed < bytes.len() && !self.ended() {
            if self.at == At::Data {
                let left = bytes.len() - passed;
                let data = usize::try_from(self.size).map_or(left, |size| size.min(left));
                self.size -= data as u64;
                passed += data;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
            } else {
                self.at = self.next(bytes[passed]).ok_or(passed)?;
                passed += 1;
            }
        }
        Ok(passed)
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
            (At::Extension, _) if !is_control(byte) => At::Extension,
            (At::SizeEnd, b'\n') if self.size == 0 => At::TrailerStart,
            (At::SizeEnd, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.digits = 0;
                At::Size
            }
            (At::TrailerStart, b'\r') => At::LastEnd,
            (At::TrailerStart | At::Name, _) if is_token(byte) => At::Name,
            (At::Name, b':') => At::Value,
            (At::Value, b'\r') => At::TrailerEnd,
            (At::Value, _) if !is_control(byte) => At::Value,
            (At::TrailerEnd, b'\n') => At::TrailerStart,
            (At::LastEnd, b'\n') => At::Ended,
            _ => return None,
        })
    }
}
