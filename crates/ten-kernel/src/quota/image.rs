//! An image: a file with a filesystem of its own (ext4), which holds the data of one tree where
//! the filesystem around it cannot bound them.
//!
//! ```text
//! {home}/image    the data; what was in the folders before is in it
//! {home}/before   the folders themselves, while an image is made of them
//! {home}/draft    that image, until it is whole
//! ```
//!
//! The image is mounted where only its tree sees it, and the kernel unmounts it with the tree.
//! So nothing of it can be left: no mount, no loop device, no note of either. Outside there
//! is a file, which moves by one rename(2) whether it is in use or not.
//!
//! A file in it is where it would be below the data folder without it. The tree's scratch folder
//! is in it too, or it would be a place without a limit; whoever wants the socket in there finds
//! it by the descriptor that was handed over. The image is sparse and somewhat larger than the
//! limit, since a filesystem needs room for itself; what is too much is withheld while it is
//! mounted (ext4: `reserved_clusters`). So a limit may fall as well as rise, and an image never
//! shrinks.

mod fill;
mod look;

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Dir, FileType, Mode, OFlags, fstat, fstatvfs, fsync, mkdirat, openat},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
        fsconfig_set_string, fsmount, fsopen,
    },
};

pub use self::{
    fill::mkfs,
    look::{Seen, look_into},
};
use super::{
    Held, below,
    loops::{Loop, errno},
    open_folder,
};
use crate::{
    beneath::{self, Place},
    child::last_errno,
    failure::{Failure, Step},
    plan::{LaunchPlan, Storage, Walls},
    report::{Report, Reporter},
    trash,
    walls::mounts,
};

const IMAGE: &str = "image";
const BEFORE: &str = "before";
const DRAFT: &str = "draft";

/// Where an image has the scratch folder of its tree, from its top. No folder of a plan begins
/// with a dot.
pub const SCRATCH: &str = ".scratch";

/// What the filesystem needs beside the data: a part for its tables of files (a file of 256
/// bytes for each 16 KiB), and the journal and what else is there once.
const OVERHEAD_PART: u64 = 32;
const OVERHEAD: u64 = 24 * 1024 * 1024;

/// Bytes of a block of the filesystem.
const BLOCK: u64 = 4096;
/// Where its number of blocks is on the disk, in two halves, and how to change it
/// (kernel: filesystems/ext4).
const BLOCKS_LOW: u64 = 1024 + 0x4;
const BLOCKS_HIGH: u64 = 1024 + 0x150;
const RESIZE: u64 = 0x4008_6610;

/// Made by mke2fs(8) at the top of every filesystem.
const LOST_AND_FOUND: &str = "lost+found";

/// Whether the data of a tree are in an image, as far as can be told.
pub fn has_image(storage: &Storage) -> bool {
    is_there(storage).unwrap_or(false)
}

pub(super) fn is_there(storage: &Storage) -> Result<bool, Errno> {
    match fs::symlink_metadata(storage.home.join(IMAGE)) {
        Ok(_) => Ok(true),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(why) => Err(errno(&why)),
    }
}

/// Puts folders back of which an image was being made by somebody who was killed.
pub(super) fn take_back(storage: &Storage, reporter: &Reporter) -> Result<(), Failure> {
    if !storage.home.join(BEFORE).exists() {
        return Ok(());
    }
    if storage.limit.is_some() {
        // Else these renames are all.
        reporter.say(&Report::Preparing);
    }
    let _locked = fill::lock(storage)?;
    fill::take_back(storage)
}

/// Mounts the image, which is made where it is missing, and opens the folders in it.
pub(super) fn hold(
    plan: &LaunchPlan,
    storage: &Storage,
    outside: &OwnedFd,
    reporter: &Reporter,
) -> Result<Held, Failure> {
    if plan.walls == Walls::Bare {
        return Err(Failure::of(Step::StorageWalls)(Errno::OPNOTSUPP));
    }
    let socket = plan.socket.as_deref().and_then(Path::parent);
    if let Some(own) = storage.folders.iter().find(|own| Some(own.as_path()) == socket) {
        return Err(Failure::on(Step::StorageSocket, own)(Errno::OPNOTSUPP));
    }
    let is_new_and_empty = fill::make(storage, reporter)?;
    let root = open(storage, outside).inspect_err(|_| {
        if is_new_and_empty {
            // Where images cannot be mounted, requests for new names must leave nothing. What
            // cannot be removed is an empty image, and found by the next start.
            let _ = fs::remove_file(storage.home.join(IMAGE));
        }
    })?;
    let mut shown = Vec::new();
    for path in &storage.folders {
        let place = below(storage, path)?;
        shown.push((path.clone(), make_folder(&root, place).map_err(unmounted(path))?));
    }
    if let Some(scratch) = &plan.scratch {
        let made = make_scratch(storage, &root).map_err(unmounted(scratch))?;
        shown.push((scratch.clone(), made));
    }
    // A mount of its own: all mounts of the tree become read-only, and whoever reaches the socket by
    // this one has to give it to the front. It goes when nobody has it any more.
    let meter = mounts::again(&root).map_err(unmounted(&storage.home))?;
    Ok(Held { meter: Some(meter), shown })
}

