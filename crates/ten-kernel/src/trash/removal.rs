//! Removing folders that a tenant has filled, however it filled them.
//!
//! A tenant may nest folders deeper than any stack or table of descriptors, close them to
//! their owner, or make millions of files. So nothing here recurses, at most three folders are
//! open at a time, and the work is done by a child that nobody waits for: whoever removes a
//! folder only renames it.

use std::{
    ffi::{CStr, CString},
    io,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chmod, fchmod, openat, renameat, unlinkat},
    io::Errno,
};

use crate::{
    Failure,
    child::{Child, fork},
    init::{close_range, exit},
    title,
};

/// Empties a folder in a child process, which ends when that is done or cannot be done. The
/// child is returned so that its end can be waited for.
///
/// # Errors
///
/// Where no child can be made.
pub fn empty_in_child(folder: &Path) -> Result<Child, Failure> {
    match fork(0, None)? {
        Some(child) => Ok(child),
        None => {
            title::set(c"ten-trash", "ten-trash");
            // It must keep nothing alive that its parent gives up: no lock, no listener.
            let closed = close_range(3, RawFd::MAX, 0);
            let emptied = closed.map_err(io::Error::from).and_then(|()| empty(folder));
            exit(i32::from(emptied.is_err()))
        }
    }
}

/// Removes everything in a folder. Folders are taken apart by moving what is in them up to
/// the top, so depth costs nothing.
pub(crate) fn empty(folder: &Path) -> io::Result<()> {
    let top = open(CWD, &CString::new(folder.as_os_str().as_bytes())?)?;
    let mut moved = 0u64;
    loop {
        let mut left = false;
        for (name, kind) in entries(&top)? {
            left = true;
            if kind == FileType::Directory {
                take_apart(&top, &name, &mut moved)?;
            } else {
                unlinkat(&top, &name, AtFlags::empty())?;
            }
        }
        if !left {
            return Ok(());
        }
    }
}

/// Removes a folder after moving the folders in it up beside it.
fn take_apart(top: &OwnedFd, name: &CStr, moved: &mut u64) -> io::Result<()> {
    let folder = open_to_change(top, name)?;
    for (inner, kind) in entries(&folder)? {
        if kind != FileType::Directory {
            unlinkat(&folder, &inner, AtFlags::empty())?;
            continue;
        }
        // Closed to its owner it could not be moved (rename(2), EACCES).
        drop(open_to_change(&folder, &inner)?);
        // A name that a tenant chose first is tried past.
        loop {
            let up = CString::new(format!("moved-{moved}"))?;
            *moved += 1;
            match renameat(&folder, &inner, top, &up) {
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                other => break other?,
            }
        }
    }
    match unlinkat(top, name, AtFlags::REMOVEDIR) {
        // More than was read at a time: the next look finds it again.
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        other => Ok(other?),
    }
}

fn open(at: impl std::os::fd::AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

/// Opens a folder whatever its mode, and gives its owner every right over it. By descriptor:
/// a tenant that kept one of its folders may put a link in the place of another.
fn open_to_change(at: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let folder = match open(at, name) {
        Err(Errno::ACCESS) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let closed = openat(at, name, flags, Mode::empty())?;
            // There is no fchmod(2) for O_PATH, but for its name in proc(5).
            chmod(format!("/proc/self/fd/{}", closed.as_raw_fd()), Mode::RWXU)?;
            open(at, name)?
        }
        opened => opened?,
    };
    fchmod(&folder, Mode::RWXU)?;
    Ok(folder)
}

/// Entries of a folder, read before any of them is removed. At most so many at a time:
/// whoever calls looks again.
fn entries(folder: &OwnedFd) -> Result<Vec<(CString, FileType)>, Errno> {
    const AT_A_TIME: usize = 4096;
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if entry.file_name() == c"." || entry.file_name() == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not say.
            FileType::Unknown => {
                let stat =
                    rustix::fs::statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            kind => kind,
        };
        found.push((entry.file_name().to_owned(), kind));
        if found.len() == AT_A_TIME {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    /// Whoever still has a descriptor of the folder may swap what was found for a link.
    #[test]
    fn a_link_that_took_the_place_of_a_folder_is_not_followed() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::set_permissions(other.path(), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(other.path(), folder.path().join("link")).unwrap();
        let top = CString::new(folder.path().as_os_str().as_bytes()).unwrap();
        let top = open(CWD, &top).unwrap();
        take_apart(&top, c"link", &mut 0).unwrap_err();
        let mode = fs::metadata(other.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn whatever_a_tenant_made_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        fs::create_dir(&top).unwrap();
        // Far deeper than a path can be long, or a stack of descriptors high.
        let mut at = open(CWD, &CString::new(top.as_os_str().as_bytes()).unwrap()).unwrap();
        for _ in 0..5000 {
            rustix::fs::mkdirat(&at, c"x", Mode::RWXU).unwrap();
            at = open(&at, c"x").unwrap();
        }
        for i in 0..5000 {
            fs::write(top.join(format!("file-{i}")), "x").unwrap();
        }
        // Names that the moving would like to use, and folders closed to their owner.
        fs::create_dir_all(top.join("moved-0/inner/deeper")).unwrap();
        fs::write(top.join("moved-1"), "x").unwrap();
        fs::set_permissions(top.join("moved-0/inner"), fs::Permissions::from_mode(0o0)).unwrap();
        std::os::unix::fs::symlink("/etc", top.join("link")).unwrap();
        empty(&top).unwrap();
        assert_eq!(fs::read_dir(&top).unwrap().count(), 0);
        assert!(fs::exists("/etc/passwd").unwrap());
    }
}
