//! Folders below a folder, found without ever leaving it: no symbolic link is followed and no
//! `..` climbs (openat2(2), RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS).

use std::{
    ffi::OsStr,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, fsync, mkdirat, openat2,
        renameat_with, statat, unlinkat,
    },
    io::Errno,
};

/// Opens a folder below `top`, for reading.
pub(crate) fn folder(top: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { ".".as_ref() } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(top, path, flags, Mode::empty(), resolve)
}

/// A name in a folder below another, whether something is there or not.
#[derive(Debug)]
pub(crate) struct Place {
    parent: OwnedFd,
    name: PathBuf,
}

impl Place {
    /// The place of `path` below `top`; `None` where its parent is missing.
    pub(crate) fn find(top: impl AsFd, path: &Path) -> Result<Option<Self>, Errno> {
        let (parent, name) = split(path)?;
        match folder(top, parent) {
            Ok(parent) => Ok(Some(Self { parent, name: name.into() })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The same; its parents are made where they are missing.
    pub(crate) fn make(top: impl AsFd, path: &Path) -> Result<Self, Errno> {
        let (parents, name) = split(path)?;
        let mut parent = folder(&top, Path::new(""))?;
        for part in parents {
            match mkdirat(&parent, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            parent = folder(&parent, part.as_ref())?;
        }
        Ok(Self { parent, name: name.into() })
    }

    /// Whether a file is here, and not a folder or a link.
    pub(crate) fn is_file(&self) -> Result<bool, Errno> {
        let found = statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(found.st_mode) == FileType::RegularFile)
    }

    /// Removes the folder that is here, if it is one and empty.
    pub(crate) fn remove_if_empty(&self) -> Result<(), Errno> {
        unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR)
    }

    /// Makes a folder here, for this user alone.
    pub(crate) fn make_folder(&self) -> Result<(), Errno> {
        mkdirat(&self.parent, &self.name, Mode::RWXU)
    }

    /// Whether anything is here.
    pub(crate) fn is_there(&self) -> Result<bool, Errno> {
        match statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Moves what is here to another place. Nothing is replaced.
    pub(crate) fn move_onto(&self, to: &Self) -> Result<(), Errno> {
        renameat_with(&self.parent, &self.name, &to.parent, &to.name, RenameFlags::NOREPLACE)
    }

    /// Moves what is here into another folder. Nothing is replaced.
    pub(crate) fn move_to(&self, to: &OwnedFd, name: &str) -> Result<(), Errno> {
        renameat_with(&self.parent, &self.name, to, name, RenameFlags::NOREPLACE)
    }

    /// Moves something here. Nothing is replaced.
    pub(crate) fn take_from(&self, from: &OwnedFd, name: &str) -> Result<(), Errno> {
        renameat_with(from, name, &self.parent, &self.name, RenameFlags::NOREPLACE)
    }

    /// Waits until the disk knows what is here and what is not.
    pub(crate) fn sync(&self) -> Result<(), Errno> {
        fsync(&self.parent)
    }
}

fn split(path: &Path) -> Result<(&Path, &OsStr), Errno> {
    let parent = path.parent().ok_or(Errno::INVAL)?;
    Ok((parent, path.file_name().ok_or(Errno::INVAL)?))
}
