//! What a tree leaves outside itself, written down before it runs, so that whoever comes
//! after a killed warden can find it and take it away.
//!
//! A record names a process by pid, start time and boot, never by pid alone.

use std::{
    fs::{self, DirBuilder},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, FileTypeExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use ten_kernel::remove_socket;

/// One tree's traces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The tree's name.
    pub(crate) name: String,
    /// In which boot its processes lived.
    pub(crate) boot_id: String,
    /// Its init.
    pub(crate) init: u32,
    /// When its init started, in ticks since boot.
    pub(crate) start_time: u64,
    /// Whether that init has no PID namespace.
    pub(crate) bare: bool,
    /// Its cgroup.
    pub(crate) cgroup: Option<PathBuf>,
    /// Its scratch folder.
    pub(crate) scratch: Option<PathBuf>,
    /// Its socket.
    pub(crate) socket: Option<PathBuf>,
}

/// The folders in which trees leave traces: `{run_dir}/launches` and `{run_dir}/output`.
#[derive(Debug)]
pub(crate) struct RunDir {
    launches: PathBuf,
    output: PathBuf,
}

impl RunDir {
    /// Makes the folders where they are missing.
    pub(crate) fn open(run_dir: &Path) -> io::Result<Self> {
        let folders = Self { launches: run_dir.join("launches"), output: run_dir.join("output") };
        for folder in [run_dir, &folders.launches, &folders.output] {
            make_private_folder(folder)?;
        }
        Ok(folders)
    }

    /// Where a tree's stdout and stderr pipes are.
    pub(crate) fn pipes(&self, name: &str) -> [PathBuf; 2] {
        ["out", "err"].map(|stream| self.output.join(format!("{name}.{stream}")))
    }

    /// Writes a record, whole or not at all.
    pub(crate) fn write(&self, record: &Record) -> io::Result<()> {
        let path = self.record(&record.name);
        let draft = path.with_extension("draft");
        fs::write(&draft, serde_json::to_vec(record)?)?;
        fs::rename(draft, path)
    }

    /// All records, with the files that they are in. Drafts of a killed warden are removed:
    /// their trees never ran.
    pub(crate) fn records(&self) -> io::Result<Vec<(PathBuf, Result<Record, io::Error>)>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.launches)? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("draft") => fs::remove_file(path)?,
                _ => {
                    let record =
                        fs::read(&path).and_then(|text| Ok(serde_json::from_slice(&text)?));
                    records.push((path, record));
                }
            }
        }
        Ok(records)
    }

    /// Removes everything a tree leaves but its cgroup, the record last. All of it is
    /// tried; the first failure is returned.
    pub(crate) fn remove(
        &self,
        name: &str,
        scratch: Option<&Path>,
        socket: Option<&Path>,
    ) -> io::Result<()> {
        let [stdout, stderr] = self.pipes(name);
        let removed = [
            remove_file(&stdout),
            remove_file(&stderr),
            scratch.map_or(Ok(()), remove_folder),
            socket.map_or(Ok(()), remove_socket),
        ];
        removed.into_iter().collect::<io::Result<()>>()?;
        remove_file(&self.record(name))
    }

    /// Removes pipes that no record names, left by a warden that died before writing one.
    pub(crate) fn remove_stray_pipes(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.output)? {
            let entry = entry?;
            if entry.file_type()?.is_fifo() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn record(&self, name: &str) -> PathBuf {
        self.launches.join(format!("{name}.json"))
    }
}

/// Makes a folder for this user alone, and its parents for everyone, where they are missing.
pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes a folder with all that is in it; none there is no error.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    unless_missing(fs::remove_dir_all(path))
}

fn remove_file(path: &Path) -> io::Result<()> {
    unless_missing(fs::remove_file(path))
}

fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
