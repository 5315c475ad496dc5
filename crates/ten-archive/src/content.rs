//! What a file holds, without its holes, in the form of old GNU sparse files (GNU tar manual,
//! "Old GNU Format"): a list of pieces, then the pieces.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};
use tar::{EntryType, GnuExtSparseHeader, Header};

/// What a disk gives as a whole or not at all, in bytes.
const BLOCK: u64 = 4096;

/// A part of a file that is no hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    offset: u64,
    length: u64,
}

/// The contents of a file as long as it was when it was looked at. Where it has become shorter
/// meanwhile, or cannot be read, there are zeros: the size of what follows is said already, and one bad
/// block of a disk must not cost all the rest.
#[derive(Debug)]
pub(crate) struct Content {
    file: File,
    size: u64,
    pieces: Vec<Piece>,
    /// Headers that come before the pieces, as far as they are not read yet.
    before: io::Cursor<Vec<u8>>,
    /// The piece that is being read, and how much of it was.
    at: (usize, u64),
    /// Why some of it could not be read.
    broken: Option<io::Error>,
}

impl Content {
    /// Looks where a file has holes.
    pub(crate) fn of(file: File, size: u64) -> Result<Self, Errno> {
        let pieces = pieces(&file, size)?;
        let before = io::Cursor::default();
        Ok(Self { file, size, pieces, before, at: (0, 0), broken: None })
    }

    /// Why there are zeros in it in place of what could not be read, if there are.
    pub(crate) fn broken(self) -> Option<io::Error> {
        self.broken
    }

    /// Describes it in the header of its entry.
    pub(crate) fn describe(&mut self, header: &mut Header) {
        let whole = [Piece { offset: 0, length: self.size }];
        if self.size == 0 || self.pieces == whole {
            self.pieces = whole.to_vec();
            header.set_entry_type(EntryType::Regular);
            return header.set_size(self.size);
        }
        header.set_entry_type(EntryType::GNUSparse);
        header.set_size(self.pieces.iter().map(|piece| piece.length).sum());
        // The end is told by an empty piece: a file may end with a hole.
        self.pieces.push(Piece { offset: self.size, length: 0 });
        let Some(gnu) = header.as_gnu_mut() else { return };
        gnu.set_real_size(self.size);
        let mut pieces = self.pieces.iter();
        for (slot, piece) in gnu.sparse.iter_mut().zip(pieces.by_ref()) {
            slot.set_offset(piece.offset);
            slot.set_length(piece.length);
        }
        gnu.set_is_extended(self.pieces.len() > gnu.sparse.len());
        let rest: Vec<_> = self.pieces.iter().skip(gnu.sparse.len()).collect();
        let mut before = Vec::new();
        let mut blocks = rest.chunks(GnuExtSparseHeader::new().sparse.len()).peekable();
        while let Some(block) = blocks.next() {
            let mut more = GnuExtSparseHeader::new();
            for (slot, piece) in more.sparse.iter_mut().zip(block) {
                slot.set_offset(piece.offset);
                slot.set_length(piece.length);
            }
            more.set_is_extended(blocks.peek().is_some());
            before.extend_from_slice(more.as_bytes());
        }
        self.before = io::Cursor::new(before);
    }
}

impl Read for Content {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.before.read(into)?;
        if read > 0 || into.is_empty() {
            return Ok(read);
        }
        while let Some(piece) = self.pieces.get(self.at.0) {
            let left = piece.length - self.at.1;
            if left == 0 {
                self.at = (self.at.0 + 1, 0);
                continue;
            }
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
            let into = &mut into[..wanted];
            let at = piece.offset + self.at.1;
            let read = match self.file.read_at(into, at) {
                Ok(0) => {
                    into.fill(0);
                    wanted
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(error) => {
                    // What is behind the block may be whole.
                    let bad = wanted.min((BLOCK - at % BLOCK) as usize);
                    into[..bad].fill(0);
                    self.broken.get_or_insert(error);
                    bad
                }
            };
            self.at.1 += read as u64;
            return Ok(read);
        }
        Ok(0)
    }
}

/// The parts of the first `size` bytes that are no holes (lseek(2), SEEK_DATA). Where the
/// filesystem cannot tell, there are none but one.
fn pieces(file: &File, size: u64) -> Result<Vec<Piece>, Errno> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < size {
        let from = match seek(file, SeekFrom::Data(at)) {
            Ok(from) if from < size => from,
            // Only a hole is left.
            Ok(_) | Err(Errno::NXIO) => break,
            Err(Errno::INVAL) => at,
            Err(errno) => return Err(errno),
        };
        let to = match seek(file, SeekFrom::Hole(from)) {
            Ok(to) => to.min(size),
            // It has become shorter meanwhile, or cannot tell.
            Err(Errno::NXIO | Errno::INVAL) => size,
            Err(errno) => return Err(errno),
        };
        // A file that is changed meanwhile may say anything; each round must come further.
        let to = to.max(from + 1);
        pieces.push(Piece { offset: from, length: to - from });
        at = to;
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_zeros_and_told() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, &[b'x'; 10_000]).unwrap();
        let closed = File::options().write(true).open(file.path()).unwrap();
        let mut read = Vec::new();
        let mut content = Content::of(closed, 10_000).unwrap();
        content.describe(&mut Header::new_gnu());
        content.read_to_end(&mut read).unwrap();
        assert_eq!(read, [0; 10_000]);
        assert_eq!(Errno::from_io_error(&content.broken().unwrap()), Some(Errno::BADF));
    }
}