/// The scratch folder in an image, without what earlier processes left there.
fn make_scratch(storage: &Storage, root: &OwnedFd) -> Result<OwnedFd, Errno> {
    let scratch = make_folder(root, SCRATCH.as_ref())?;
    trash::empty(&storage.home.join(SCRATCH)).map_err(|why| errno(&why))?;
    Ok(scratch)
}

fn unmounted(path: &Path) -> impl FnOnce(Errno) -> Failure {
    Failure::on(Step::StorageMount, path)
}

/// That an image cannot be made, for this reason.
fn failed(path: &Path) -> impl FnOnce(Errno) -> Failure {
    Failure::on(Step::StorageImage, path)
}

fn make_folder(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let place = Place::make(root, path)?;
    match place.make_folder() {
        Ok(()) | Err(Errno::EXIST) => beneath::folder(root, path),
        Err(errno) => Err(errno),
    }
}

/// Mounts an image over its home, in this mount namespace, and gives it the size and the limit
/// that it is to have. The top folder in it.
fn open(storage: &Storage, outside: &OwnedFd) -> Result<OwnedFd, Failure> {
    let path = storage.home.join(IMAGE);
    let image = open_image(outside, below(storage, &storage.home)?).map_err(unmounted(&path))?;
    if let Some(limit) = storage.limit {
        grow(&image, limit).map_err(failed(&path))?;
    }
    let device = Loop::of(image).map_err(Failure::on(Step::StorageLoop, &path))?;
    let root = mount(&device, &storage.home).map_err(unmounted(&path))?;
    if let Some(limit) = storage.limit {
        bound(&device, &root, limit).map_err(Failure::on(Step::StorageLimit, &path))?;
    }
    Ok(root)
}

/// Found from the data folder as it is mounted outside. The device will keep it open for writing,
/// and a mount of this namespace could then not become read-only, as all of the host's do; and
/// outside its path says where it is.
fn open_image(outside: &OwnedFd, home: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(beneath::folder(outside, home)?, IMAGE, flags, Mode::empty())?.into())
}

/// How long the image for a limit is.
fn length(limit: u64) -> u64 {
    let whole = limit.saturating_add(limit / OVERHEAD_PART).saturating_add(OVERHEAD);
    whole.next_multiple_of(1024 * 1024)
}

fn grow(image: &File, limit: u64) -> Result<(), Errno> {
    let is = image.metadata().map_err(|why| errno(&why))?.len();
    match length(limit) {
        wanted if wanted > is => image.set_len(wanted).map_err(|why| errno(&why)),
        _ => Ok(()),
    }
}

fn mount(device: &Loop, home: &Path) -> Result<OwnedFd, Errno> {
    let fs = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "source", device.path())?;
    // What is deleted inside is given back outside.
    fsconfig_set_flag(&fs, "discard")?;
    // Tables of files that nobody has used would be written for nothing.
    fsconfig_set_flag(&fs, "noinit_itable")?;
    fsconfig_set_string(&fs, "errors", "remount-ro")?;
    fsconfig_create(&fs)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let tree = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, flags)?;
    // In a place of the tree, as only then parts of it can be shown elsewhere (open_tree(2)).
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = rustix::fs::open(home, flags, Mode::empty())?;
    mounts::move_to(&tree, &place)?;
    open_folder(home)
}

