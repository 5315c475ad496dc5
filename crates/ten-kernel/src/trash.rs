//! A trash folder: folders are moved into it whole, and back, and removed for good one day.
//!
//! ```text
//! prepare ──► .new-NAME ──fill──► NAME ──put_back──► where they were
//!             (a note)           (+ 0, 1, …)
//!                                 └──purge──► .gone-NAME ──► nothing
//! ```
//!
//! An entry is a folder with a note and, numbered, the folders that were moved; the place of an
//! image is called `image-N` there. Moving is one
//! rename(2) for each, within one filesystem, so each folder is in one place or in the other
//! whatever happens. What an entry means, and how long it stays, is for whoever writes the note.
//!
//! Nothing here follows a symbolic link, reads a file that was moved, or opens a FIFO.

mod removal;

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{
        AtFlags, Dir, Mode, OFlags, RenameFlags, fsync, mkdirat, open, openat, renameat_with,
        syncfs, unlinkat,
    },
    io::Errno,
};

pub(crate) use removal::empty;
pub use removal::empty_in_child;
use serde::{Deserialize, Serialize};

use crate::beneath::{self, Place};

/// Where the images of instances are, in the data folder. No instance and no service is called so.
pub const IMAGES: &str = ".images";
/// Begins the name of such a one in an entry.
const IMAGE: &str = "image-";
/// The trash in a data folder. No instance and no service is called so.
const FOLDER: &str = ".trash";
/// Begins the name of an entry that is not whole yet.
const NEW: &str = ".new-";
/// Begins the name of an entry that is filled from outside: half of it must not look like all.
const IMPORT: &str = ".import-";
/// Begins the name of an entry that is being removed.
const GONE: &str = ".gone-";
/// The note in an entry.
const NOTE: &str = "note";
/// Longest note that is read, in bytes. A note of one instance has a few hundred.
const NOTE_MAX: u64 = 64 * 1024;

/// The trash of one data folder.
#[derive(Debug)]
pub struct Trash {
    data_dir: OwnedFd,
    folder: OwnedFd,
    path: PathBuf,
    /// Held while an entry leaves: what is being put back is not purged by half.
    leaving: Mutex<()>,
}

/// An entry that nothing was moved into yet. Dropped, it leaves an empty entry behind that the
/// next [`Trash::open`] removes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct NewEntry {
    name: String,
    /// What it is called as long as it is not whole.
    draft: String,
}

/// A new entry as somebody else says that it is.
#[derive(Deserialize)]
struct Written {
    name: String,
    draft: String,
}

impl TryFrom<Written> for NewEntry {
    type Error = &'static str;

    fn try_from(Written { name, draft }: Written) -> Result<Self, Self::Error> {
        let ours = [NEW, IMPORT].iter().any(|beginning| draft == format!("{beginning}{name}"));
        match ours && is_entry(&name) {
            true => Ok(Self { name, draft }),
            false => Err("not the name of an entry"),
        }
    }
}

