//! Folders to an archive.

use std::{
    fs::File,
    io::{self, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat, openat2,
        readlinkat, statat,
    },
    io::Errno,
};
use tar::{Builder, EntryType, Header};

use crate::{
    content::Content,
    database,
    missing::{self, Missing},
};

/// zstd's own default: the best of what costs little.
const LEVEL: i32 = 3;
/// Longest path in an archive, in bytes: what can be opened again (PATH_MAX), with room for
/// what comes before it.
const PATH: usize = 3500;
/// Most that is told of what was left out.
const TOLD: usize = 1000;

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It cannot be written.
    #[error("cannot write the archive")]
    Write(#[from] io::Error),
    /// A folder cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// That folder.
        path: PathBuf,
        /// What the kernel says.
        source: Errno,
    },
}

/// Writes an archive of these folders; one that is missing has no entries. `scratch` is a folder
/// in which a copy of one database at a time is made. The answer is what was left out, and why;
/// the archive says the same at its end ([`missing`](crate::missing())).
///
/// # Errors
///
/// Where the archive cannot be written, or a folder not be opened. What cannot be read in a
/// folder is left out, and told.
pub fn pack(
    folders: &[PathBuf],
    scratch: &Path,
    out: impl Write,
) -> Result<Vec<Missing>, PackError> {
    let mut encoder = zstd::Encoder::new(out, LEVEL)?;
    // What a disk changes later must not come back unnoticed.
    encoder.include_checksum(true)?;
    let mut tar = Builder::new(encoder);
    tar.sparse(false);
    let mut packer =
        Packer { tar, copy: scratch.join("database"), left_out: Vec::new(), untold: 0 };
    for (number, folder) in folders.iter().enumerate() {
        match open(folder, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(top) => packer.folder(&top, folder, Path::new(&number.to_string()))?,
            Err(Errno::NOENT) => {}
            Err(source) => return Err(PackError::Open { path: folder.clone(), source }),
        }
    }
    let Packer { tar, mut left_out, untold, .. } = packer;
    if untold > 0 {
        left_out.push(Missing::new("more", format!("{untold} others are left out too"), true));
    }
    missing::write(&left_out, tar.into_inner()?.finish()?)?;
    Ok(left_out)
}

struct Packer<W: Write> {
    tar: Builder<W>,
    copy: PathBuf,
    left_out: Vec<Missing>,
    /// Beyond [`TOLD`].
    untold: usize,
}

