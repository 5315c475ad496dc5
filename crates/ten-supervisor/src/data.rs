//! What becomes of an instance's data where an operator gives them up: they go to the trash,
//! come back from there, or are removed for good after `trash_retention`.
//!
//! ```text
//! Fleet: prepare an entry ─► driver: stop, then Discard::carry_out ─► Fleet: sync, answer
//! Fleet: find an entry    ─► driver: PutBack::carry_out            ─► Fleet: sync, answer
//! ```
//!
//! All of it is done by the keeper ([`Keeper`]), whom the folders are open to. What may take long
//! (finding, writing, syncing, purging) is asked for here, on threads that may block; the driver
//! only has renamed, at a moment when nothing of the instance runs and before
//! anything starts again. Nobody else in this crate touches data: sleep, crash, restart,
//! rollout and shutdown have no way to.

mod import;
mod purge;

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, SyncSender},
    },
    thread,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use ten_domain::{Config, InstanceName};
use ten_kernel::{NewEntry, PutBackError, Storage};
use ten_runtime::Ground;
use ten_warden::{Keeper, Pending};
use tokio::sync::oneshot;

pub use self::import::Import;
use crate::Denied;

/// Stands between the instance and the time in an entry's name.
const AT: char = '@';

/// Why data were moved to the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The instance was stopped.
    Stop,
    /// It was removed.
    Remove,
    /// Other data took their place.
    Replace,
    /// They came out of a backup, on their way to the instance.
    Backup,
}

impl Reason {
    /// The word of the command.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Remove => "rm",
            Self::Replace => "restore",
            Self::Backup => "backup",
        }
    }
}

/// Data in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trashed {
    /// What the entry is called: the instance, `@`, and the time.
    pub entry: String,
    /// Whose they are.
    pub instance: InstanceName,
    /// When they were given up.
    pub at: Timestamp,
    /// Until when they can be brought back.
    pub until: Timestamp,
    /// Why.
    pub reason: Reason,
    /// Where they were, below the data folder.
    pub folders: Vec<PathBuf>,
}

/// The note of an entry. Its name says when.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    instance: String,
    reason: Reason,
    folders: Vec<PathBuf>,
}

/// All that is known of the data of instances.
#[derive(Debug)]
pub(crate) struct Data {
    trash: Arc<Keeper>,
    ground: Ground,
    config: Arc<Config>,
    /// Something new may have to be removed earlier than all else.
    changed: SyncSender<()>,
}

/// The order to move an instance's data to the trash, once nothing of it runs.
#[derive(Debug)]
pub(crate) struct Discard {
    data: Arc<Data>,
    entry: Arc<NewEntry>,
    folders: Vec<PathBuf>,
    moved: oneshot::Sender<io::Result<bool>>,
}

impl Discard {
    /// Renames and nothing else. Where one of them fails, all stay where they were.
    pub(crate) fn carry_out(self) {
        let moved = self.fill();
        if moved.is_err() {
            self.undo();
        }
        self.tell(moved);
    }

    fn fill(&self) -> io::Result<bool> {
        self.data.trash.fill(&self.entry, &self.folders)
    }

    /// Takes back what was moved; the answer is whether anything is left in the trash.
    fn undo(&self) -> bool {
        match self.data.trash.put_back(self.entry.name(), &self.folders) {
            Ok(()) | Err(PutBackError::NoEntry) => false,
            Err(error) => {
                tracing::error!(entry = self.entry.name(), "stays in the trash: {error}");
                true
            }
        }
    }

    fn tell(self, moved: io::Result<bool>) {
        // Whoever asked may have stopped waiting.
        let _ = self.moved.send(moved);
    }
}

/// What becomes of a [`Discard`].
#[derive(Debug)]
pub(crate) struct Discarding {
    data: Arc<Data>,
    entry: Arc<NewEntry>,
    trashed: Trashed,
    moved: oneshot::Receiver<io::Result<bool>>,
}

impl Discarding {
    /// The end of it, on the disk; `None` where there were no data, or nobody moved them.
    pub(crate) async fn end(self) -> Result<Option<Trashed>, Denied> {
        let Self { data, entry, trashed, moved, .. } = self;
        let moved = match moved.await {
            Ok(moved) => moved,
            // The order was refused; the entry would stay until the next start.
            Err(_) => {
                let data = Arc::clone(&data);
                blocking(move || data.trash.conclude(&entry)).await
            }
        };
        if !moved.map_err(|error| not_moved(&trashed.instance, &error))? {
            return Ok(None);
        }
        // Where one such word waits to be heard, a second says no more.
        let _ = data.changed.try_send(());
        data.sync(&trashed).await?;
        Ok(Some(trashed))
    }
}

/// The order to bring data back.
#[derive(Debug)]
pub(crate) struct PutBack {
    data: Arc<Data>,
    trashed: Trashed,
    /// Moves what is there out of the way.
    pub(crate) replaced: Option<Discard>,
}

