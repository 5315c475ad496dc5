//! Making an image of what is in the folders.
//!
//! ```text
//! folders ──rename──► before ──mkfs.ext4 -d──► draft ──rename──► image      then before goes
//!    ▲                  │
//!    └──── take back ◄──┘ whenever there is a `before` and no image
//! ```
//!
//! At each moment the data are whole in one place, and the names say in which. Nothing of the
//! tree runs yet. It takes as long as there are data, so whoever waits for the tree is told when it
//! begins, and before readers of the data are waited for.

use std::{
    env,
    fs::{self, OpenOptions},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    fs::{FlockOperation, flock, fsync},
    io::Errno,
};

use super::{
    BEFORE, DRAFT, IMAGE, data_dir, errno, failed, has_no_files, is_empty, is_there, length,
    make_home, open_folder, plain,
};
use crate::{
    beneath::Place,
    failure::{Failure, Step},
    plan::Storage,
    quota::{BYTES_PER_FILE, below},
    report::{Report, Reporter},
    trash::empty,
};

/// Where it is looked for beside PATH, which a server may have without the programs of root.
const SBIN: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
const MKFS: &str = "mkfs.ext4";

/// All that this host's mke2fs.conf(5) would choose is chosen here: kernels of the age that
/// ten needs know every one of these.
const OPTIONS: [&str; 14] = [
    "-q",
    "-F",
    "-b",
    "4096",
    "-I",
    "256",
    "-m",
    "0",
    "-J",
    "size=4",
    "-O",
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
     large_file,huge_file,dir_nlink,extra_isize,metadata_csum",
    "-E",
    "root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1",
];

/// Bytes of a group of ext4, and the files that each may have: what `files` allows
/// for so many bytes. Also in a group that is not whole yet, since it cannot change when it grows.
const GROUP: u64 = 128 * 1024 * 1024;
const FILES_IN_GROUP: u64 = GROUP / BYTES_PER_FILE;

/// What does not fit into an image that was just made: no kernel says so of a file.
const TOO_SMALL: Errno = Errno::OVERFLOW;

/// The program that makes images.
pub fn mkfs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(SBIN.map(PathBuf::from));
    folders.map(|folder| folder.join(MKFS)).find(|file| file.is_absolute() && file.is_file())
}

/// Makes the image where it is missing; whether it is new and there is nothing in it.
pub(super) fn make(storage: &Storage, reporter: &Reporter) -> Result<bool, Failure> {
    let home = lock(storage)?;
    let data = data_dir(storage)?;
    let mut filled = Vec::new();
    for path in &storage.folders {
        let Some(folder) = plain(storage, &data, path)? else { continue };
        if !is_empty(&folder).map_err(failed(path))? {
            filled.push((path, folder));
        }
    }
    if is_there(storage).map_err(failed(&storage.home))? {
        // Which of the two is right, nobody here can know. Folders alone were left there before.
        let mut twice = None;
        for (path, folder) in &filled {
            if !has_no_files(folder).map_err(failed(path))? {
                twice = Some(path);
            }
        }
        return match twice {
            Some(path) => Err(Failure::on(Step::StorageTwice, path)(Errno::EXIST)),
            None if storage.home.join(BEFORE).exists() => {
                reporter.say(&Report::Preparing);
                finish(storage).map(|()| false)
            }
            None => Ok(false),
        };
    }
    let Some(limit) = storage.limit else { return Ok(false) };
    if filled.is_empty() {
        draw(storage, length(limit), None)?;
        fsync(&home).map_err(failed(&storage.home))?;
        return Ok(true);
    }
    reporter.say(&Report::Preparing);
    let before = storage.home.join(BEFORE);
    make_home(&before).map_err(failed(&before))?;
    let aside = |(path, folder): &(&PathBuf, OwnedFd)| {
        let from = below(storage, path)?;
        let moved = flock(folder, FlockOperation::LockExclusive)
            .and_then(|()| put_aside(&data, &before, from));
        moved.map_err(failed(path))
    };
    let made = filled
        .iter()
        .try_for_each(aside)
        .and_then(|()| draw_whole(storage, limit, &before))
        .and_then(|()| fsync(&home).map_err(failed(&storage.home)));
    match made {
        Ok(()) => finish(storage).map(|()| false),
        Err(failure) => take_back(storage).and(Err(failure)),
    }
}

