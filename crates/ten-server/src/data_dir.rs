//! The data folder by its one name.
//!
//! Operators like to have a link there: `/var/lib/tenement` to another disk. The kernel mounts on
//! what a link leads to, and hides that name alone; so a path with a link in it is resolved once,
//! here, and everything below means the same folder by the same name: walls, checks, plans,
//! archives, and what `{data_dir}` stands for. Below it nothing of ten's may be a link.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Names in it that ten would follow, were they links.
const OWN: [&str; 4] = [".state", ".run", ".trash", ".images"];

/// Where everything that must last lives. It need not be there yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataDir {
    real: PathBuf,
    typed: PathBuf,
}

impl DataDir {
    /// The data folder that this path names. A relative path starts at the working folder.
    ///
    /// # Errors
    ///
    /// Where a link on the way leads nowhere, or a folder is closed.
    pub fn at(path: &Path) -> io::Result<Self> {
        let typed = std::path::absolute(path)?;
        let mut missing = PathBuf::new();
        for there in typed.ancestors() {
            match fs::canonicalize(there) {
                Ok(real) => {
                    // Joining nothing would add a slash.
                    let nothing = missing.as_os_str().is_empty();
                    let real = if nothing { real } else { real.join(&missing) };
                    return Ok(Self { real, typed });
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Err(error) => match there.file_name() {
                    Some(name) if !there.is_symlink() => missing = Path::new(name).join(&missing),
                    // A link that leads nowhere, or `..` of what is not there.
                    _ => return Err(error),
                },
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Its one name: absolute, and without links.
    pub fn path(&self) -> &Path {
        &self.real
    }

    /// Every name by which a config may mean it: its own, and the one that was typed.
    pub fn names(&self) -> [&Path; 2] {
        [&self.real, &self.typed]
    }

    /// The link in it, if there is one, where ten has a folder of its own.
    pub(crate) fn link(&self) -> Option<PathBuf> {
        OWN.iter().map(|name| self.real.join(name)).find(|path| path.is_symlink())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_has_the_name_of_what_it_leads_to() {
        let house = tempfile::tempdir().unwrap();
        let house = fs::canonicalize(house.path()).unwrap();
        let real = |path: &str| DataDir::at(&house.join(path)).map(|it| it.path().to_owned());
        fs::create_dir_all(house.join("disk/data")).unwrap();
        symlink("disk", house.join("link")).unwrap();
        symlink("disk/data", house.join("data")).unwrap();
        symlink("nowhere", house.join("loose")).unwrap();
        for (path, want) in [
            ("disk/data", "disk/data"),
            ("data", "disk/data"),
            ("link/data/", "disk/data"),
            ("link/../data/.", "disk/data"),
            ("link/new/deeper", "disk/new/deeper"),
            ("new", "new"),
        ] {
            assert_eq!(real(path).unwrap(), house.join(want), "{path}");
        }
        for path in ["loose", "loose/data", "new/../data"] {
            assert!(real(path).is_err(), "{path}");
        }
        let linked = DataDir::at(&house.join("data")).unwrap();
        assert_eq!(linked.names(), [house.join("disk/data"), house.join("data")]);
        assert_eq!(linked.link(), None);
        symlink("/mnt", house.join("disk/data/.run")).unwrap();
        assert_eq!(linked.link(), Some(house.join("disk/data/.run")));
    }
}