impl PutBack {
    /// What it brings back.
    pub(crate) fn trashed(&self) -> &Trashed {
        &self.trashed
    }

    /// Renames and nothing else. The instance has no process. Where it fails, the instance has
    /// the data that it had before.
    pub(crate) fn carry_out(mut self) -> Result<(), Denied> {
        let Some(discard) = self.replaced.take() else { return self.put_back() };
        let (moved, done) = match discard.fill() {
            Ok(moved) => (moved, self.put_back()),
            Err(error) => (true, Err(not_moved(&self.trashed.instance, &error))),
        };
        let moved = if done.is_err() { discard.undo() } else { moved };
        discard.tell(Ok(moved));
        done
    }

    fn put_back(&self) -> Result<(), Denied> {
        let instance = &self.trashed.instance;
        let in_the_way = self.data.is_in_the_way(&self.trashed);
        if in_the_way.map_err(|error| not_moved(instance, &error))? {
            return Err(Denied::HasData(instance.clone()));
        }
        let put_back = self.data.trash.put_back(&self.trashed.entry, &self.trashed.folders);
        put_back.map_err(|error| match error {
            PutBackError::NoEntry => Denied::NotInTrash(instance.clone()),
            PutBackError::Occupied { .. } => Denied::HasData(instance.clone()),
            PutBackError::Io(error) => not_moved(instance, &error),
        })
    }
}

impl Data {
    /// Takes over the trash, and begins to remove what was in it long enough.
    pub(crate) fn start(trash: Arc<Keeper>, ground: Ground, config: Arc<Config>) -> Arc<Self> {
        let (changed, changes) = mpsc::sync_channel(1);
        let data = Arc::new(Self { trash, ground, config, changed });
        let tended = Arc::downgrade(&data);
        let tend = move || Self::tend(&tended, &changes);
        if let Err(error) = thread::Builder::new().name("ten-trash".into()).spawn(tend) {
            tracing::error!("nobody can empty the trash: {error}");
        }
        data
    }