/// Lets the filesystem grow to the end of its disk, then withholds what is beyond the limit.
fn bound(device: &Loop, root: &OwnedFd, limit: u64) -> Result<(), Errno> {
    device.resize()?;
    let half = |at| device.read(at).map(u32::from_le_bytes).map(u64::from);
    let blocks = half(BLOCKS_LOW)? | half(BLOCKS_HIGH)? << 32;
    let wanted = length(limit) / BLOCK;
    if blocks < wanted {
        // SAFETY: `wanted` is what the call reads, and outlives it.
        let done = unsafe { libc::ioctl(root.as_raw_fd(), RESIZE as _, &raw const wanted) };
        if done != 0 {
            return Err(last_errno());
        }
    }
    let room = fstatvfs(root)?.f_blocks;
    let withheld = room.checked_sub(limit.div_ceil(BLOCK)).ok_or(Errno::NOSPC)?;
    let knob = format!("/sys/fs/ext4/{}/reserved_clusters", device.name());
    fs::write(knob, withheld.to_string()).map_err(|why| errno(&why))
}

/// Removes an image in which there is nothing but what ten itself has made, once its tree has ended:
/// what never wrote costs nothing. `meter` is what was handed over of it.
pub fn discard_bare(meter: &OwnedFd, storage: &Storage) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(meter, ".", flags, Mode::empty())?;
    let image = storage.home.join(IMAGE);
    let own = |path: &PathBuf| path.strip_prefix(&storage.data_dir).map(Path::to_path_buf);
    let mut own: Vec<PathBuf> = storage.folders.iter().filter_map(|path| own(path).ok()).collect();
    // What e2fsck(8) has found goes there.
    own.push(LOST_AND_FOUND.into());
    if !image.exists() || !holds_only(&root, Path::new(""), &own)? {
        return Ok(());
    }
    fs::remove_file(image)?;
    // Whatever else is there, stays.
    let _ = fs::remove_dir(&storage.home);
    Ok(())
}

/// Bytes that a folder of an image has at most where nothing was ever in it but a few others:
/// lost+found has so many. It does not shrink when it is emptied, and to read one that has held a
/// million files takes as long as ever.
const BARE: i64 = 16 * 1024;

/// Whether there is nothing in a folder of an image but `own`, which are empty and always were, and
/// what they lie in.
fn holds_only(folder: &OwnedFd, path: &Path, own: &[PathBuf]) -> Result<bool, Errno> {
    if fstat(folder)?.st_size > BARE {
        return Ok(false);
    }
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let at = path.join(OsStr::from_bytes(name.to_bytes()));
        // Every start empties it.
        let is_scratch = at == Path::new(SCRATCH);
        if [c".", c".."].contains(&name) || is_scratch {
            continue;
        }
        let leads = own.iter().any(|own| own.starts_with(&at));
        if !leads || entry.file_type() != FileType::Directory {
            return Ok(false);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if !holds_only(&openat(folder, name, flags, Mode::empty())?, &at, own)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether there are only folders in a folder, of whatever depth.
fn has_no_files(folder: &OwnedFd) -> Result<bool, Errno> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if entry.file_type() != FileType::Directory
            || !has_no_files(&openat(folder, name, flags, Mode::empty())?)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether nothing is in a folder.
fn is_empty(folder: &OwnedFd) -> Result<bool, Errno> {
    for entry in Dir::read_from(folder)? {
        if ![c".", c".."].contains(&entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the folder of an image, for this user alone.
fn make_home(home: &Path) -> Result<OwnedFd, Errno> {
    let make = |path: &Path| match mkdirat(CWD, path, Mode::RWXU) {
        Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
        // What is in it must not outlive its name in a power cut.
        Ok(()) => path.parent().map_or(Ok(()), |above| fsync(open_folder(above)?)),
    };
    home.parent().map_or(Ok(()), make)?;
    make(home)?;
    open_folder(home)
}

/// Opens a folder of the plan; `None` where it is missing.
fn plain(storage: &Storage, data: impl AsFd, path: &Path) -> Result<Option<OwnedFd>, Failure> {
    match beneath::folder(data, below(storage, path)?) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(failed(path)(errno)),
    }
}

fn data_dir(storage: &Storage) -> Result<OwnedFd, Failure> {
    open_folder(&storage.data_dir).map_err(failed(&storage.data_dir))
}

/// Where the folders are below a mounted image, or below what an image was being made of.
fn moved(storage: &Storage, to: &Path) -> Result<Vec<PathBuf>, Failure> {
    storage.folders.iter().map(|path| Ok(to.join(below(storage, path)?))).collect()
}
