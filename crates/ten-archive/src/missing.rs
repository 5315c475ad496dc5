//! What an archive lacks, told at its own end, so that whoever has the file knows.
//!
//! ```text
//! zstd frame (the tar) │ skippable frame: a line for each thing, their length, MARK
//! ```
//!
//! Decoders pass over a skippable frame (RFC 8878, section 3.1.2). It is there also when nothing
//! is missing: a file without it did not arrive whole.

use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom, Write},
};

/// The last bytes of every archive.
const MARK: &[u8; 8] = b"ten-left";
/// How a skippable frame begins.
const SKIPPABLE: u32 = 0x184d_2a50;
/// Length of the lines (u32, little-endian), and the mark.
const FOOT: usize = 4 + MARK.len();
/// Most bytes of the lines that are believed.
const LINES: u32 = 16 * 1024 * 1024;

/// Something that is not in an archive, or not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its path in the archive. Control characters in it are escaped.
    pub path: String,
    /// Why.
    pub why: String,
    /// Whether data are lost by it. FIFOs, sockets and devices hold none.
    pub is_loss: bool,
}

impl Missing {
    pub(crate) fn new(path: impl fmt::Display, why: impl fmt::Display, is_loss: bool) -> Self {
        Self { path: plain(path), why: plain(why), is_loss }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

/// On one line.
fn plain(text: impl fmt::Display) -> String {
    let mut plain = String::new();
    for char in text.to_string().chars() {
        match char.is_control() {
            true => plain.extend(char.escape_default()),
            false => plain.push(char),
        }
    }
    plain
}

/// Writes it at the end of an archive.
pub(crate) fn write(missing: &[Missing], mut out: impl Write) -> io::Result<()> {
    let line = |Missing { path, why, is_loss }: &Missing| {
        format!("{}\t{path}\t{why}\n", if *is_loss { '!' } else { '-' })
    };
    let mut content = missing.iter().map(line).collect::<String>().into_bytes();
    let length = content.len() as u32;
    content.extend_from_slice(&length.to_le_bytes());
    content.extend_from_slice(MARK);
    out.write_all(&SKIPPABLE.to_le_bytes())?;
    out.write_all(&(content.len() as u32).to_le_bytes())?;
    out.write_all(&content)?;
    out.flush()
}

/// Reads from an archive what it lacks; `None` where the archive does not end as one does.
pub fn missing(mut archive: impl Read + Seek) -> io::Result<Option<Vec<Missing>>> {
    if archive.seek(SeekFrom::End(0))? < FOOT as u64 {
        return Ok(None);
    }
    archive.seek(SeekFrom::End(-(FOOT as i64)))?;
    let mut foot = [0; FOOT];
    archive.read_exact(&mut foot)?;
    let [a, b, c, d, mark @ ..] = foot;
    let length = u32::from_le_bytes([a, b, c, d]);
    if mark != *MARK || length > LINES {
        return Ok(None);
    }
    let from = -(FOOT as i64) - i64::from(length);
    let mut lines = String::new();
    let there = archive.seek(SeekFrom::End(from)).is_ok();
    let read = archive.by_ref().take(length.into()).read_to_string(&mut lines);
    Ok(match read {
        Ok(_) if there => lines.lines().map(parse).collect(),
        Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(error),
        _ => None,
    })
}

fn parse(line: &str) -> Option<Missing> {
    let mut parts = line.splitn(3, '\t');
    let (kind, path, why) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Missing { path: path.into(), why: why.into(), is_loss: kind == "!" })
}
