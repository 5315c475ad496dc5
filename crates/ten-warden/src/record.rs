//! What a tree leaves outside itself, written down before it runs, so that whoever comes
//! after a killed warden can find it and take it away.
//!
//! A record names a process by pid, start time and boot, never by pid alone.

use std::{
    cell::{Cell, RefCell},
    fs::{self, DirBuilder},
    io::{self, ErrorKind},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, FileTypeExt},
    },
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use ten_kernel::{Child, Fifo, empty_in_child, make_fifo, open_fifo, procfs, remove_socket};

use crate::spare::{RECORD, Spares, is_full};

/// A process, named for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    /// In which boot it lived.
    pub(crate) boot_id: String,
    /// Its pid then.
    pub(crate) pid: u32,
    /// When it started, in ticks since boot.
    pub(crate) start_time: u64,
}

impl Named {
    /// The name of a child that is running, or that nobody has reaped yet.
    pub(crate) fn of(child: &Child, boot_id: &str) -> Option<Self> {
        let (pid, boot_id) = (child.pid(), boot_id.to_owned());
        Some(Self { boot_id, pid, start_time: procfs::start_time(pid)? })
    }

    /// The process, if it is still there.
    pub(crate) fn find(&self, boot_id: &str) -> Option<Child> {
        // The pidfd first, the start time second: then what was looked at is what the pidfd names.
        let child = (self.boot_id == boot_id).then(|| Child::open(self.pid))?.ok()?;
        (procfs::start_time(self.pid) == Some(self.start_time)).then_some(child)
    }
}

/// One tree's traces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The tree's name.
    pub(crate) name: String,
    /// Its init.
    pub(crate) init: Named,
    /// Whether that init has no PID namespace.
    pub(crate) bare: bool,
    /// Its cgroup.
    pub(crate) cgroup: Option<PathBuf>,
    /// Its scratch folder.
    pub(crate) scratch: Option<PathBuf>,
    /// Its socket.
    pub(crate) socket: Option<PathBuf>,
}

/// A process of the warden's own that is no tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Servant {
    Front,
    Keeper,
}

impl Servant {
    pub(crate) const ALL: [Self; 2] = [Self::Front, Self::Keeper];

    fn file(self) -> &'static str {
        match self {
            Self::Front => "front.json",
            Self::Keeper => "keeper.json",
        }
    }
}

/// What a pipe is called, where that is not yet the name by which its tree is known. Its ends can be
/// used without; one that never gets its name is removed.
#[derive(Debug)]
pub(crate) struct Unnamed {
    now: Option<PathBuf>,
    to_be: PathBuf,
}

impl Unnamed {
    pub(crate) fn name(mut self) -> io::Result<()> {
        self.now.as_ref().map_or(Ok(()), |now| fs::rename(now, &self.to_be))?;
        self.now = None;
        Ok(())
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(now) = &self.now {
            // Else the next start does it.
            let _ = fs::remove_file(now);
        }
    }
}

/// Where traces are: `{run_dir}/launches`, `{run_dir}/output`, the servants' records, and
/// `{run_dir}/trash` for what takes long to remove. `{run_dir}/spare` is for the next launch.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    launches: PathBuf,
    output: PathBuf,
    trash: PathBuf,
    spares: Spares,
    /// Empties the trash, while there is something in it.
    sweeper: RefCell<Option<Child>>,
    discarded: Cell<u64>,
}

impl RunDir {
    /// Makes the folders where they are missing.
    pub(crate) fn open(run_dir: &Path) -> io::Result<Self> {
        make_private_folder(run_dir)?;
        let folders = Self {
            path: run_dir.into(),
            launches: run_dir.join("launches"),
            output: run_dir.join("output"),
            trash: run_dir.join("trash"),
            spares: Spares::open(run_dir.join("spare"))?,
            sweeper: RefCell::new(None),
            discarded: Cell::new(0),
        };
        for folder in [&folders.launches, &folders.output, &folders.trash] {
            make_private_folder(folder)?;
        }
        folders.tend_trash();
        Ok(folders)
    }

    /// Removes a folder with all that is in it; none there is no error. What a tenant has
    /// filled is only moved out of the way here: taking it apart may take long.
    pub(crate) fn discard(&self, folder: &Path) -> io::Result<()> {
        match fs::remove_dir(folder) {
            Err(why) if why.kind() == ErrorKind::DirectoryNotEmpty => {}
            done => return unless_missing(done),
        }
        let number = self.discarded.replace(self.discarded.get() + 1);
        let name = format!("{}-{number}", std::process::id());
        fs::rename(folder, self.trash.join(name))?;
        self.tend_trash();
        Ok(())
    }

    /// Sees to it that somebody empties the trash. Called again whenever a child has ended.
    pub(crate) fn tend_trash(&self) {
        let mut sweeper = self.sweeper.borrow_mut();
        match sweeper.as_ref().map(Child::try_wait) {
            Some(Ok(None)) => return,
            Some(Ok(Some(status))) if status.exit_status() == Some(0) => {}
            None => {}
            Some(ended) => {
                // Left for the next start, or for whoever reads this.
                tracing::warn!(?ended, trash = %self.trash.display(), "cannot be emptied");
                *sweeper = None;
                return;
            }
        }
        *sweeper = None;
        let is_empty = fs::read_dir(&self.trash).map(|mut entries| entries.next().is_none());
        if is_empty.unwrap_or(true) {
            return;
        }
        match empty_in_child(&self.trash) {
            Ok(child) => *sweeper = Some(child),
            Err(error) => tracing::warn!(%error, "nobody can empty the trash"),
        }
    }

