//! Data of instances: given up with a stop or a removal, listed, and brought back.

use std::{io, os::fd::OwnedFd};

use jiff::Timestamp;
use ten_domain::{InstanceName, State};
use ten_kernel::Storage;
use ten_warden::Pending;
use tokio::sync::oneshot;

use super::Fleet;
use crate::{
    Denied, Done,
    data::{Import, PutBack, Reason, Trashed},
    driver::{Command, Verb},
};

/// How a stop or a removal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whether it made a difference.
    pub done: Done,
    /// Where its data are now, if they were moved.
    pub trashed: Option<Trashed>,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What came back.
    pub restored: Trashed,
    /// What it took the place of, if there were data.
    pub replaced: Option<Trashed>,
}

impl Fleet {
    /// Drains and stops like [`Fleet::stop`]; then its data go to the trash, unless its service
    /// says `storage_persist`.
    pub async fn stop_and_discard(&self, name: InstanceName) -> Result<Ended, Denied> {
        self.end(name, Reason::Stop).await
    }

    /// Stops and forgets like [`Fleet::remove`]; then its data go to the trash, unless its
    /// service says `storage_persist`.
    pub async fn remove_and_discard(&self, name: InstanceName) -> Result<Ended, Denied> {
        self.end(name, Reason::Remove).await
    }

    async fn end(&self, name: InstanceName, reason: Reason) -> Result<Ended, Denied> {
        let verb = |discard| match reason {
            Reason::Remove => Verb::Remove(discard),
            Reason::Stop | Reason::Replace | Reason::Backup => Verb::Stop(discard),
        };
        let keeps = self.config.services.get(&name.service).is_none_or(|spec| spec.storage_persist);
        let entry = self.published.get(&name).filter(|_| !keeps);
        let Some(entry) = entry else {
            let done = self.operate(name, verb(None), true).await?;
            return Ok(Ended { done, trashed: None });
        };
        let slept = entry.status.load().state == State::Sleeping;
        let (discard, discarding) = self.data.prepare(&name, reason).await?;
        let done = self.operate(name, verb(Some(discard)), true).await;
        let trashed = discarding.end().await?;
        let done = match done? {
            _ if slept && reason == Reason::Stop && trashed.is_none() => Done::AlreadySo,
            done => done,
        };
        Ok(Ended { done, trashed })
    }

    /// What is in the trash, of one instance or of all; the oldest of each first.
    pub async fn trash(&self, of: Option<&InstanceName>) -> Result<Vec<Trashed>, Denied> {
        self.data.list(of).await
    }

    /// Brings the newest data back that were given up, or the newest that were by `at`. An
    /// instance that was removed is known again. With `replace`, data that it has now go to the
    /// trash; without, they are a reason to refuse, as is an instance that does not sleep.
    pub async fn restore(
        &self,
        name: InstanceName,
        at: Option<Timestamp>,
        replace: bool,
    ) -> Result<Restored, Denied> {
        let back = self.data.find(&name, at).await?;
        self.put_back(name, back, replace).await
    }

    async fn put_back(
        &self,
        name: InstanceName,
        mut back: PutBack,
        replace: bool,
    ) -> Result<Restored, Denied> {
        let restored = back.trashed().clone();
        let mut replacing = None;
        if replace {
            let (discard, discarding) = self.data.prepare(&name, Reason::Replace).await?;
            back.replaced = Some(discard);
            replacing = Some(discarding);
        }
        let (reply, done) = oneshot::channel();
        let command = Command::Restore { name: name.clone(), back, reply };
        let done = self.ask(&name, command, done).await;
        let replaced = match replacing {
            Some(replacing) => replacing.end().await?,
            None => None,
        };
        done?;
        self.data.sync(&restored).await?;
        Ok(Restored { restored, replaced })
    }

    /// Where the data of an instance are that is known, whether there are any or not.
    pub fn places(&self, name: &InstanceName) -> Result<Storage, Denied> {
        if self.published.get(name).is_none() {
            return Err(Denied::UnknownInstance(name.clone()));
        }
        self.data.places(name)
    }

    /// Packs data of an instance into an archive, which is written to a pipe.
    pub fn pack(&self, storage: &Storage, archive: &OwnedFd) -> io::Result<Pending> {
        self.data.pack(storage, archive)
    }

    /// Begins to bring data of an instance from elsewhere, where [`Fleet::restore`] would not
    /// refuse. Whoever fills it ([`Import::unpack`]) then calls [`Fleet::end_import`].
    pub async fn import(&self, name: &InstanceName, replace: bool) -> Result<Import, Denied> {
        if !self.config.services.contains_key(&name.service) {
            return Err(Denied::UnknownService(name.service.clone()));
        }
        let state = self.published.get(name).map(|entry| entry.status.load().state);
        if !matches!(state, None | Some(State::Sleeping | State::Failed)) {
            return Err(Denied::Awake(name.clone()));
        }
        if !replace && self.data.exist(name).await? {
            return Err(Denied::HasData(name.clone()));
        }
        self.data.prepare_import(name).await
    }

    /// Gives an instance what was imported, by the rules of [`Fleet::restore`].
    pub async fn end_import(
        &self,
        name: InstanceName,
        import: Import,
        replace: bool,
    ) -> Result<Restored, Denied> {
        let imported = import.end().await?;
        let back = self.data.back(imported.clone());
        let restored = self.put_back(name, back, replace).await;
        if restored.is_err() {
            self.data.forget(imported).await;
        }
        restored
    }
}
