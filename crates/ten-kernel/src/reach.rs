//! Unix sockets of trees, for those who may not enter the folders that they are in.

use std::{
    ffi::OsStr,
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, chownat, fstat, open, openat2,
};

/// Connecting to a socket is writing to its file (unix(7)).
const GROUP_WRITES: u32 = 0o020;

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const WITHIN: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// Opens the socket itself (O_PATH), not what a link leads to: whoever has the descriptor
/// connects to it as `/proc/self/fd/N`, whatever is put in its place later. `group` is the group
/// that must be able to, where that is not the caller's own: the file is given to it.
///
/// Its folder is trusted, what is in it is not: the folder is the tree's own, or one that was made
/// for it, and nobody inside can put another in its place.
///
/// # Errors
///
/// `NotFound` where nothing is there yet, `InvalidInput` where it is no socket.
pub fn reach_socket(path: &Path, group: Option<u32>) -> io::Result<OwnedFd> {
    let (folder, name) = parts(path)?;
    reach(&open(folder, FOLDER, Mode::empty())?, name, group)
}

/// The same below a folder of which nothing is trusted: no link on the way there is followed.
///
/// # Errors
///
/// As for [`reach_socket`].
pub fn reach_socket_below(top: &OwnedFd, path: &Path, group: Option<u32>) -> io::Result<OwnedFd> {
    let (folder, name) = parts(path)?;
    reach(&openat2(top, folder, FOLDER, Mode::empty(), WITHIN)?, name, group)
}

fn parts(path: &Path) -> io::Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn reach(folder: &OwnedFd, name: &OsStr, group: Option<u32>) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let socket = openat2(folder, name, flags, Mode::empty(), WITHIN)?;
    let found = fstat(&socket)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a socket"));
    }
    if let Some(group) = group {
        chownat(&socket, "", None, Some(Gid::from_raw(group)), AtFlags::EMPTY_PATH)?;
        let mode = fs::Permissions::from_mode(found.st_mode & 0o7777 | GROUP_WRITES);
        // There is no fchmod(2) for O_PATH, but for its name in proc(5).
        fs::set_permissions(format!("/proc/self/fd/{}", socket.as_raw_fd()), mode)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::{MetadataExt, symlink},
        net::UnixListener,
    };

    use super::*;

    #[test]
    fn only_a_socket_is_opened_and_never_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let _ours = UnixListener::bind(at("ours")).unwrap();
        assert!(reach_socket(&at("ours"), None).is_ok());
        symlink(at("ours"), at("link")).unwrap();
        fs::write(at("file"), "").unwrap();
        for wrong in ["link", "file", "nothing"] {
            assert!(reach_socket(&at(wrong), None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn below_a_folder_no_link_leads_to_another() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("scratch")).unwrap();
        let _ours = UnixListener::bind(at("scratch/ours")).unwrap();
        symlink("scratch", at("link")).unwrap();
        let top = open(folder.path(), FOLDER, Mode::empty()).unwrap();
        assert!(reach_socket_below(&top, "scratch/ours".as_ref(), None).is_ok());
        for wrong in ["link/ours", "../ours", "/ours", "scratch/nothing", ""] {
            assert!(reach_socket_below(&top, wrong.as_ref(), None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn it_is_given_to_the_group_and_keeps_its_owner() {
        if !crate::is_root() {
            return println!("SKIP only root gives files to other groups");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        reach_socket(&path, Some(7777)).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (0, 7777, 0o720));
    }
}
