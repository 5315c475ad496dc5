//! The folder in the data dir that is the front's own: what it remembers, and all that it may
//! write to.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, Permissions},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use ten_domain::Config;
use ten_kernel::FRONT_USERS;

use crate::auth::TOKEN_FILE;

/// In the data dir. No service and no instance is called so.
const FOLDER: &str = ".state";
/// Ten's own folders in the data dir.
const FOLDERS: [&str; 4] = [FOLDER, ".run", ".trash", ".images"];
/// In ten's own folder: the data dir was closed to other users.
const CLOSED: &str = "closed";
/// Files that earlier versions kept beside it, the database last: it is moved when all that
/// belongs to it has been.
const EARLIER: [&str; 3] = ["ten.db-wal", "ten.db-shm", "ten.db"];

/// Where it is.
pub(crate) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

/// Makes it where it is missing, with the data dir, and brings in what an earlier version kept
/// elsewhere.
pub(crate) fn prepare(data_dir: &Path) -> io::Result<PathBuf> {
    let folder = folder(data_dir);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    for name in EARLIER {
        let (from, to) = (data_dir.join(name), folder.join(name));
        match renameat_with(CWD, &from, CWD, &to, RenameFlags::NOREPLACE) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => {
                let text = format!("cannot move {} to {}", from.display(), to.display());
                return Err(io::Error::new(io::Error::from(errno).kind(), text));
            }
        }
    }
    Ok(folder)
}

/// Keeps strangers of this host out of the data dir, which somebody else may have made: the walls of
/// another server's instances do not hide it. One that holds what is neither ten's nor an instance's
/// may be somebody else's to open, and stays as it is; once it was closed, it is closed again.
pub(crate) fn close(data_dir: &Path, config: &Config) -> io::Result<()> {
    const STRANGERS: u32 = 0o007;
    let mode = fs::metadata(data_dir)?.permissions().mode();
    if mode & STRANGERS == 0 {
        return Ok(());
    }
    let open = |why: &str| {
        let path = data_dir.display();
        tracing::warn!(
            "{path} is open to other users of this host, and so are instances' files: {why}"
        );
    };
    let mark = folder(data_dir).join(CLOSED);
    if !mark.exists()
        && let Some(other) = stranger(data_dir, config)?
    {
        open(&format!("{other:?} in it is not ten's; give ten a folder of its own"));
        return Ok(());
    }
    match fs::set_permissions(data_dir, Permissions::from_mode(mode & !STRANGERS)) {
        Ok(()) => fs::write(mark, ""),
        Err(error) => {
            open(&format!("chmod o-rwx: {error}"));
            Ok(())
        }
    }
}

/// Something in the data dir that neither ten nor a service has there.
fn stranger(data_dir: &Path, config: &Config) -> io::Result<Option<OsString>> {
    for entry in fs::read_dir(data_dir)? {
        let name = entry?.file_name();
        let known = name.to_str().is_some_and(|name| {
            let of_ten = name.starts_with("ten.") || name == TOKEN_FILE || FOLDERS.contains(&name);
            of_ten || config.services.keys().any(|service| service.as_str() == name)
        });
        if !known {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Gives all of it to the front's user, where ten is root and so has one.
pub(crate) fn hand_over(data_dir: &Path) -> io::Result<()> {
    match ten_kernel::is_root() {
        true => ten_kernel::hand_over(&folder(data_dir), user(data_dir)),
        false => Ok(()),
    }
}

/// The user of a server's front: a uid for each data dir, so that the fronts of two servers are
/// strangers. The same in every run, since the folder belongs to it.
pub(crate) fn user(data_dir: &Path) -> u32 {
    FRONT_USERS.start + (hash(data_dir) % u64::from(FRONT_USERS.end - FRONT_USERS.start)) as u32
}

/// A number for a data dir. Keyed with zeros, hence the same in every run; no secret and no
/// promise depends on it.
pub(crate) fn hash(data_dir: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    data_dir.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_kept_out() {
        let source = ten_config::Source::from_text(
            "/etc/tenement.toml".as_ref(),
            "[service.app]\ncommand = \"/bin/true\"\n",
        );
        let config = ten_config::parse(&source.unwrap(), &|_| None).unwrap();
        let data = tempfile::tempdir().unwrap();
        prepare(data.path()).unwrap();
        let closed = |before: u32| {
            fs::set_permissions(data.path(), Permissions::from_mode(before)).unwrap();
            close(data.path(), &config).unwrap();
            fs::metadata(data.path()).unwrap().permissions().mode() & 0o777
        };
        // It may be /srv, with everything else in it.
        fs::create_dir(data.path().join("www")).unwrap();
        assert_eq!(closed(0o755), 0o755);
        fs::remove_dir(data.path().join("www")).unwrap();
        fs::create_dir(data.path().join("app")).unwrap();
        for (before, after) in [(0o755, 0o750), (0o701, 0o700), (0o700, 0o700), (0o770, 0o770)] {
            assert_eq!(closed(before), after, "{before:o}");
        }
        // Whatever came later, it has been ten's alone.
        fs::create_dir(data.path().join("uploads")).unwrap();
        assert_eq!(closed(0o755), 0o750);
    }

    #[test]
    fn what_an_earlier_version_kept_is_brought_in_once() {
        let data = tempfile::tempdir().unwrap();
        for name in EARLIER {
            fs::write(data.path().join(name), name).unwrap();
        }
        let folder = prepare(data.path()).unwrap();
        for name in EARLIER {
            assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), name);
            assert!(!data.path().join(name).exists());
        }
        prepare(data.path()).unwrap();
        // Two databases: nobody guesses which of them is meant.
        fs::write(data.path().join("ten.db"), "another").unwrap();
        let error = prepare(data.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(folder.join("ten.db")).unwrap(), "ten.db");
    }

    #[test]
    fn each_data_dir_has_a_front_of_its_own() {
        let [a, b] = ["/var/lib/tenement", "/srv/other"].map(|path| user(path.as_ref()));
        assert_ne!(a, b);
        assert!(FRONT_USERS.contains(&a) && FRONT_USERS.contains(&b));
    }
}
