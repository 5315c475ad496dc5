//! Bytes of one stream become lines, however the pipe has cut them.
//!
//! A line ends at `\n` or `\r\n`. Text is kept as UTF-8: what is not UTF-8 is replaced by
//! U+FFFD, and control characters (NUL too) are kept as they came; whoever shows a line to a
//! terminal escapes them. The framer reads no clock and no pipe.

use std::sync::Arc;

/// Longest line in bytes, before replacement; a longer one is split.
pub const LINE_BYTES: usize = 64 * 1024;

/// A line, or a part of one that is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The text without its line end.
    pub text: Arc<str>,
    /// Whether it goes on with the piece before it.
    pub continued: bool,
}

/// Cuts one stream into lines. Holds at most [`LINE_BYTES`] of an unfinished line.
#[derive(Debug, Default)]
pub struct Framer {
    partial: Vec<u8>,
    continued: bool,
}

impl Framer {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and gives every piece that they complete.
    pub fn push(&mut self, mut bytes: &[u8], mut give: impl FnMut(Piece)) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.extend(&bytes[..end], &mut give);
            self.end_line(&mut give);
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes, &mut give);
    }

    /// At the end of the stream: gives the last line where it has no line end.
    pub fn finish(mut self, mut give: impl FnMut(Piece)) {
        if !self.partial.is_empty() {
            self.end_line(&mut give);
        }
    }

    /// Adds to the unfinished line, and splits off what is too long.
    fn extend(&mut self, mut bytes: &[u8], give: &mut impl FnMut(Piece)) {
        while self.is_too_long_with(bytes) {
            let room = LINE_BYTES.saturating_sub(self.partial.len()).min(bytes.len());
            self.partial.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
            let rest = self.partial.split_off(whole_chars(&self.partial[..LINE_BYTES]));
            give(self.piece());
            self.partial = rest;
            self.continued = true;
        }
        self.partial.extend_from_slice(bytes);
    }

    /// One byte too many may still be the `\r` of a line end.
    fn is_too_long_with(&self, bytes: &[u8]) -> bool {
        let last = bytes.last().or(self.partial.last());
        match self.partial.len() + bytes.len() {
            0..=LINE_BYTES => false,
            len => len > LINE_BYTES + 1 || last != Some(&b'\r'),
        }
    }

    fn end_line(&mut self, give: &mut impl FnMut(Piece)) {
        if self.partial.last() == Some(&b'\r') {
            self.partial.pop();
        }
        give(self.piece());
        self.continued = false;
    }

    /// The unfinished line as a piece. Its buffer is given back to the allocator, because
    /// most tenants are silent most of the time.
    fn piece(&mut self) -> Piece {
        let bytes = std::mem::take(&mut self.partial);
        Piece { text: String::from_utf8_lossy(&bytes).into(), continued: self.continued }
    }
}

/// How many of these bytes to take so that no character is cut in two. All of them where the
/// end is not UTF-8 anyway.
fn whole_chars(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    for start in (tail..bytes.len()).rev() {
        let missing = match bytes[start] {
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_0111 => 4,
            0b1000_0000..=0b1011_1111 => continue,
            _ => return bytes.len(),
        };
        return if start + missing > bytes.len() { start } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests;