    /// Prepares to move the data of an instance to the trash.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        name: &InstanceName,
        reason: Reason,
    ) -> Result<(Discard, Discarding), Denied> {
        let (data, owner) = (Arc::clone(self), name.clone());
        let prepared = blocking(move || data.make_entry(&owner, reason)).await;
        let (entry, trashed) = prepared.map_err(|error| not_moved(name, &error))?;
        let (moved, end) = oneshot::channel();
        let (data, folders) = (Arc::clone(self), trashed.folders.clone());
        let entry = Arc::new(entry);
        let discard = Discard { data: Arc::clone(self), entry: Arc::clone(&entry), folders, moved };
        Ok((discard, Discarding { data, entry, trashed, moved: end }))
    }

    fn make_entry(&self, name: &InstanceName, reason: Reason) -> io::Result<(NewEntry, Trashed)> {
        let mut folders = self.folders(name)?;
        match reason {
            // No image: nobody else is to make what this kernel mounts.
            Reason::Backup => {}
            Reason::Stop | Reason::Remove | Reason::Replace => {
                folders.push(self.below(&self.storage(name)?.home)?);
            }
        }
        let note = Note { instance: name.to_string(), reason, folders };
        let text = serde_json::to_vec(&note)?;
        loop {
            let now = Timestamp::now();
            let entry = format!("{name}{AT}{now:.3}");
            let prepared = match reason {
                Reason::Backup => self.trash.prepare_import(entry, &text),
                Reason::Stop | Reason::Remove | Reason::Replace => self.trash.prepare(entry, &text),
            };
            match prepared {
                // Another command on it in the same millisecond: the next one is free.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(entry) => {
                    let trashed = self.read(entry.name(), &text);
                    let trashed = trashed.ok_or(io::ErrorKind::InvalidData)?;
                    return Ok((entry, trashed));
                }
            }
        }
    }

    /// Where the data of an instance are.
    pub(crate) fn places(&self, name: &InstanceName) -> Result<Storage, Denied> {
        self.storage(name).map_err(|error| not_moved(name, &error))
    }

    /// Whether an instance has data, in its folders or in an image.
    pub(crate) async fn exist(self: &Arc<Self>, name: &InstanceName) -> Result<bool, Denied> {
        let (data, owner) = (Arc::clone(self), name.clone());
        let exist = blocking(move || data.has_any(&owner)).await;
        exist.map_err(|error| not_moved(name, &error))
    }

    fn has_any(&self, name: &InstanceName) -> io::Result<bool> {
        let Storage { folders, home, .. } = self.storage(name)?;
        let mut places = folders.iter().chain([&home]);
        places.try_fold(false, |any, folder| Ok(any || self.is_filled(folder)?))
    }

    /// Whether an instance would have data twice, in its folders and in an image. What is in the
    /// very places of the entry's own folders, the trash sees itself.
    fn is_in_the_way(&self, trashed: &Trashed) -> io::Result<bool> {
        match self.trash.holds_image(&trashed.entry)? {
            true => self.has_any(&trashed.instance),
            false => self.is_filled(&self.storage(&trashed.instance)?.home),
        }
    }

    fn is_filled(&self, folder: &Path) -> io::Result<bool> {
        self.trash.holds_data(&self.below(folder)?)
    }

    /// Removes folders of an instance that is forgotten, as far as they are empty. Does not wait.
    pub(crate) fn vacate(&self, folders: &[PathBuf]) {
        let below: Vec<_> = folders.iter().filter_map(|folder| self.below(folder).ok()).collect();
        if let Err(error) = self.trash.vacate(&below) {
            tracing::warn!("empty folders are left: {error}");
        }
    }

    /// Packs data of an instance, which are where [`Self::places`] says.
    pub(crate) fn pack(&self, storage: &Storage, archive: &OwnedFd) -> io::Result<Pending> {
        let folders = storage.folders.iter().map(|folder| self.below(folder));
        let folders = folders.collect::<io::Result<Vec<_>>>()?;
        self.trash.pack(self.below(&storage.home)?, folders, archive)
    }

    fn storage(&self, name: &InstanceName) -> io::Result<Storage> {
        let spec = self.config.services.get(&name.service).ok_or(io::ErrorKind::NotFound)?;
        ten_runtime::data(&self.ground, spec, name).map_err(io::Error::other)
    }

    /// The folders of an instance below the data folder.
    fn folders(&self, name: &InstanceName) -> io::Result<Vec<PathBuf>> {
        let storage = self.storage(name)?;
        storage.folders.iter().map(|folder| self.below(folder)).collect()
    }

    fn below(&self, folder: &Path) -> io::Result<PathBuf> {
        let below = folder.strip_prefix(&self.ground.data_dir).map(Path::to_owned);
        below.map_err(io::Error::other)
    }

    /// Prepares to bring back data of an instance: the newest, or those of this moment or the
    /// last before it.
    pub(crate) async fn find(
        self: &Arc<Self>,
        name: &InstanceName,
        at: Option<Timestamp>,
    ) -> Result<PutBack, Denied> {
        let own = self.list(Some(name)).await?;
        let newest = own.into_iter().rfind(|trashed| at.is_none_or(|at| trashed.at <= at));
        let trashed = newest.ok_or_else(|| Denied::NotInTrash(name.clone()))?;
        Ok(self.back(trashed))
    }

    /// Prepares to bring back just these.
    pub(crate) fn back(self: &Arc<Self>, trashed: Trashed) -> PutBack {
        PutBack { data: Arc::clone(self), trashed, replaced: None }
    }

    /// Sees to it that what was put back is on the disk.
    pub(crate) async fn sync(self: &Arc<Self>, trashed: &Trashed) -> Result<(), Denied> {
        let (data, moved) = (Arc::clone(self), trashed.clone());
        let synced = blocking(move || data.trash.sync(&moved.entry, &moved.folders)).await;
        synced.map_err(|error| not_moved(&trashed.instance, &error))
    }

    /// What is in the trash, of one instance or of all; the oldest of each first.
    pub(crate) async fn list(
        self: &Arc<Self>,
        of: Option<&InstanceName>,
    ) -> Result<Vec<Trashed>, Denied> {
        let data = Arc::clone(self);
        let entries = blocking(move || data.entries()).await;
        let mut entries = entries.map_err(|error| Denied::NoTrash(error.to_string()))?;
        entries.retain(|trashed| of.is_none_or(|name| trashed.instance == *name));
        entries.sort_by(|a, b| (&a.instance, a.at).cmp(&(&b.instance, b.at)));
        Ok(entries)
    }

    fn entries(&self) -> io::Result<Vec<Trashed>> {
        let entries = self.trash.entries()?.into_iter();
        let read = |(name, note): (String, Vec<u8>)| {
            let trashed = self.read(&name, &note);
            if trashed.is_none() {
                tracing::warn!(
                    entry = name,
                    "this entry of the trash was not made by ten; it stays"
                );
            }
            trashed
        };
        Ok(entries.filter_map(read).collect())
    }

    fn read(&self, entry: &str, note: &[u8]) -> Option<Trashed> {
        let Note { instance, reason, folders } = serde_json::from_slice(note).ok()?;
        let at: Timestamp = entry.rsplit_once(AT)?.1.parse().ok()?;
        let retention = SignedDuration::try_from(self.config.settings.trash_retention);
        let until = at.checked_add(retention.unwrap_or(SignedDuration::MAX));
        let until = until.unwrap_or(Timestamp::MAX);
        let instance = instance.parse().ok()?;
        Some(Trashed { entry: entry.to_owned(), instance, at, until, reason, folders })
    }
}

/// Runs what waits for the disk where waiting hinders nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn not_moved(instance: &InstanceName, error: &io::Error) -> Denied {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Denied::NoRoom(format!("the data of {instance} could not be moved: {error}"))
        }
        _ => Denied::NotMoved { instance: instance.clone(), reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests;
