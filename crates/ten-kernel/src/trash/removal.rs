//! Removing folders that a tenant has filled, however it filled them.
//!
//! A tenant may nest folders deeper than any stack or table of descriptors, close them to
//! their owner, or make millions of files. So nothing here recurses, at most two folders are
//! open at a time, and the work is done by a child that nobody waits for: whoever removes a
//! folder only renames it.

use std::{
    ffi::{CStr, CString},
    io,
    os::{
        fd::{OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, openat, renameat, unlinkat},
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
    // Closed to its owner it could be neither read nor moved (rename(2), EACCES).
    chmodat(top, name, Mode::RWXU, AtFlags::empty())?;
    let folder = open(top, name)?;
    for (inner, kind) in entries(&folder)? {
        if kind != FileType::Directory {
            unlinkat(&folder, &inner, AtFlags::empty())?;
            continue;
        }
        chmodat(&folder, &inner, Mode::RWXU, AtFlags::empty())?;
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
