//! What a launch needs on the disk, made beforehand: so that nobody who waits for it waits for the
//! disk, and what has run before can run again while that is full.
//!
//! ```text
//! a tree ends ──► its record, new ones, folders, pipes ──► spare      (while there are few)
//! a launch ──► spare ── rename(2), which takes no room ──► where it belongs
//! ```
//!
//! Only records are used again, which no tree has ever seen. A folder or a pipe may still be held
//! open by somebody whom an earlier tree passed it to, and so is always a new one.

use std::{
    cell::{Cell, RefCell},
    fs::{self, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use ten_kernel::{Fifo, make_fifo, open_fifo};

use crate::record::make_private_folder;

/// For so many launches at one time. They take 256 inodes, and 8 KiB each where a filesystem
/// needs a block for an empty folder.
const LAUNCHES: usize = 64;
/// Bytes in a record, which is filled up with blanks: one block, or page, that is written over.
pub(crate) const RECORD: usize = 4096;

/// What there is in advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Record,
    Folder,
    Pipe,
}

impl Kind {
    fn most(self) -> usize {
        match self {
            Self::Record | Self::Folder => LAUNCHES,
            Self::Pipe => 2 * LAUNCHES,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Spares {
    folder: PathBuf,
    there: RefCell<Vec<(Kind, PathBuf)>>,
    made: Cell<u64>,
}

impl Spares {
    /// Begins anew, without any: what an earlier warden had may be half made.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        let spares = Self { folder, there: RefCell::default(), made: Cell::new(0) };
        spares.remove()?;
        make_private_folder(&spares.folder)?;
        Ok(spares)
    }

    /// Removes them all.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.there.borrow_mut().clear();
        match fs::remove_dir_all(&self.folder) {
            Err(why) if why.kind() != ErrorKind::NotFound => Err(why),
            _ => Ok(()),
        }
    }

    /// Puts a folder to where it is needed; false where there is none, or it has gone.
    pub(crate) fn take_folder(&self, to: &Path) -> io::Result<bool> {
        let Some(spare) = self.pop(Kind::Folder) else { return Ok(false) };
        unless_gone(fs::rename(spare, to))
    }

    /// A pipe, both ends, and what it is called; `None` where there is none, or it has gone.
    pub(crate) fn open_pipe(&self) -> io::Result<Option<(PathBuf, Fifo)>> {
        let Some(spare) = self.pop(Kind::Pipe) else { return Ok(None) };
        match open_fifo(&spare) {
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
            opened => opened.map(|ends| Some((spare, ends))),
        }
    }

    /// Puts a record with this content to where it is needed; false where there is none, or none
    /// that is large enough.
    pub(crate) fn take_record(&self, content: &[u8], to: &Path) -> io::Result<bool> {
        if content.len() > RECORD {
            return Ok(false);
        }
        let Some(spare) = self.pop(Kind::Record) else { return Ok(false) };
        // Whole before it has a name that anybody reads.
        let opened = OpenOptions::new().write(true).open(&spare);
        let written = opened.and_then(|file| file.write_all_at(content, 0));
        unless_gone(made_whole(&spare, written.and_then(|()| fs::rename(&spare, to))))
    }

    /// Keeps a record that is not needed any more; false where there are enough, or it is longer
    /// than one that is written over.
    pub(crate) fn keep_record(&self, record: &Path) -> io::Result<bool> {
        if fs::metadata(record)?.len() != RECORD as u64 {
            return Ok(false);
        }
        self.add(Kind::Record, |spare| fs::rename(record, spare))
    }

    /// Makes what two launches need, while there is little of it, but for one of their records, which
    /// the tree that has ended leaves by itself. It may have taken what one needs, so there is enough
    /// for each that has run.
    pub(crate) fn refill(&self) -> io::Result<()> {
        self.add(Kind::Record, |spare| fs::write(spare, [b' '; RECORD]))?;
        for _ in 0..2 {
            self.add(Kind::Folder, make_private_folder)?;
            self.add(Kind::Pipe, |spare| make_fifo(spare).map(drop))?;
            self.add(Kind::Pipe, |spare| make_fifo(spare).map(drop))?;
        }
        Ok(())
    }

    fn add(&self, kind: Kind, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<bool> {
        let mut there = self.there.borrow_mut();
        if there.iter().filter(|(of, _)| *of == kind).count() >= kind.most() {
            return Ok(false);
        }
        let number = self.made.replace(self.made.get() + 1);
        let spare = self.folder.join(number.to_string());
        made_whole(&spare, make(&spare))?;
        there.push((kind, spare));
        Ok(true)
    }

    fn pop(&self, kind: Kind) -> Option<PathBuf> {
        let mut there = self.there.borrow_mut();
        let at = there.iter().rposition(|(of, _)| *of == kind)?;
        Some(there.swap_remove(at).1)
    }
}

/// What could not be made whole is removed: nobody would know of it.
fn made_whole(spare: &Path, made: io::Result<()>) -> io::Result<()> {
    if made.is_err() {
        // It need not be there. What counts is why it could not be made.
        let _ = fs::remove_file(spare);
    }
    made
}

/// False where somebody has removed it: there is another way than with what was in advance.
fn unless_gone(taken: io::Result<()>) -> io::Result<bool> {
    match taken {
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(false),
        taken => taken.map(|()| true),
    }
}

/// Whether there is no room on the disk, or none that this user may have.
pub(crate) fn is_full(why: &io::Error) -> bool {
    matches!(why.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt;

    use super::*;

    fn spares() -> (tempfile::TempDir, Spares) {
        let folder = tempfile::tempdir().unwrap();
        let spares = Spares::open(folder.path().join("spare")).unwrap();
        (folder, spares)
    }

    #[test]
    fn there_is_what_was_kept_and_no_more() {
        let (folder, spares) = spares();
        let at = |name: &str| folder.path().join(name);
        assert!(!spares.take_folder(&at("none")).unwrap());
        for number in 0..LAUNCHES + 9 {
            fs::write(at("record"), [b' '; RECORD]).unwrap();
            // One comes with every refill.
            assert_eq!(spares.keep_record(&at("record")).unwrap(), number < LAUNCHES / 2);
            spares.refill().unwrap();
        }
        assert_eq!(fs::read_dir(at("spare")).unwrap().count(), 4 * LAUNCHES);
        assert!(spares.take_folder(&at("folder")).unwrap() && at("folder").is_dir());
        let (pipe, _ends) = spares.open_pipe().unwrap().unwrap();
        assert!(fs::metadata(pipe).unwrap().file_type().is_fifo());
        assert!(spares.take_record(b"{}", &at("record")).unwrap());
        assert_eq!(fs::read_to_string(at("record")).unwrap().trim_end(), "{}");
        assert!(!spares.take_record(&[b'x'; RECORD + 1], &at("record")).unwrap());
        // What somebody has removed is not there, and fails nothing.
        fs::remove_dir_all(at("spare")).unwrap();
        assert!(spares.open_pipe().unwrap().is_none());
        assert!(!spares.take_record(b"{}", &at("record")).unwrap());
        // A new warden begins without.
        let again = Spares::open(at("spare")).unwrap();
        assert_eq!(fs::read_dir(at("spare")).unwrap().count(), 0);
        again.remove().unwrap();
        assert!(!at("spare").exists());
    }
}