/// An image that has room for all that there is, also where that is more than the limit: then
/// nothing can be added, and nothing is lost.
fn draw_whole(storage: &Storage, limit: u64, content: &Path) -> Result<(), Failure> {
    let mut length = length(limit);
    loop {
        match draw(storage, length, Some(content)) {
            Err(failure) if failure.errno == TOO_SMALL.raw_os_error() => length *= 2,
            drawn => return drawn,
        }
    }
}

/// Keeps readers away until the data are in one place again, and waits for those that are there.
pub(super) fn lock(storage: &Storage) -> Result<OwnedFd, Failure> {
    let locked = make_home(&storage.home).and_then(|home| {
        flock(&home, FlockOperation::LockExclusive)?;
        Ok(home)
    });
    locked.map_err(failed(&storage.home))
}

/// Moves a folder out of its place, and makes a new one there.
fn put_aside(data: &OwnedFd, before: &Path, from: &Path) -> Result<(), Errno> {
    let before = open_folder(before)?;
    let place = Place::find(data, from)?.ok_or(Errno::NOENT)?;
    place.move_onto(&Place::make(&before, from)?)?;
    place.make_folder()
}

/// Writes the draft and makes it the image.
fn draw(storage: &Storage, length: u64, content: Option<&Path>) -> Result<(), Failure> {
    let draft = storage.home.join(DRAFT);
    let failed = |why: std::io::Error| failed(&draft)(errno(&why));
    match fs::remove_file(&draft) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => return Err(failed(why)),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
    let file = file.map_err(failed)?;
    // Past what a file can be, this ends the doubling.
    file.set_len(length).map_err(failed)?;
    let written = run_mkfs(&draft, length, content)
        .and_then(|()| file.sync_all().map_err(failed))
        .and_then(|()| fs::rename(&draft, storage.home.join(IMAGE)).map_err(failed));
    if written.is_err() {
        // The next start would remove it too.
        let _ = fs::remove_file(&draft);
    }
    written
}

fn run_mkfs(draft: &Path, length: u64, content: Option<&Path>) -> Result<(), Failure> {
    let program = mkfs().ok_or(Errno::NOENT).map_err(failed(MKFS.as_ref()))?;
    let mut command = Command::new(program);
    command.env_clear().args(OPTIONS);
    command.arg("-N").arg((length.div_ceil(GROUP) * FILES_IN_GROUP).to_string());
    if let Some(content) = content {
        command.arg("-d").arg(content);
    }
    let output = command.arg(draft).stdin(Stdio::null()).stdout(Stdio::null()).output();
    let output = output.map_err(|why| failed(MKFS.as_ref())(errno(&why)))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it failed");
    let why = match () {
        () if said.contains("Could not allocate") => TOO_SMALL,
        () if said.contains("No space left") => Errno::NOSPC,
        () => Errno::IO,
    };
    Err(failed(format!("{MKFS}: {last}").as_ref())(why))
}

/// Removes what an image was made of: it is in there, and on the disk.
fn finish(storage: &Storage) -> Result<(), Failure> {
    let before = storage.home.join(BEFORE);
    let removed = empty(&before).and_then(|()| fs::remove_dir(&before));
    removed.map_err(|why| failed(&before)(errno(&why)))
}

/// Puts the folders back into their places. A new one that is there is empty.
pub(super) fn take_back(storage: &Storage) -> Result<(), Failure> {
    let path = storage.home.join(BEFORE);
    let before = open_folder(&path).map_err(failed(&path))?;
    let data = data_dir(storage)?;
    for path in &storage.folders {
        let to = below(storage, path)?;
        let back = || {
            let Some(from) = Place::find(&before, to)? else { return Ok(()) };
            let place = Place::make(&data, to)?;
            match from.is_there()? {
                true => match place.remove_if_empty() {
                    Ok(()) | Err(Errno::NOENT) => from.move_onto(&place),
                    Err(errno) => Err(errno),
                },
                false => Ok(()),
            }
        };
        back().map_err(failed(path))?;
    }
    // What is left in it are the empty folders above them; a folder that no variable names any
    // more is not, and keeps it, and the tree from starting.
    prune(&path).map_err(failed(&path))
}

/// Removes a folder of empty folders.
fn prune(path: &Path) -> Result<(), Errno> {
    let entries = fs::read_dir(path).map_err(|why| errno(&why))?;
    for entry in entries {
        prune(&entry.map_err(|why| errno(&why))?.path())?;
    }
    fs::remove_dir(path).map_err(|why| errno(&why))
}
