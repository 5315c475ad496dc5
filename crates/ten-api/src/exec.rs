//! Commands inside instances: how one is asked for, and what travels once the connection has
//! been upgraded.
//!
//! ```text
//! client ── POST, ExecRequest, Upgrade: ten-exec ──► server
//!        ◄── 101, when it was executed (or a problem) ──
//!        ── Stdin … Stdin (empty: its end), Resize ──►
//!        ◄── Stdout, Stderr … End (ExecEnd) ──
//! ```
//!
//! A frame is its kind (one byte), the length of its content (u32, big-endian) and its content.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the connection is upgraded to.
pub const EXEC_PROTOCOL: &str = "ten-exec";

/// Most bytes of a frame's content.
pub const FRAME_MAX: usize = 64 * 1024;
/// Bytes before it.
const HEAD: usize = 5;

/// Asks for a command to be run inside an instance. One that sleeps is spawned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// The program, and its arguments.
    pub argv: Vec<String>,
    /// The terminal that it gets; none: pipes, which keep stdout and stderr apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<ExecTerminal>,
}

/// The terminal of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecTerminal {
    /// Its size.
    #[serde(flatten)]
    pub size: TerminalSize,
    /// What it understands (`TERM`); empty: nobody knows.
    #[serde(default)]
    pub kind: String,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// How a command ended: the content of the last frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecEnd {
    /// With what.
    pub exit: ExecExit,
    /// What it may have stumbled over, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// With what a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecExit {
    /// It returned this status, 0 to 255.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
    /// Its instance ended, and it with it.
    Instance,
}

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Bytes for its stdin; none: that ends.
    Stdin,
    /// Bytes of its stdout, or of its terminal.
    Stdout,
    /// Bytes of its stderr.
    Stderr,
    /// The new size of its terminal.
    Resize,
    /// An [`ExecEnd`] as JSON. The last frame.
    End,
}

impl FrameKind {
    const ALL: [Self; 5] = [Self::Stdin, Self::Stdout, Self::Stderr, Self::Resize, Self::End];
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub kind: FrameKind,
    /// That.
    pub content: Vec<u8>,
}

/// What came is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadFrame;

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what came is no frame of {EXEC_PROTOCOL}")
    }
}

impl std::error::Error for BadFrame {}

impl Frame {
    /// A frame as it travels. The content must have at most [`FRAME_MAX`] bytes.
    pub fn encode(kind: FrameKind, content: &[u8]) -> Vec<u8> {
        debug_assert!(content.len() <= FRAME_MAX, "a frame of {} bytes", content.len());
        let mut bytes = Vec::with_capacity(HEAD + content.len());
        bytes.push(kind as u8);
        bytes.extend_from_slice(&(content.len() as u32).to_be_bytes());
        bytes.extend_from_slice(content);
        bytes
    }

    /// A `Resize`.
    pub fn resize(size: TerminalSize) -> Vec<u8> {
        let [[r0, r1], [c0, c1]] = [size.rows, size.columns].map(u16::to_be_bytes);
        Self::encode(FrameKind::Resize, &[r0, r1, c0, c1])
    }

    /// The size in a `Resize`.
    pub fn size(&self) -> Result<TerminalSize, BadFrame> {
        let &[r0, r1, c0, c1] = self.content.as_slice() else { return Err(BadFrame) };
        let [rows, columns] = [[r0, r1], [c0, c1]].map(u16::from_be_bytes);
        Ok(TerminalSize { rows, columns })
    }
}

/// Frames out of bytes, however those are cut.
#[derive(Debug, Default)]
pub struct Frames(Vec<u8>);

impl Frames {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    pub fn take(&mut self) -> Result<Option<Frame>, BadFrame> {
        let Some((&[kind, ref len @ ..], rest)) = self.0.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let kind = *FrameKind::ALL.get(usize::from(kind)).ok_or(BadFrame)?;
        let len = u32::from_be_bytes(*len) as usize;
        if len > FRAME_MAX {
            return Err(BadFrame);
        }
        let Some(content) = rest.get(..len) else { return Ok(None) };
        let content = content.to_vec();
        self.0.drain(..HEAD + len);
        Ok(Some(Frame { kind, content }))
    }
}
