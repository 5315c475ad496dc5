//! Data that come from elsewhere, such as a backup: they are put together in the trash, where
//! nobody sees half of them, and take the way back from there.

use std::{io, os::fd::OwnedFd, sync::Arc, thread};

use ten_domain::InstanceName;
use ten_kernel::NewEntry;
use ten_warden::Pending;

use super::{Data, Reason, Trashed, blocking, not_moved};
use crate::Denied;

/// An entry of the trash that is being filled from outside, to be put back from there. Dropped
/// before it is whole, it is removed.
#[derive(Debug)]
pub struct Import {
    data: Arc<Data>,
    entry: Option<NewEntry>,
    trashed: Trashed,
}

impl Import {
    /// Begins to unpack an archive, read from a pipe: its folders have numbers as names, in their
    /// order.
    pub fn unpack(&self, archive: &OwnedFd) -> io::Result<Pending> {
        let entry = self.entry.as_ref().ok_or(io::ErrorKind::NotFound)?;
        self.data.trash.unpack(entry, self.trashed.folders.len(), archive)
    }

    /// Makes an entry of it; there were data, or it is none.
    pub(crate) async fn end(mut self) -> Result<Trashed, Denied> {
        let Some(entry) = self.entry.take() else { return Err(self.nothing()) };
        let data = Arc::clone(&self.data);
        let whole = blocking(move || data.trash.complete(&entry)).await;
        match whole.map_err(|error| not_moved(&self.trashed.instance, &error))? {
            true => Ok(self.trashed.clone()),
            false => Err(self.nothing()),
        }
    }

    fn nothing(&self) -> Denied {
        Denied::NotInTrash(self.trashed.instance.clone())
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        let data = Arc::clone(&self.data);
        // It may hold much, and whoever gave it up does not wait.
        let abandon = move || {
            if let Err(error) = data.trash.abandon(&entry) {
                tracing::warn!(entry = entry.name(), "cannot be removed: {error}");
            }
        };
        if let Err(error) = thread::Builder::new().name("ten-trash".into()).spawn(abandon) {
            tracing::warn!("half a backup is left in the trash: {error}");
        }
    }
}

impl Data {
    /// Makes an entry for the data of an instance that come from elsewhere.
    pub(crate) async fn prepare_import(
        self: &Arc<Self>,
        name: &InstanceName,
    ) -> Result<Import, Denied> {
        let (data, owner) = (Arc::clone(self), name.clone());
        let prepared = blocking(move || data.make_entry(&owner, Reason::Backup)).await;
        let (entry, trashed) = prepared.map_err(|error| not_moved(name, &error))?;
        Ok(Import { data: Arc::clone(self), entry: Some(entry), trashed })
    }

    /// Removes an entry for good, now.
    pub(crate) async fn forget(self: &Arc<Self>, trashed: Trashed) {
        let data = Arc::clone(self);
        let purged = blocking(move || data.trash.purge(&trashed.entry)).await;
        if let Err(error) = purged {
            tracing::warn!("cannot be removed from the trash: {error}");
        }
    }
}
