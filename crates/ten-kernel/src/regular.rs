//! Opening files that a tenant may have put in place of others.

use std::{fs::File, io, os::fd::AsRawFd, path::Path};

use rustix::fs::{FileType, Mode, OFlags, fstat, open};

/// Opens a file for reading if it is a regular one, whatever links lead to it. Never waits for
/// whoever would write into a FIFO, and never touches a device.
///
/// # Errors
///
/// `InvalidInput` where it is something else.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let found = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    // What was looked at, and not its name again, which may be another's by now.
    File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn nothing_but_a_file_is_opened_and_nobody_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "text").unwrap();
        symlink("file", at("link")).unwrap();
        for good in ["file", "link"] {
            let mut text = String::new();
            open_regular(&at(good)).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "text");
        }
        drop(crate::make_fifo(&at("fifo")).unwrap());
        for wrong in [at("fifo"), at("nothing"), folder.path().into(), "/dev/null".into()] {
            assert!(open_regular(&wrong).is_err(), "{}", wrong.display());
        }
    }
}
