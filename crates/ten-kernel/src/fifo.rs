//! Pipes with a name: a tree's output survives whoever reads it.

use std::{fs, io, os::fd::OwnedFd, os::unix::fs::FileTypeExt, path::Path};

use rustix::{
    fs::{CWD, Mode, OFlags, mkfifoat, open},
    pipe::fcntl_setpipe_size,
};

/// What a pipe holds while nobody reads it, in bytes. The kernel pays 2.5 KiB for the
/// bookkeeping of it at once and for the content when it comes. Where the user's pipes are
/// limited, the usual 64 KiB remain.
const CAPACITY: usize = 256 * 1024;

/// Both ends of a named pipe.
#[derive(Debug)]
pub struct Fifo {
    /// For the writer: opened for reading too, so that it never gets SIGPIPE and nothing
    /// is lost while no reader is there (fifo(7)).
    pub writer: OwnedFd,
    /// For the reader, non-blocking.
    pub reader: OwnedFd,
}

/// Makes a named pipe (mode 0600) and opens both ends. A pipe of that name which a dead
/// process left is replaced.
pub fn make_fifo(path: &Path) -> io::Result<Fifo> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_fifo() => fs::remove_file(path)?,
        // mkfifo says what is wrong with anything else.
        _ => {}
    }
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?;
    open_fifo(path)
}

/// Opens both ends of a named pipe.
pub fn open_fifo(path: &Path) -> io::Result<Fifo> {
    let writer = open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let reader = open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    // See CAPACITY.
    let _ = fcntl_setpipe_size(&writer, CAPACITY);
    Ok(Fifo { writer, reader })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_written_before_anyone_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        drop(make_fifo(&path).unwrap());
        let fifo = make_fifo(&path).unwrap();
        rustix::io::write(&fifo.writer, b"early").unwrap();
        drop(fifo.writer);
        let mut read = [0; 8];
        assert_eq!(rustix::io::read(&fifo.reader, &mut read), Ok(5));
        assert_eq!(rustix::io::read(&fifo.reader, &mut read), Ok(0));
    }

    #[test]
    fn leaves_other_files_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, "precious").unwrap();
        assert_eq!(make_fifo(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
