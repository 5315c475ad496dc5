//! Length and checksum of bytes that two sides can compare without sending them back.

use std::fmt;

/// FNV-1a, 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>), and the length. Written
/// `length checksum`, as the tenant's `/body` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    length: u64,
    hash: u64,
}

impl Default for Checksum {
    fn default() -> Self {
        Self { length: 0, hash: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Checksum {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut sum = Self::default();
        sum.add(bytes);
        sum
    }

    /// Goes on with these bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:016x}", self.length, self.hash)
    }
}
