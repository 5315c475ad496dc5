//! Reading the data of a tree that runs, or of one that does not, without starting it.

use std::{os::fd::OwnedFd, path::PathBuf};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
    thread::{UnshareFlags, unshare_unsafe},
};

use super::{BEFORE, data_dir, failed, is_there, make_home, moved, open, plain};
use crate::{
    failure::{Failure, Step},
    plan::Storage,
    walls,
};

/// Where data can be read, as long as this is held.
#[derive(Debug)]
pub struct Seen {
    /// For each folder of the storage, its path for this process; whether it exists or not.
    pub folders: Vec<PathBuf>,
    /// Keeps folders in their places.
    _locks: Vec<OwnedFd>,
}

/// Finds the data of a tree, and mounts its image where it has one, in a mount namespace that
/// becomes this process's own. It must have one thread; `storage.limit` is not looked at.
pub fn look_into(storage: &Storage) -> Result<Seen, Failure> {
    let storage = &Storage { limit: None, ..storage.clone() };
    if !is_there(storage).map_err(failed(&storage.home))? {
        if let Some(seen) = plainly(storage)? {
            return Ok(seen);
        }
        // Somebody is making an image, or was killed meanwhile: the lock is waited for.
        let lock = make_home(&storage.home).map_err(failed(&storage.home))?;
        flock(&lock, FlockOperation::LockShared).map_err(failed(&storage.home))?;
        if !is_there(storage).map_err(failed(&storage.home))? {
            // Each is where it was, or aside already.
            let aside = moved(storage, &storage.home.join(BEFORE))?.into_iter();
            let found = aside.zip(&storage.folders);
            let found = found.map(|(aside, own)| if aside.exists() { aside } else { own.clone() });
            return Ok(Seen { folders: found.collect(), _locks: vec![lock] });
        }
    }
    let outside = data_dir(storage)?;
    // SAFETY: a mount namespace changes what paths mean, and no memory or descriptor.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(Failure::of(Step::PrivateMounts))?;
    walls::part_mounts()?;
    let root = open(storage, &outside)?;
    Ok(Seen { folders: moved(storage, &storage.home)?, _locks: vec![root] })
}

/// The folders themselves, kept from becoming an image; `None` where they are about to.
fn plainly(storage: &Storage) -> Result<Option<Seen>, Failure> {
    let data = data_dir(storage)?;
    let mut locks = Vec::new();
    for path in &storage.folders {
        let Some(folder) = plain(storage, &data, path)? else { continue };
        match flock(&folder, FlockOperation::NonBlockingLockShared) {
            // Who has locked it is either making an image, which is seen below, or a program of
            // the tree: none is made while that runs.
            Ok(()) | Err(Errno::WOULDBLOCK) => locks.push(folder),
            Err(errno) => return Err(failed(path)(errno)),
        }
    }
    let moved =
        storage.home.join(BEFORE).exists() || is_there(storage).map_err(failed(&storage.home))?;
    Ok((!moved).then(|| Seen { folders: storage.folders.clone(), _locks: locks }))
}
