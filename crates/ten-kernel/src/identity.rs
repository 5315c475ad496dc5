//! As whom a tree runs, and that its folders are that user's.

mod others;

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, fchown, fstat, open, openat},
    io::Errno,
    process::{getegid, geteuid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use crate::{
    cage::FRONT_USERS,
    failure::{Failure, Step},
    launch::Given,
    plan::{LaunchPlan, User, Walls},
};

/// Uids for trees that share theirs with nobody: the part of the range of positive numbers
/// that neither users, nor containers, nor systemd use (systemd's UIDS-GIDS).
const OWN: std::ops::Range<u32> = 0x7000_0000..FRONT_USERS.start;

/// Credentials that are complete.
#[derive(Debug)]
pub(crate) struct Identity {
    uid: Uid,
    gid: Gid,
    /// `None`: those of the launcher.
    groups: Option<Vec<Gid>>,
}

impl Identity {
    /// Whom the plan means; `None` where that is the launcher and nothing needs to change.
    /// Called by the launcher, of which there is one at a time: two trees never take one uid.
    pub(crate) fn of(plan: &LaunchPlan) -> Result<Option<Self>, Failure> {
        let root = geteuid().is_root();
        let (uid, gid, groups) = match &plan.user {
            // Without capabilities root is an owner like any other, so a folder that was
            // somebody else's would be closed to it.
            User::Inherit if root && plan.walls != Walls::Bare => {
                return Ok(Some(Self { uid: geteuid(), gid: getegid(), groups: None }));
            }
            User::Inherit => return Ok(None),
            _ if !root => return Err(Failure::of(Step::User)(Errno::PERM)),
            User::Named { uid, gid, groups } => (*uid, *gid, groups.clone()),
            User::Own { ledger } => {
                let uid = own(plan, ledger)?;
                (uid, uid, Vec::new())
            }
        };
        let groups = groups.into_iter().map(Gid::from_raw).collect();
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        Ok(Some(Self { uid, gid, groups: Some(groups) }))
    }

    /// Whether nobody else's files are in the folders that [`Self::give`] would give away. No plan
    /// that is right names such a folder: this is for what others have left, under a config of
    /// earlier times, in a place that has become this instance's.
    pub(crate) fn refuse_others(&self, plan: &LaunchPlan) -> Result<(), Failure> {
        let Some(storage) = &plan.storage else { return Ok(()) };
        for folder in &plan.folders {
            others::refuse(folder, self.uid.as_raw(), plan, &storage.data_dir)?;
        }
        Ok(())
    }

    /// Gives the tree what must be its own: folders, pipes (which a program may open again
    /// as /dev/stdout), and the scratch folder.
    pub(crate) fn give(
        &self,
        plan: &LaunchPlan,
        given: &Given<'_>,
        shown: &[(PathBuf, OwnedFd)],
    ) -> Result<(), Failure> {
        for path in plan.folders.iter().chain(&plan.scratch) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let given =
                open(path, flags, Mode::empty()).and_then(|folder| self.give_folder(&folder));
            given.map_err(Failure::on(Step::Owner, path))?;
        }
        for (path, folder) in shown {
            self.give_folder(folder).map_err(Failure::on(Step::Owner, path))?;
        }
        for pipe in [given.stdout, given.stderr] {
            let is_fifo = fstat(pipe).map(|meta| FileType::from_raw_mode(meta.st_mode).is_fifo());
            if is_fifo.map_err(Failure::of(Step::Owner))? {
                fchown(pipe, Some(self.uid), Some(self.gid)).map_err(Failure::of(Step::Owner))?;
            }
        }
        Ok(())
    }

    /// The user and the group of this number, and no other.
    fn alone(user: u32) -> Self {
        let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
        Self { uid, gid, groups: Some(Vec::new()) }
    }

    /// A folder of somebody else's with all that is in it, itself last: where that is
    /// interrupted, the next launch does it again.
    fn give_folder(&self, folder: &OwnedFd) -> Result<(), Errno> {
        match fstat(folder)?.st_uid == self.uid.as_raw() {
            true => Ok(()),
            false => self.give_all(folder),
        }
    }

    fn give_all(&self, folder: &OwnedFd) -> Result<(), Errno> {
        self.give_content(folder)?;
        fchown(folder, Some(self.uid), Some(self.gid))
    }

    /// Never follows a link, so that nothing outside can be given away by what a tenant
    /// left. One descriptor a level: a tree too deep for that is an error.
    fn give_content(&self, folder: &impl std::os::fd::AsFd) -> Result<(), Errno> {
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if [c".", c".."].contains(&name) {
                continue;
            }
            if entry.file_type().is_dir() {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                self.give_content(&openat(folder, name, flags, Mode::empty())?)?;
            }
            let (uid, gid) = (Some(self.uid), Some(self.gid));
            chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    /// Takes it on for good. All capabilities but the bounding set go with a change from
    /// root to another user (capabilities(7)).
    pub(crate) fn take_on(&self) -> Result<(), Errno> {
        let Some(groups) = &self.groups else { return Ok(()) };
        set_thread_groups(groups)?;
        set_thread_res_gid(self.gid, self.gid, self.gid)?;
        set_thread_res_uid(self.uid, self.uid, self.uid)
    }
}

/// Gives a folder with all that is in it to a user and the group of the same number, whoever had
/// it before.
pub fn hand_over(folder: &Path, user: u32) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(Identity::alone(user).give_all(&open(folder, flags, Mode::empty())?)?)
}

