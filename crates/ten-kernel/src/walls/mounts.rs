//! The file tree inside: the host's, read-only, with holes and windows.
//!
//! Everything is mounted by descriptor: what is shown was opened before the first mount
//! hid anything, and the place it goes to is opened (or made) once and never named again. Only places in
//! filesystems of the kernel's own are named as often as needed (`kernel.rs`).
//! Nothing is unmounted: what a private place covers stays covered, because inside nobody
//! may unmount.

mod blanks;
mod devices;
mod kernel;

use blanks::Kind;
pub use blanks::{Blanks, Recipe};

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2, unlink},
    io::{Errno, write},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
        OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change,
        move_mount, open_tree,
    },
    process::{chroot, fchdir},
};

use crate::{
    beneath,
    child::last_errno,
    failure::{Failure, Step},
    plan::{Mount, Network},
};

/// The size of a private place, in the syntax of tmpfs(5). Its content is memory, so it is
/// bounded even where no memory limit is set; room for spooled uploads, not for data.
const PRIVATE_SIZE: &str = "256m";
/// Files in a private place: each costs about a KiB of memory that the size does not count.
const PRIVATE_FILES: &str = "65536";
/// A tree in which there are only places to mount on.
const ROOT_SIZE: &str = "1m";
const ROOT_FILES: &str = "1024";
/// What a file that is made to be shown is called before it is.
const TEXT: &str = ".ten-text";

/// From here on the mounts of this namespace are no longer the host's.
pub(crate) fn part() -> Result<(), Failure> {
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", private).map_err(Failure::of(Step::PrivateMounts))
}

/// Turns this mount namespace, a copy of the host's, into the tree that the plan describes. The
/// mounts in which something can be changed are what it gives.
pub(super) fn make(
    network: Network,
    mounts: &[Mount],
    shown: &[(PathBuf, OwnedFd)],
    blanks: &Blanks,
) -> Result<Vec<OwnedFd>, Failure> {
    let sources = mounts.iter().map(|mount| source(mount, shown));
    let sources = sources.collect::<Result<Vec<_>, _>>()?;
    restrict_path("/".as_ref()).map_err(Failure::of(Step::ReadOnlyTree))?;
    let (mut store, mut covers) = (None, kernel::Covers::default());
    let mut own = Vec::with_capacity(mounts.len());
    for (mount, source) in mounts.iter().zip(sources) {
        match (mount, source) {
            (Mount::Proc, _) => own.push(kernel::proc(&mut covers)?),
            (Mount::Sys, _) => kernel::sys(network, &mut covers)?,
            (Mount::Devices, _) => own.push(devices::make(blanks)?),
            (Mount::Private { at, mode }, _) => {
                own.push(private_place(at, *mode, blanks)?);
                store = Some(at);
            }
            (Mount::Text { at, text }, _) => {
                let store = store.ok_or(Errno::INVAL);
                store
                    .and_then(|store| text_file(&store.join(TEXT), at, text))
                    .map_err(Failure::on(Step::MountText, at))?;
            }
            (Mount::Bind { from, at, writable }, Some(tree)) => {
                bind(&tree, from, at, *writable)?;
                own.extend(writable.then_some(tree));
            }
            (Mount::Bind { .. }, None) => unreachable!("every bind has a source"),
        }
    }
    Ok(own)
}

/// Puts an empty tree in the place of the host's, with a /proc that tells of this process alone
/// and with what these binds show. Only root of the host can.
///
/// The old tree lies beneath and stays what it was, but no name leads there, and whoever has no
/// capabilities cannot take the new one off. What the host unmounts later goes from there too.
pub(crate) fn replace(binds: &[Mount]) -> Result<(), Failure> {
    let failed = || Failure::of(Step::FrontTree);
    let follow = MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM;
    mount_change("/", follow).map_err(failed())?;
    let sources = binds.iter().map(|bind| source(bind, &[])).collect::<Result<Vec<_>, _>>()?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let root = tmpfs(0o755, ROOT_SIZE, ROOT_FILES, flags).map_err(failed())?;
    move_to(&root, &open_path("/".as_ref()).map_err(failed())?).map_err(failed())?;
    fchdir(&root).and_then(|()| chroot(".")).map_err(failed())?;
    kernel::own_proc()?;
    for (mount, source) in binds.iter().zip(sources) {
        if let (Mount::Bind { from, at, writable }, Some(tree)) = (mount, source) {
            bind(&tree, from, at, *writable)?;
        }
    }
    Ok(())
}

/// A copy of the mounts at and below what a bind shows, attached nowhere. It keeps its
/// flags when the tree that it was copied from becomes read-only.
fn source(mount: &Mount, shown: &[(PathBuf, OwnedFd)]) -> Result<Option<OwnedFd>, Failure> {
    let Mount::Bind { from, .. } = mount else { return Ok(None) };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let instead = shown.iter().find_map(|(path, fd)| Some((fd, from.strip_prefix(path).ok()?)));
    let tree = match instead {
        Some((top, rest)) => beneath::folder(top, rest).and_then(|fd| open_tree(&fd, "", flags)),
        None => open_path(from).and_then(|fd| open_tree(&fd, "", flags)),
    };
    tree.map(Some).map_err(Failure::on(Step::OpenBind, from))
}

