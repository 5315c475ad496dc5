//! Whether files of another instance are in a folder that is to be given away.

use std::{
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, fstat, open, openat, statat},
    io::Errno,
};

use super::{OWN, owners};
use crate::{
    failure::{Failure, Step},
    plan::LaunchPlan,
};

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Looks at all that is in a folder, unless it is this user's already. A file counts as another
/// instance's where its owner is a user of one alone, who has an `{instance_dir}` in the data folder.
pub(super) fn refuse(
    folder: &Path,
    user: u32,
    plan: &LaunchPlan,
    data_dir: &Path,
) -> Result<(), Failure> {
    let mut strangers = Vec::new();
    let opened = open(folder, FOLDER, Mode::empty());
    let looked = opened.and_then(|opened| match fstat(&opened)?.st_uid == user {
        true => Ok(()),
        false => find(&opened, folder, user, &mut strangers),
    });
    looked.map_err(Failure::on(Step::Owner, folder))?;
    if strangers.is_empty() {
        return Ok(());
    }
    // Whoever has this folder may have had another user before.
    let others = owners(data_dir).filter(|(path, _)| !plan.folders.contains(path));
    for (theirs, owner) in others {
        if let Some((path, _)) = strangers.iter().find(|(_, uid)| *uid == owner) {
            let detail = format!("{} belongs to the user of {}", path.display(), theirs.display());
            return Err(Failure { detail, ..Failure::of(Step::OwnerOther)(Errno::PERM) });
        }
    }
    Ok(())
}

/// Each user of one instance alone who has something in a folder, with the first of it.
fn find(
    folder: &impl AsFd,
    path: &Path,
    user: u32,
    strangers: &mut Vec<(PathBuf, u32)>,
) -> Result<(), Errno> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let path = path.join(name.to_string_lossy().as_ref());
        let owner = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_uid;
        if OWN.contains(&owner) && owner != user && strangers.iter().all(|(_, uid)| *uid != owner) {
            strangers.push((path.clone(), owner));
        }
        if entry.file_type().is_dir() {
            find(&openat(folder, name, FOLDER, Mode::empty())?, &path, user, strangers)?;
        }
    }
    Ok(())
}
