//! Where the frames of a WebSocket end (RFC 6455, section 5.2), without holding any of them.
//!
//! ```text
//!   Header ──▶ Payload(n) ──n bytes──▶ Header
//!     │             └─of a Close────▶ Closed
//!     └─impossible length─▶ Unknown
//! ```
//!
//! What a frame says is not looked at, nor whether it may: extensions change neither the
//! lengths nor where they stand (section 9), and the peers refuse what is wrong between them.

#[cfg(test)]
mod tests;

/// Longest header before its masking key, in bytes.
const MAX_HEADER: usize = 10;
const MASKING_KEY: u64 = 4;
const OPCODE_CLOSE: u8 = 8;

/// Reads along with one direction.
#[derive(Debug)]
pub(super) struct Frames(State);

#[derive(Debug)]
enum State {
    /// So many bytes of a header have come, none or some.
    Header { bytes: [u8; MAX_HEADER], have: usize },
    /// So many bytes of a frame are to come, its masking key among them.
    Payload { left: u64, closes: bool },
    /// After a Close, nothing of meaning comes.
    Closed,
    /// Not a WebSocket.
    Unknown,
}

impl Default for Frames {
    fn default() -> Self {
        Self(State::NEXT)
    }
}

impl State {
    const NEXT: Self = Self::Header { bytes: [0; MAX_HEADER], have: 0 };
}

impl Frames {
    /// Of a protocol without any.
    pub(super) fn unknown() -> Self {
        Self(State::Unknown)
    }

    /// Whether a frame of somebody else's would not be in the middle of another here.
    pub(super) fn between(&self) -> bool {
        matches!(self.0, State::Header { have: 0, .. } | State::Closed)
    }

    /// Whether a Close has passed.
    pub(super) fn closed(&self) -> bool {
        matches!(self.0, State::Closed)
    }

    /// Reads on, to the end of a frame at the farthest. Says how far: at least one byte, where
    /// there is one.
    pub(super) fn step(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let State::Header { bytes: header, have } = &mut self.0 {
            let Some(byte) = bytes.get(taken) else { return taken };
            header[*have] = *byte;
            *have += 1;
            taken += 1;
            if *have == header_length(header, *have) {
                self.0 = after(header);
            }
        }
        let State::Payload { left, closes } = &mut self.0 else { return bytes.len() };
        let rest = bytes.len() - taken;
        let some = usize::try_from(*left).map_or(rest, |left| left.min(rest));
        *left -= some as u64;
        if *left == 0 {
            self.0 = if *closes { State::Closed } else { State::NEXT };
        }
        taken + some
    }
}

/// How long a header is that begins with these bytes: so far as they tell.
fn header_length(header: &[u8; MAX_HEADER], have: usize) -> usize {
    match header[1] & 0x7F {
        _ if have < 2 => 2,
        126 => 4,
        127 => 10,
        _ => 2,
    }
}

/// What follows a header.
fn after(header: &[u8; MAX_HEADER]) -> State {
    let [first, second, long @ ..] = *header;
    let length = match second & 0x7F {
        126 => u64::from(u16::from_be_bytes([long[0], long[1]])),
        127 => u64::from_be_bytes(long),
        short => u64::from(short),
    };
    // "The most significant bit MUST be 0."
    if length > i64::MAX as u64 {
        return State::Unknown;
    }
    let key = if second & 0x80 == 0 { 0 } else { MASKING_KEY };
    State::Payload { left: key + length, closes: first & 0x0F == OPCODE_CLOSE }
}