/// Whether this can name an entry of the trash: one path component without a dot before it.
pub fn is_entry(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

impl NewEntry {
    /// What it will be called.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why folders were not put back. None of them was.
#[derive(Debug, thiserror::Error)]
pub enum PutBackError {
    /// There is no such entry.
    #[error("there is no such entry in the trash")]
    NoEntry,
    /// Something is in the place of a folder.
    #[error("{} is not empty", path.display())]
    Occupied {
        /// That place, below the data folder.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Errno> for PutBackError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl Trash {
    /// Opens the trash of a data folder, and makes it where it is missing. Entries that a
    /// killed process was filling are whole with what they got; those that it was filling from
    /// outside are left for [`Self::finish_purges`].
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let data = open(data_dir, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        match mkdirat(&data, FOLDER, Mode::RWXU) {
            Ok(()) => fsync(&data)?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let folder = beneath::folder(&data, FOLDER.as_ref())?;
        let trash =
            Self { data_dir: data, folder, path: data_dir.join(FOLDER), leaving: Mutex::new(()) };
        for name in trash.names(NEW)? {
            let draft = format!("{NEW}{name}");
            trash.conclude(&NewEntry { name, draft })?;
        }
        for name in trash.names(IMPORT)? {
            let draft = format!("{IMPORT}{name}");
            trash.give_up(&NewEntry { name, draft })?;
        }
        Ok(trash)
    }

    /// Makes an entry, with its note safe on the disk. `name` is one path component that does
    /// not begin with a dot.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where the name is taken.
    pub fn prepare(&self, name: String, note: &[u8]) -> io::Result<NewEntry> {
        let draft = format!("{NEW}{name}");
        self.draft(NewEntry { name, draft }, note)
    }

    /// Makes an entry for what comes from outside: in [`Self::path`], folders with numbers as
    /// names. [`Self::complete`] ends it, or [`Self::abandon`].
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where the name is taken.
    pub fn prepare_import(&self, name: String, note: &[u8]) -> io::Result<NewEntry> {
        let draft = format!("{IMPORT}{name}");
        self.draft(NewEntry { name, draft }, note)
    }

    fn draft(&self, new: NewEntry, note: &[u8]) -> io::Result<NewEntry> {
        mkdirat(&self.folder, &new.draft, Mode::RWXU)?;
        // Only now: of two at once, one sees the other.
        if self.is_taken(&new) {
            unlinkat(&self.folder, &new.draft, AtFlags::REMOVEDIR)?;
            return Err(Errno::EXIST.into());
        }
        match self.write_note(&new, note) {
            Ok(()) => Ok(new),
            Err(error) => {
                // Nothing was moved into it. What cannot be removed now, the next start removes.
                let _ = self.abandon(&new);
                Err(error)
            }
        }
    }

    fn write_note(&self, new: &NewEntry, note: &[u8]) -> io::Result<()> {
        let entry = beneath::folder(&self.folder, new.draft.as_ref())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(&entry, NOTE, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(note)?;
        file.sync_all()?;
        fsync(&entry)?;
        Ok(fsync(&self.folder)?)
    }

    /// Whether the name is another's, or will be.
    fn is_taken(&self, new: &NewEntry) -> bool {
        let others = ["", NEW, IMPORT].map(|beginning| format!("{beginning}{}", new.name));
        let found = |name: &String| {
            rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
        };
        others.iter().filter(|name| **name != new.draft).any(found)
    }

    /// Where an entry for an import is.
    pub fn path(&self, entry: &NewEntry) -> PathBuf {
        self.path.join(&entry.draft)
    }

    /// Waits until all of an import is on the disk, and makes an entry of it; false where there
    /// is nothing in it.
    pub fn complete(&self, entry: &NewEntry) -> io::Result<bool> {
        syncfs(&self.folder)?;
        self.conclude(entry)
    }

    /// Removes a new entry with all that is in it. May take long.
    pub fn abandon(&self, entry: &NewEntry) -> io::Result<()> {
        self.finish(&self.give_up(entry)?)
    }

    fn give_up(&self, entry: &NewEntry) -> io::Result<String> {
        let gone = format!("{GONE}{}", entry.name);
        renameat_with(&self.folder, &entry.draft, &self.folder, &gone, RenameFlags::NOREPLACE)?;
        Ok(gone)
    }

    /// Moves folders into an entry; each is named by its path below the data folder. One that
    /// is missing or empty is left out; the entry is only kept where something was moved, and
    /// then the answer is true. Renames and nothing else: what must be on the disk is seen to by
    /// [`Self::sync`].
    ///
    /// # Errors
    ///
    /// Where a folder cannot be moved. Those before it are in the entry.
    pub fn fill(&self, entry: &NewEntry, folders: &[PathBuf]) -> io::Result<bool> {
        let draft = beneath::folder(&self.folder, entry.draft.as_ref())?;
        let moved = folders.iter().enumerate().try_for_each(|(number, folder)| {
            let Some(place) = Place::find(&self.data_dir, folder)? else { return Ok(()) };
            match place.remove_if_empty() {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                // A file in the place of a folder is no instance's; a link is moved as a link.
                Err(Errno::NOTDIR) if place.is_file()? => Ok(()),
                Err(_) => place.move_to(&draft, &Slot::of(number, folder).name()),
            }
        });
        let kept = self.conclude(entry)?;
        moved?;
        Ok(kept)
    }

    /// Removes folders that are empty; others, and those that are missing, are left alone.
    pub fn vacate(&self, folders: &[PathBuf]) -> io::Result<()> {
        for folder in folders {
            if let Some(place) = Place::find(&self.data_dir, folder)? {
                // Full, it holds data, and stays (rmdir(2)).
                let _ = place.remove_if_empty();
            }
        }
        Ok(())
    }

    /// Whether there is anything in a folder.
    pub fn holds_data(&self, folder: &Path) -> io::Result<bool> {
        match beneath::folder(&self.data_dir, folder) {
            Ok(folder) => {
                let mut entries = Dir::read_from(folder)?;
                let inner = |name: &std::ffi::CStr| name != c"." && name != c"..";
                Ok(entries.any(|entry| entry.is_ok_and(|entry| inner(entry.file_name()))))
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives an entry its name where something is in it, or removes it. [`Self::fill`] has done
    /// so already; this is for one that was not filled after all.
    pub fn conclude(&self, entry: &NewEntry) -> io::Result<bool> {
        let NewEntry { name, draft } = entry;
        let folder = beneath::folder(&self.folder, draft.as_ref())?;
        if slots(&folder)?.is_empty() {
            self.remove_empty(&folder, draft)?;
            return Ok(false);
        }
        renameat_with(&self.folder, draft, &self.folder, name, RenameFlags::NOREPLACE)?;
        Ok(true)
    }

    fn remove_empty(&self, folder: &OwnedFd, name: &str) -> Result<(), Errno> {
        match unlinkat(folder, NOTE, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        unlinkat(&self.folder, name, AtFlags::REMOVEDIR)
    }

    /// Waits until it is on the disk that folders were moved into an entry or back.
    pub fn sync(&self, entry: &str, folders: &[PathBuf]) -> io::Result<()> {
        match beneath::folder(&self.folder, entry.as_ref()) {
            Ok(entry) => fsync(entry)?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        fsync(&self.folder)?;
        for folder in folders {
            if let Some(place) = Place::find(&self.data_dir, folder)? {
                place.sync()?;
            }
        }
        Ok(())
    }

    /// The entries, by name, with their notes. One that is gone by the time it is looked at is
    /// left out, and so is what is no folder.
    pub fn entries(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let names = self.names("")?.into_iter().filter(|name| !name.starts_with('.'));
        let mut entries = Vec::new();
        for name in names {
            match self.note(&name) {
                Ok(note) => entries.push((name, note)),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(entries)
    }

    fn note(&self, name: &str) -> Result<Vec<u8>, Errno> {
        let entry = beneath::folder(&self.folder, name.as_ref())?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(entry, NOTE, flags, Mode::empty())?);
        let mut note = Vec::new();
        let read = file.take(NOTE_MAX).read_to_end(&mut note);
        read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(note)
    }

    /// Whether the place of an image was moved into an entry; false where there is none.
    pub fn holds_image(&self, name: &str) -> io::Result<bool> {
        match beneath::folder(&self.folder, name.as_ref()) {
            Ok(entry) => Ok(slots(&entry)?.iter().any(|slot| slot.is_image)),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Moves what is in an entry back to `folders`, which are those it was filled from, and
    /// removes the entry. A folder whose place is empty or missing is put there; where one is
    /// not, nothing is moved. Renames and nothing else.
    pub fn put_back(&self, name: &str, folders: &[PathBuf]) -> Result<(), PutBackError> {
        let missing = |errno| match errno {
            Errno::NOENT => PutBackError::NoEntry,
            errno => errno.into(),
        };
        let _leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = beneath::folder(&self.folder, name.as_ref()).map_err(missing)?;
        let mut moves = Vec::new();
        for slot in slots(&entry)? {
            let folder = folders.get(slot.number).ok_or(PutBackError::NoEntry)?;
            if Slot::of(slot.number, folder) != slot {
                return Err(Errno::XDEV.into());
            }
            let place = Place::make(&self.data_dir, folder)?;
            match place.remove_if_empty() {
                Ok(()) | Err(Errno::NOENT) => moves.push((slot.name(), place)),
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {
                    return Err(PutBackError::Occupied { path: folder.clone() });
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        for (done, (number, place)) in moves.iter().enumerate() {
            if let Err(errno) = place.take_from(&entry, number) {
                for (number, place) in &moves[..done] {
                    place.move_to(&entry, number)?;
                }
                return Err(errno.into());
            }
        }
        Ok(self.remove_empty(&entry, name)?)
    }

    /// Removes an entry for good, with all that is in it. May take long.
    pub fn purge(&self, name: &str) -> io::Result<()> {
        let gone = format!("{GONE}{name}");
        {
            let _leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
            renameat_with(&self.folder, name, &self.folder, &gone, RenameFlags::NOREPLACE)?;
        }
        self.finish(&gone)
    }

    /// Goes on with what a killed process was removing.
    pub fn finish_purges(&self) -> io::Result<()> {
        let mut first = Ok(());
        for name in self.names(GONE)? {
            let finished = self.finish(&format!("{GONE}{name}"));
            first = first.and(finished);
        }
        first
    }

    fn finish(&self, gone: &str) -> io::Result<()> {
        removal::empty(&self.path.join(gone))?;
        Ok(unlinkat(&self.folder, gone, AtFlags::REMOVEDIR)?)
    }

    /// What follows this beginning in the names of all that have it, sorted.
    fn names(&self, beginning: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            // A name that is no text is none of ours.
            let Ok(name) = entry.file_name().to_str() else { continue };
            names.extend(name.strip_prefix(beginning).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Where a folder is in an entry. What lay among the images is told apart by its name there, as the
/// kernel mounts it: nothing that came from elsewhere is ever put among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    number: usize,
    is_image: bool,
}

impl Slot {
    fn of(number: usize, folder: &Path) -> Self {
        Self { number, is_image: folder.starts_with(IMAGES) }
    }

    fn read(name: &str) -> Option<Self> {
        let number = name.strip_prefix(IMAGE);
        let is_image = number.is_some();
        Some(Self { number: number.unwrap_or(name).parse().ok()?, is_image })
    }

    fn name(self) -> String {
        format!("{}{}", if self.is_image { IMAGE } else { "" }, self.number)
    }
}

/// The folders in an entry, in order.
fn slots(entry: impl AsFd) -> io::Result<Vec<Slot>> {
    let mut slots = Vec::new();
    for found in Dir::read_from(entry)? {
        slots.extend(found?.file_name().to_str().ok().and_then(Slot::read));
    }
    slots.sort_unstable();
    Ok(slots)
}

#[cfg(test)]
mod tests;