/// The uid of a tree that shares it with nobody: the owner of its first folder, or the next
/// one that was never given to any.
///
/// The ledger is an empty file whose owner is the highest uid ever given: read with one
/// call, changed with one, never half written, and in the journal before the folder's own
/// change. Where it was lost, the owners of the folders beside it tell.
fn own(plan: &LaunchPlan, ledger: &Path) -> Result<u32, Failure> {
    let failed = Failure::on(Step::Owner, ledger);
    let folder = plan.folders.first().ok_or(Errno::INVAL).map_err(Failure::of(Step::Owner))?;
    let owner = rustix::fs::lstat(folder).map_err(Failure::on(Step::Owner, folder))?.st_uid;
    if OWN.contains(&owner) {
        return Ok(owner);
    }
    let next = (|| {
        let highest = match rustix::fs::lstat(ledger) {
            Ok(meta) if OWN.contains(&meta.st_uid) => meta.st_uid,
            // Lost, or just made by somebody who came no further.
            Ok(_) | Err(Errno::NOENT) => highest_beside(ledger),
            Err(errno) => return Err(errno),
        };
        let next = if OWN.contains(&highest) { highest + 1 } else { first() };
        if !OWN.contains(&next) {
            return Err(Errno::USERS);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let ledger = open(ledger, flags, Mode::empty())?;
        fchown(&ledger, Some(Uid::from_raw(next)), None)?;
        Ok(next)
    })();
    next.map_err(failed)
}

/// Where a server begins to give them out: somewhere in the lower half, so that the instances of two
/// servers on one host, which hide nothing of each other's, are strangers.
fn first() -> u32 {
    let half = u64::from(OWN.end - OWN.start) / 2;
    OWN.start + (RandomState::new().build_hasher().finish() % half) as u32
}

/// The highest owner of a folder two levels below the ledger's: `{data_dir}/{service}/{id}`.
fn highest_beside(ledger: &Path) -> u32 {
    let owners = ledger.parent().into_iter().flat_map(owners).map(|(_, uid)| uid);
    owners.filter(|uid| OWN.contains(uid)).max().unwrap_or(0)
}

/// The folders two levels below this one, `{data_dir}/{service}/{id}`, and whose they are.
fn owners(data_dir: &Path) -> impl Iterator<Item = (PathBuf, u32)> {
    let list = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    let instances = list(data_dir).flat_map(move |service| list(&service.path()));
    instances.filter_map(|instance| Some((instance.path(), instance.metadata().ok()?.uid())))
}
