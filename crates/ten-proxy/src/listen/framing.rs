//! Where one request of a connection ends and the next begins, decided before hyper sees a byte.
//!
//! ```text
//!         ┌──────────────── no body ───────────────┐
//!         ▼                                        │
//!       Head ──▶ Length(n) ──n bytes──▶ Head       │
//!         ├────▶ Chunks ──last chunk──▶ Head       │
//!         ├────▶ Undecided (Upgrade) ──answered────┘
//!         │             └──────101────▶ Tunnel
//!         └─broken rule─▶ Refused
//! ```
//!
//! hyper merges and tolerates: two equal lengths become one, a length beside chunks is dropped,
//! a bare LF ends a line. Whoever stands in front of us may read the same bytes differently, and
//! after hyper has parsed a request nobody can tell how it was spelt. So this reads along, and
//! refuses what RFC 9112 gives no single meaning. It changes no byte and holds none: it says how
//! many of the bytes before it may be passed on, and its owner keeps the rest.
//!
//! A head is passed only when the whole of it is sound, a body piece by piece. What comes after
//! a request to switch protocols may be the other protocol, so it waits for the answer.

mod chunks;
mod head;
#[cfg(test)]
mod tests;

use self::{
    chunks::Chunks,
    head::{Follows, Head},
};
use crate::check::BadRequest;

/// What a head may be at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// In bytes, with its empty line.
    pub(super) bytes: usize,
    /// Header lines.
    pub(super) headers: usize,
}

/// Reads along with one connection.
#[derive(Debug)]
pub(super) struct Framing {
    limits: Limits,
    state: State,
    /// Heads passed so far.
    heads: u64,
}

#[derive(Debug)]
enum State {
    Head(Head),
    Length(u64),
    Chunks(Chunks),
    Undecided,
    Tunnel,
    Refused,
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

/// What may happen to the bytes that were shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// So many may be passed on. The others are to be kept and shown again, with what follows.
    pub(super) passed: usize,
    /// What follows those breaks a rule. Nothing passes any more.
    pub(super) fault: Option<Violation>,
}

/// Which part of a request is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    /// Its head, none of which was passed.
    Head(BadRequest),
    /// Its body, of which the sound part was passed.
    Body,
}

impl Framing {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, state: State::default(), heads: 0 }
    }

    /// Reads on. `bytes` begin with the first byte that was not passed yet.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut passed = 0;
        while passed < bytes.len() {
            match self.step(&bytes[passed..]) {
                Ok(0) => break,
                Ok(more) => passed += more,
                Err((more, fault)) => {
                    self.state = State::Refused;
                    return Scan { passed: passed + more, fault: Some(fault) };
                }
            }
        }
        Scan { passed, fault: None }
    }

    /// How many bytes pass next, not all of those that may; or how many pass before a fault.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, (usize, Violation)> {
        match &mut self.state {
            State::Head(head) => {
                let head = head.scan(bytes, self.limits);
                let head = head.map_err(|fault| (0, Violation::Head(fault)))?;
                let Some((length, follows)) = head else { return Ok(0) };
                self.heads += 1;
                self.state = match follows {
                    Follows::Nothing => State::default(),
                    Follows::Length(length) => State::Length(length),
                    Follows::Chunks => State::Chunks(Chunks::default()),
                    Follows::Switch => State::Undecided,
                };
                Ok(length)
            }
            State::Length(left) => {
                let passed = usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len()));
                *left -= passed as u64;
                if *left == 0 {
                    self.state = State::default();
                }
                Ok(passed)
            }
            State::Chunks(chunks) => {
                let passed = chunks.scan(bytes).map_err(|passed| (passed, Violation::Body))?;
                if chunks.ended() {
                    self.state = State::default();
                }
                Ok(passed)
            }
            State::Undecided | State::Refused => Ok(0),
            State::Tunnel => Ok(bytes.len()),
        }
    }

    /// Heads passed so far: the number of the request that is under way.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// A body is under way, so bytes are due.
    pub(super) fn in_body(&self) -> bool {
        matches!(self.state, State::Length(_) | State::Chunks(_))
    }

    /// Nothing passes before [`Self::decide`].
    pub(super) fn undecided(&self) -> bool {
        matches!(self.state, State::Undecided)
    }

    /// Nothing passes ever again.
    pub(super) fn refused(&self) -> bool {
        matches!(self.state, State::Refused)
    }

    /// Says how things stand after `answered` answers: does the connection carry a tunnel?
    pub(super) fn decide(&mut self, answered: u64, tunnel: bool) {
        if tunnel {
            self.state = State::Tunnel;
        } else if answered >= self.heads {
            self.state = State::default();
        }
    }
}