impl<W: Write> Packer<W> {
    /// A folder with all below it, one folder open at a time.
    fn folder(&mut self, top: &OwnedFd, at: &Path, name: &Path) -> io::Result<()> {
        let mut pending = vec![PathBuf::new()];
        while let Some(below) = pending.pop() {
            let inside = name.join(&below);
            let folder = match beneath(top, &below) {
                Ok(folder) => folder,
                // Gone meanwhile, or something else by now.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => {
                    self.lose(&inside, errno);
                    continue;
                }
            };
            let mut header = header(&fstat(&folder)?, EntryType::Directory);
            self.tar.append_data(&mut header, &inside, io::empty())?;
            let entries = Dir::read_from(&folder);
            for entry in self.unless_gone(entries, &inside).into_iter().flatten() {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(errno) => {
                        self.lose(&inside, format!("the rest of it cannot be read: {errno}"));
                        break;
                    }
                };
                let file = Path::new(std::ffi::OsStr::from_bytes(entry.file_name().to_bytes()));
                if file == Path::new(".") || file == Path::new("..") {
                    continue;
                }
                let (below, inside) = (below.join(file), inside.join(file));
                if inside.as_os_str().len() > PATH {
                    self.lose(&inside, "its path is too long");
                    continue;
                }
                if self.entry(&folder, file, &at.join(&below), &inside)? {
                    pending.push(below);
                }
            }
        }
        Ok(())
    }

    /// One entry of a folder; true where it is a folder itself.
    fn entry(
        &mut self,
        folder: &OwnedFd,
        name: &Path,
        at: &Path,
        inside: &Path,
    ) -> io::Result<bool> {
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
        let Some(stat) = self.unless_gone(stat, inside) else { return Ok(false) };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return Ok(true),
            FileType::Symlink => {
                let target = readlinkat(folder, name, Vec::new());
                let Some(target) = self.unless_gone(target, inside) else { return Ok(false) };
                let mut header = header(&stat, EntryType::Symlink);
                let target = std::ffi::OsStr::from_bytes(target.as_bytes());
                self.tar.append_link(&mut header, inside, target)?;
            }
            FileType::RegularFile => self.file(folder, name, at, inside)?,
            FileType::Fifo => self.leave_out(inside, "it is a FIFO"),
            FileType::Socket => self.leave_out(inside, "it is a socket"),
            _ => self.leave_out(inside, "it is a device"),
        }
        Ok(false)
    }

    fn file(&mut self, folder: &OwnedFd, name: &Path, at: &Path, inside: &Path) -> io::Result<()> {
        let file = open_file(folder, name);
        let Some(file) = self.unless_gone(file, inside) else { return Ok(()) };
        if !database::is_one(&file) {
            if belongs_to_database(folder, name) {
                return Ok(());
            }
            return self.content(&file, file.try_clone()?, inside);
        }
        match database::copy(at, &self.copy) {
            Ok(copy) => self.content(&file, copy, inside),
            Err(error) => {
                self.lose(
                    inside,
                    format!("SQLite cannot copy it ({error}); its files are here as they were"),
                );
                self.content(&file, file.try_clone()?, inside)?;
                for ending in database::BESIDE {
                    let with = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
                    let file = open_file(folder, &with(name));
                    if let Some(file) = self.unless_gone(file, &with(inside)) {
                        self.content(&file, file.try_clone()?, &with(inside))?;
                    }
                }
                Ok(())
            }
        }
    }

    /// What `content` holds, as the file that it stands for.
    fn content(&mut self, file: &File, content: File, inside: &Path) -> io::Result<()> {
        let stat = fstat(file)?;
        // It may have been changed for something else since it was looked at.
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let size = content.metadata()?.len();
        let mut header = header(&stat, EntryType::Regular);
        let content = Content::of(content, size);
        let Some(mut content) = self.unless_gone(content, inside) else { return Ok(()) };
        content.describe(&mut header);
        self.tar.append_data(&mut header, inside, &mut content)?;
        if let Some(error) = content.broken() {
            self.lose(inside, format!("some of it cannot be read and is zeros here: {error}"));
        }
        Ok(())
    }

    /// What is gone, or something else by now, is not missing.
    fn unless_gone<T>(&mut self, found: Result<T, Errno>, inside: &Path) -> Option<T> {
        match found {
            Ok(found) => Some(found),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::INVAL | Errno::LOOP) => None,
            Err(errno) => {
                self.lose(inside, errno);
                None
            }
        }
    }

    /// What holds data and is not there, or not as it should be.
    fn lose(&mut self, what: &Path, why: impl std::fmt::Display) {
        self.tell(Missing::new(what.display(), why, true));
    }

    /// What holds none.
    fn leave_out(&mut self, what: &Path, why: impl std::fmt::Display) {
        self.tell(Missing::new(what.display(), why, false));
    }

    fn tell(&mut self, missing: Missing) {
        match self.left_out.len() < TOLD {
            true => self.left_out.push(missing),
            false => self.untold += 1,
        }
    }
}

fn header(stat: &Stat, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    header
}

fn beneath(top: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(top, path, flags, Mode::empty(), resolve)
}

/// Opens without waiting, should it be a FIFO by now.
fn open_file(folder: &OwnedFd, name: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file.into()),
        _ => Err(Errno::NOENT),
    }
}

/// Whether a file is what SQLite keeps beside a database that is there.
fn belongs_to_database(folder: &OwnedFd, name: &Path) -> bool {
    let name = name.as_os_str().as_bytes();
    database::BESIDE.iter().any(|ending| {
        let base = name.strip_suffix(ending.as_bytes()).filter(|base| !base.is_empty());
        let base = base.map(|base| Path::new(std::ffi::OsStr::from_bytes(base)));
        base.and_then(|base| open_file(folder, base).ok())
            .is_some_and(|file| database::is_one(&file))
    })
}
