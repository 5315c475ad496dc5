//! Memory for what was read and not yet used, borrowed from the thread that needs it.
//!
//! A connection has memory only while bytes of it are on their way: thousands that are silent
//! share the few buffers of their worker. A buffer starts small and grows with what passes.

use std::{cell::RefCell, ops::Deref};

/// Bytes of a buffer at first. The head of a browser's request fits.
const SMALL: usize = 4 << 10;
/// Largest buffer, in bytes. At this size a large body costs as little per byte as it can.
pub(crate) const MAX_BUFFER: usize = 64 << 10;
/// Most buffers that a thread keeps while nobody has them: small ones, and grown ones.
const KEPT: (usize, usize) = (64, 4);
/// Largest of the small ones, in bytes.
const LARGEST_SMALL: usize = 8 << 10;
/// Room with which a buffer is read into, at least: less would make many reads of one.
const ROOM: usize = 1 << 10;

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare { small: Vec::new(), grown: Vec::new() }) };
}

struct Spare {
    small: Vec<Vec<u8>>,
    grown: Vec<Vec<u8>>,
}

/// Empty memory.
pub(crate) fn take() -> Vec<u8> {
    take_for(SMALL)
}

/// Empty memory for so many bytes.
fn take_for(wanted: usize) -> Vec<u8> {
    let spare = SPARE.with_borrow_mut(|spare| match wanted > LARGEST_SMALL {
        true => spare.grown.pop(),
        false => spare.small.pop(),
    });
    spare.unwrap_or_else(|| Vec::with_capacity(wanted))
}

/// Gives memory back that is not needed any more.
pub(crate) fn give(mut memory: Vec<u8>) {
    memory.clear();
    let capacity = memory.capacity();
    SPARE.with_borrow_mut(|spare| {
        let (kept, most) = match capacity {
            SMALL..=LARGEST_SMALL => (&mut spare.small, KEPT.0),
            MAX_BUFFER => (&mut spare.grown, KEPT.1),
            _ => return,
        };
        if kept.len() < most {
            kept.push(memory);
        }
    });
}

/// Bytes that were read. It is used from its beginning.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    /// Before this, all is used.
    used: usize,
    /// How much memory the next read is worth.
    wanted: usize,
}

impl Buffer {
    /// A buffer that holds these bytes.
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        let mut buffer = Self::default();
        buffer.add(bytes);
        buffer
    }

    /// A buffer with this memory, none of which is used.
    pub(crate) fn of(memory: Vec<u8>) -> Self {
        Self { memory, used: 0, wanted: 0 }
    }

    /// Adds bytes, as if they had been read.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            if self.memory.capacity() == 0 {
                self.memory = take();
            }
            self.memory.extend_from_slice(bytes);
        }
    }

    /// Makes room for a read; how much.
    pub(crate) fn make_room(&mut self) -> usize {
        if self.is_empty() {
            // What filled all of it is likely to fill more.
            let full = !self.memory.is_empty() && self.memory.len() == self.memory.capacity();
            self.wanted = match full {
                true if self.wanted > LARGEST_SMALL / 2 => MAX_BUFFER,
                true => LARGEST_SMALL,
                false => self.wanted.max(SMALL),
            };
            if self.memory.capacity() < self.wanted {
                give(std::mem::replace(&mut self.memory, take_for(self.wanted)));
            }
            self.memory.clear();
            self.used = 0;
        } else if self.memory.capacity() - self.memory.len() < ROOM {
            self.memory.drain(..self.used);
            self.used = 0;
            self.memory.reserve(ROOM);
        }
        self.memory.capacity() - self.memory.len()
    }

    /// Where what is read is added.
    pub(crate) fn spare(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }

    /// The first bytes are used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.used += count;
        debug_assert!(self.used <= self.memory.len());
    }

    /// Needs no memory for a while, if nothing is in it.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            self.used = 0;
            give(std::mem::take(&mut self.memory));
        }
    }

    /// The first `count` bytes, in memory of their own; and where they begin in it. What is
    /// shorter is copied, they or what follows them.
    pub(crate) fn split_off(&mut self, count: usize) -> (Vec<u8>, usize) {
        if self.len() - count > count {
            let mut memory = take();
            memory.extend_from_slice(&self[..count]);
            self.consume(count);
            return (memory, 0);
        }
        let (rest, start) = (Self::holding(&self[count..]), self.used);
        let mut memory = std::mem::take(&mut std::mem::replace(self, rest).memory);
        memory.truncate(start + count);
        (memory, start)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.used..]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_head_stays() {
        for next in ["", "next", "next is longer than the head"] {
            let mut buffer = Buffer::holding(b"old head ");
            buffer.consume(4);
            buffer.add(next.as_bytes());
            let (memory, start) = buffer.split_off(5);
            assert_eq!(&memory[start..], b"head ");
            assert_eq!(&*buffer, next.as_bytes());
        }
    }

    #[test]
    fn room_grows_with_what_passes_and_has_an_end() {
        let mut buffer = Buffer::default();
        let mut rooms = Vec::new();
        for _ in 0..10 {
            let room = buffer.make_room();
            buffer.spare().extend(std::iter::repeat_n(b'x', room));
            rooms.push(room);
            buffer.consume(room);
        }
        assert!(rooms.is_sorted() && rooms[9] >= MAX_BUFFER && rooms[9] <= 2 * MAX_BUFFER);
    }

    #[test]
    fn who_waits_needs_no_memory() {
        let mut buffer = Buffer::holding(b"x");
        buffer.rest();
        assert_eq!(&*buffer, b"x");
        buffer.consume(1);
        buffer.rest();
        assert_eq!(buffer.memory.capacity(), 0);
    }
}
