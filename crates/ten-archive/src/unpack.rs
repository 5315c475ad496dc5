//! An archive to folders.

use std::{
    fs::{self, Permissions},
    io::{self, Read},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use tar::{Archive, Entry, EntryType};

/// Why an archive is not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It cannot be read, or what is in it cannot be written.
    #[error("cannot unpack the archive")]
    Io(#[from] io::Error),
    /// It holds what no archive of ours does.
    #[error("the archive is none of ten's, or was changed: {} {why}", path.display())]
    Foreign {
        /// The path in the archive.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Unpacks an archive of `folders` folders into `into`, where they get their numbers as names.
/// `into` must be closed to everybody else. Owners are not taken over, nor the bits that make a
/// program run as its owner.
///
/// # Errors
///
/// At the first entry that is foreign: a path that climbs or goes through a link, a device, a
/// hard link, another number. What came before it is there. `Io` where a bit was changed since
/// it was packed, mostly at the end.
pub fn unpack(input: impl Read, into: &Path, folders: usize) -> Result<(), UnpackError> {
    let mut archive = Archive::new(zstd::Decoder::new(input)?);
    // Closed to their owner, folders could not be filled: they are closed at the end.
    let mut closed = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let foreign = |why| UnpackError::Foreign { path: path.clone(), why };
        let at = place(&path, into, folders).map_err(foreign)?;
        let mode = entry.header().mode()? & 0o777;
        let kind = entry.header().entry_type();
        if path.components().count() == 1 && kind != EntryType::Directory {
            // The instance's folder itself: what it leads to would become the instance's.
            return Err(foreign("stands for a folder and is none"));
        }
        match kind {
            EntryType::Directory => {
                fs::create_dir(&at)?;
                closed.push((at, mode));
            }
            EntryType::Symlink => {
                let target = entry.link_name()?.ok_or_else(|| foreign("is a link to nothing"))?;
                symlink(target, &at)?;
            }
            EntryType::Regular | EntryType::GNUSparse => file(&mut entry, &at, mode)?,
            _ => return Err(foreign("is neither a file, a folder nor a link")),
        }
    }
    // The checksum comes last.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    for (folder, mode) in closed.into_iter().rev() {
        fs::set_permissions(folder, Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn file<R: Read>(entry: &mut Entry<'_, R>, at: &Path, mode: u32) -> Result<(), UnpackError> {
    if fs::symlink_metadata(at).is_ok() {
        return Err(UnpackError::Foreign { path: at.into(), why: "is there twice" });
    }
    entry.set_preserve_permissions(false);
    entry.unpack(at)?;
    Ok(fs::set_permissions(at, Permissions::from_mode(mode))?)
}

/// Where an entry belongs, if it does.
fn place(path: &Path, into: &Path, folders: usize) -> Result<PathBuf, &'static str> {
    let mut parts = path.components();
    let number = parts.next().and_then(|part| part.as_os_str().to_str()?.parse::<usize>().ok());
    let number =
        number.filter(|number| *number < folders).ok_or("is in no folder of the instance")?;
    let mut at = into.join(number.to_string());
    for part in parts {
        let Component::Normal(name) = part else { return Err("climbs") };
        // What comes before must be a folder, and no link to one.
        if !fs::symlink_metadata(&at).is_ok_and(|found| found.is_dir()) {
            return Err("is in something that is no folder");
        }
        at.push(name);
    }
    Ok(at)
}