    /// Removes the run dirs beside this one. They are of earlier boots, whose processes are
    /// gone whatever is written there: a power cut may have left it half written.
    pub(crate) fn discard_other_boots(&self, run_dir: &Path) -> io::Result<()> {
        let (Some(parent), Some(own)) = (run_dir.parent(), run_dir.file_name()) else {
            return Ok(());
        };
        for entry in fs::read_dir(parent)? {
            let entry = entry?;
            let name = entry.file_name();
            // Named by a boot id's beginning, as run dirs are: nothing else is ours to remove.
            let is_run_dir = name.len() == 8 && name.as_bytes().iter().all(u8::is_ascii_hexdigit);
            if is_run_dir && name != own && entry.file_type()?.is_dir() {
                self.discard(&entry.path())?;
            }
        }
        Ok(())
    }

    /// The pid of whoever empties the trash.
    pub(crate) fn sweeper(&self) -> Option<u32> {
        self.sweeper.borrow().as_ref().map(Child::pid)
    }

    /// Where a tree's stdout and stderr pipes are.
    pub(crate) fn pipes(&self, name: &str) -> [PathBuf; 2] {
        ["out", "err"].map(|stream| self.output.join(format!("{name}.{stream}")))
    }

    /// A pipe for a tree's name, both ends. One that is there already is used again: see `remove`.
    pub(crate) fn make_pipe(&self, path: &Path) -> io::Result<(Fifo, Option<Unnamed>)> {
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
            return Ok((open_fifo(path)?, None));
        }
        match self.spares.open_pipe()? {
            Some((now, pipe)) => Ok((pipe, Some(Unnamed { now: Some(now), to_be: path.into() }))),
            None => Ok((make_fifo(path)?, None)),
        }
    }

    /// Makes an empty scratch folder. One that this tree's name has already is used again where
    /// it is empty: see `remove`.
    pub(crate) fn make_scratch(&self, path: &Path) -> io::Result<()> {
        if is_empty(path) {
            return Ok(());
        }
        self.discard(path)?;
        make_parents(path)?;
        if self.spares.take_folder(path)? {
            return Ok(());
        }
        make_private_folder(path)
    }

    /// Writes a tree's record.
    pub(crate) fn write(&self, record: &Record) -> io::Result<()> {
        let (path, mut content) = (self.record(&record.name), serde_json::to_vec(record)?);
        // Blanks after a value say nothing, and keep their place for the next record.
        content.resize(content.len().max(RECORD), b' ');
        if self.spares.take_record(&content, &path)? {
            return Ok(());
        }
        write_bytes(&path, &content)
    }

    /// Writes a servant's record.
    pub(crate) fn write_servant(&self, servant: Servant, named: &Named) -> io::Result<()> {
        write_whole(&self.path.join(servant.file()), named)
    }

    /// A servant's record, if there is one.
    pub(crate) fn servant(&self, servant: Servant) -> io::Result<Option<Named>> {
        match fs::read(self.path.join(servant.file())) {
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
            read => Ok(Some(serde_json::from_slice(&read?)?)),
        }
    }

    /// Removes the servants' records.
    pub(crate) fn remove_servants(&self) -> io::Result<()> {
        Servant::ALL.iter().try_for_each(|servant| remove_file(&self.path.join(servant.file())))
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
    ///
    /// On a full disk its pipes stay, and its scratch folder where that is empty: they could not be
    /// made again. Only a tree of the same name gets them.
    pub(crate) fn remove(
        &self,
        name: &str,
        scratch: Option<&Path>,
        socket: Option<&Path>,
    ) -> io::Result<()> {
        let [stdout, stderr] = self.pipes(name);
        let refilled = self.spares.refill();
        let full = matches!(&refilled, Err(why) if is_full(why));
        let remove_pipe = |pipe| if full { Ok(()) } else { remove_file(pipe) };
        let removed = [
            remove_pipe(&stdout),
            remove_pipe(&stderr),
            // Before the folder that it may lie in, which then often is empty.
            socket.map_or(Ok(()), remove_socket),
            match scratch {
                Some(folder) if full && is_empty(folder) => Ok(()),
                Some(folder) => self.discard(folder),
                None => Ok(()),
            },
        ];
        removed.into_iter().collect::<io::Result<()>>()?;
        let record = self.record(name);
        if !matches!(self.spares.keep_record(&record), Ok(true)) {
            remove_file(&record)?;
        }
        if full { Ok(()) } else { refilled }
    }

    /// Removes what is kept for the next launches.
    pub(crate) fn remove_spares(&self) -> io::Result<()> {
        self.remove_stray_pipes().and_then(|()| self.spares.remove())
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

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Writes a file, whole or not at all.
fn write_whole(path: &Path, content: &impl Serialize) -> io::Result<()> {
    write_bytes(path, &serde_json::to_vec(content)?)
}

fn write_bytes(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let written = fs::write(&draft, content).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // Half of one takes room, and says nothing.
        remove_file(&draft)?;
    }
    written
}

/// Makes a folder for this user alone, and its parents for everyone, where they are missing.
pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    let folder = |recursive| DirBuilder::new().recursive(recursive).mode(0o700).create(path);
    match folder(false) {
        Err(why) if why.kind() == ErrorKind::NotFound => make_parents(path)?,
        // Mostly it is there.
        Err(why) if why.kind() == ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        made => return made,
    }
    folder(true)
}

fn make_parents(path: &Path) -> io::Result<()> {
    let parent = path.parent();
    parent.map_or(Ok(()), |parent| DirBuilder::new().recursive(true).mode(0o755).create(parent))
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
