//! SQLite databases, which may be written to at this moment.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, backup::Backup, config::DbConfig};
use rustix::fs::statvfs;

/// How every database begins (https://www.sqlite.org/fileformat.html).
const MAGIC: &[u8] = b"SQLite format 3\0";
/// What SQLite keeps beside a database; the copy has it in itself.
pub(crate) const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];
/// How long to wait for whoever is writing. A tenant that locks its database for good must
/// not hold up its backup for ever.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to open a database, which includes undoing what a crash has left half done.
/// A tenant can put a FIFO beside it after we have looked, and to open that takes as long as the
/// tenant likes.
const OPENING: Duration = Duration::from_secs(60);

/// Whether a file is a database.
pub(crate) fn is_one(file: &File) -> bool {
    let mut begin = [0; MAGIC.len()];
    file.read_exact_at(&mut begin, 0).is_ok() && begin == *MAGIC
}

/// Copies a database as it is at one moment.
pub(crate) fn copy(database: &Path, to: &Path) -> rusqlite::Result<File> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(error)),
        _ => {}
    }
    only_files_beside(database).map_err(cannot)?;
    let from = open_within(OPENING, database.into())?;
    let count = |pragma: &str| from.pragma_query_value(None, pragma, |row| row.get::<_, u32>(0));
    let size = u64::from(count("page_count")?) * u64::from(count("page_size")?);
    if size > room(to).map_err(cannot)? {
        return Err(cannot(io::Error::other(
            "its copy needs more than half of the free disk space",
        )));
    }
    let mut copy = Connection::open(to)?;
    // It is thrown away where it is not finished.
    copy.pragma_update(None, "synchronous", "off")?;
    let backup = Backup::new(&from, &mut copy)?;
    // In one step, or a busy writer would make it begin again and again.
    match backup.step(-1)? {
        rusqlite::backup::StepResult::Done => {}
        _ => {
            let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
            return Err(rusqlite::Error::SqliteFailure(busy, None));
        }
    }
    drop(backup);
    copy.close().map_err(|(_, error)| error)?;
    File::open(to).map_err(cannot)
}

fn cannot(error: io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

/// Opens it by a thread that is left behind where that takes too long.
fn open_within(limit: Duration, database: PathBuf) -> rusqlite::Result<Connection> {
    let (opened, wait) = mpsc::sync_channel(1);
    // Nobody may be there any more to be told.
    let work = move || drop(opened.send(open(&database)));
    thread::Builder::new().spawn(work).map_err(cannot)?;
    let late = || {
        let text = format!("it could not be opened within {} s", limit.as_secs_f32());
        cannot(io::Error::new(io::ErrorKind::TimedOut, text))
    };
    wait.recv_timeout(limit).unwrap_or_else(|_| Err(late()))
}

/// Whoever has it so sees it as it is now. SQLite opens nothing more for that.
fn open(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let from = Connection::open_with_flags(database, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    from.busy_timeout(PATIENCE)?;
    // Who looks leaves no traces: the write-ahead log stays as it is.
    from.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    from.execute_batch("BEGIN; SELECT 1 FROM sqlite_schema")?;
    Ok(from)
}

/// SQLite opens what it finds beside a database, and would wait for whoever writes into a FIFO.
fn only_files_beside(database: &Path) -> io::Result<()> {
    for suffix in BESIDE {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        match fs::symlink_metadata(&path) {
            Ok(found) if !found.is_file() => {
                return Err(io::Error::other(format!("{suffix} beside it is not a file")));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// How large a copy may be, in bytes. A file of holes costs its tenant nothing, but a copy of it
/// by SQLite has no holes: it must not fill the disk for everybody.
fn room(to: &Path) -> io::Result<u64> {
    let disk = statvfs(to.parent().unwrap_or(to))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize) / 2)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    /// One that was put there after `only_files_beside` has looked.
    #[test]
    fn a_pipe_beside_it_is_not_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("app.db");
        Connection::open(&database).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(open_within(OPENING, database.clone()).is_ok());
        let pipe = folder.path().join("app.db-journal");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let error = open_within(Duration::from_millis(300), database).unwrap_err().to_string();
        assert!(error.contains("could not be opened within 0.3 s"), "{error}");
    }
}