fn bind(tree: &OwnedFd, from: &Path, at: &Path, writable: bool) -> Result<(), Failure> {
    let kind = folder_or_file(tree).map_err(Failure::on(Step::OpenBind, from))?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID;
    // A device that is shown by name is meant to be used.
    if !kind.is_char_device() && !kind.is_block_device() {
        attributes |= MountAttrFlags::MOUNT_ATTR_NODEV;
    }
    if !writable {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    set_attributes(tree, attributes).map_err(Failure::on(Step::MountBind, at))?;
    attach(tree, at, kind.is_dir(), Step::MountBind)
}

/// Makes a file, shows it elsewhere, and takes its own name away: a file that never had one
/// cannot be shown.
fn text_file(own: &Path, at: &Path, text: &str) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = open(own, flags, Mode::from_raw_mode(0o444))?;
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        rest = &rest[write(&file, rest)?..];
    }
    let tree = again(&file)?;
    let inert = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    set_attributes(&tree, inert | MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    move_to(&tree, &place(at, false)?)?;
    unlink(own)
}

fn private_place(at: &Path, mode: u32, blanks: &Blanks) -> Result<OwnedFd, Failure> {
    let tree = blanks.take(Kind::Place(mode)).map_err(Failure::on(Step::MountPrivate, at))?;
    attach(&tree, at, true, Step::MountPrivate)?;
    Ok(tree)
}

/// An empty place for files of one's own.
fn private(mode: u32) -> Result<OwnedFd, Errno> {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    tmpfs(mode, PRIVATE_SIZE, PRIVATE_FILES, flags)
}

fn tmpfs(mode: u32, size: &str, files: &str, flags: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "size", size)?;
    fsconfig_set_string(&fs, "nr_inodes", files)?;
    fsconfig_set_string(&fs, "mode", format!("{mode:o}"))?;
    mount(&fs, flags)
}

/// A new mount of a filesystem whose options are set, attached nowhere.
fn mount(fs: &OwnedFd, flags: MountAttrFlags) -> Result<OwnedFd, Errno> {
    fsconfig_create(fs)?;
    fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

fn folder_or_file(fd: &OwnedFd) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode))
}

fn attach(tree: &OwnedFd, at: &Path, is_dir: bool, step: Step) -> Result<(), Failure> {
    let place = place(at, is_dir).map_err(Failure::on(Step::MountPoint, at))?;
    move_to(tree, &place).map_err(Failure::on(step, at))
}

/// Something to mount on, made where it is missing.
fn place(at: &Path, is_dir: bool) -> Result<OwnedFd, Errno> {
    match open_path(at) {
        Err(Errno::NOENT) => make_place(at, is_dir).and_then(|()| open_path(at)),
        other => other,
    }
}

/// What a descriptor shows, once more, attached nowhere, and without what is mounted below it.
/// Whatever has it must be mounted in this namespace (open_tree(2)).
pub(crate) fn again(tree: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(tree, "", flags)
}

/// Attaches a tree that is attached nowhere.
pub(crate) fn move_to(tree: &OwnedFd, place: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", place, "", flags)
}

/// A folder, or an empty file, that something can be mounted on. Only a private place lets
/// us: everything else is read-only by now.
fn make_place(at: &Path, is_dir: bool) -> Result<(), Errno> {
    let folders = if is_dir { Some(at) } else { at.parent() };
    let made = folders
        .map_or(Ok(()), |path| DirBuilder::new().recursive(true).mode(0o755).create(path))
        .and_then(|()| match is_dir {
            true => Ok(()),
            false => OpenOptions::new().write(true).create_new(true).mode(0o644).open(at).map(drop),
        });
    made.map_err(|why: io::Error| Errno::from_io_error(&why).unwrap_or(Errno::IO))
}

/// Follows symbolic links but never the magic ones of /proc, which lead out of any tree.
pub(super) fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
}

fn restrict_path(path: &Path) -> Result<(), Errno> {
    set_attributes(&open_path(path)?, MountAttrFlags::MOUNT_ATTR_RDONLY)
}

/// The argument of mount_setattr(2), which neither rustix nor libc knows on every target.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Adds attributes to a mount and to all below it. None is ever taken away, so this only
/// ever makes things stricter, which even an unprivileged user namespace may.
fn set_attributes(tree: &OwnedFd, attributes: MountAttrFlags) -> Result<(), Errno> {
    let attr = MountAttr {
        set: u64::from(attributes.bits()),
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: the empty path is NUL-terminated, `attr` is what the call expects, its size
    // is given, and both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            std::ptr::from_ref(&attr),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}
