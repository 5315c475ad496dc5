//! Loop devices (loop(4)): an image as a disk, for as long as somebody has it open.
//!
//! Two devices of one image would be two filesystems that know nothing of each other, and
//! soon none. So whoever wants a device locks the file first (flock(2)), and the lock belongs
//! to the very open file that the device then keeps: it ends with the device and not before,
//! whoever is killed meanwhile. Who finds it locked joins the device that is there, and so does
//! who finds the file open elsewhere, as an operator's `mount -o loop` takes no lock.

use std::{
    fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{FileExt, MetadataExt},
    },
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, open},
    io::Errno,
};

use crate::child::last_errno;

/// Numbers of ioctl(2) (linux/loop.h).
const CTL_GET_FREE: u32 = 0x4c82;
const CONFIGURE: u32 = 0x4c0a;
const GET_STATUS: u32 = 0x4c05;
const SET_CAPACITY: u32 = 0x4c07;
/// The device is cleared when nobody has it open any more.
const AUTOCLEAR: u32 = 4;
/// Nothing can be written to it.
const READ_ONLY: u32 = 1;

/// How long a device may take to go that others have just left.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before looking again: there is no event for it.
const PAUSE: Duration = Duration::from_millis(1);

/// `struct loop_info64`.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// A device that stays while this is held, or a filesystem on it.
#[derive(Debug)]
pub(super) struct Loop {
    device: OwnedFd,
    number: u32,
}

impl Loop {
    /// The device of an image: a new one, or the one that it has.
    pub(super) fn of(image: fs::File) -> Result<Self, Errno> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = match flock(&image, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_open_elsewhere(&image) => match Self::join(&image)? {
                    None => return Self::configure(&image, deadline),
                    found => found,
                },
                Ok(()) => return Self::configure(&image, deadline),
                Err(Errno::WOULDBLOCK) => Self::join(&image)?,
                Err(errno) => return Err(errno),
            };
            // Neither free nor there: somebody is just making it, or it is just going.
            match found {
                Some(found) => return Ok(found),
                None if Instant::now() > deadline => return Err(Errno::BUSY),
                None => thread::sleep(PAUSE),
            }
        }
    }

    fn configure(image: &fs::File, deadline: Instant) -> Result<Self, Errno> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let control = open("/dev/loop-control", flags, Mode::empty())?;
        loop {
            // SAFETY: takes no argument.
            let number = unsafe { libc::ioctl(control.as_raw_fd(), CTL_GET_FREE as _) };
            let number = u32::try_from(number).map_err(|_| last_errno())?;
            let device = open(path(number), flags, Mode::empty())?;
            match bind(&device, image) {
                // Another was faster, and the next number is free.
                Err(Errno::BUSY) if Instant::now() < deadline => {}
                bound => return bound.map(|()| Self { device, number }),
            }
        }
    }

    /// The device that has this image, if there is one.
    fn join(image: &fs::File) -> Result<Option<Self>, Errno> {
        let wanted = image.metadata().map_err(|why| errno(&why))?;
        let entries = fs::read_dir("/sys/block").map_err(|why| errno(&why))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("loop")?.parse().ok());
            let (Some(number), true) = (number, entry.path().join("loop").exists()) else {
                continue;
            };
            // Opened first: what is looked at then stays.
            let flags = OFlags::RDWR | OFlags::CLOEXEC;
            let Ok(device) = open(path(number), flags, Mode::empty()) else { continue };
            let Ok(info) = status(&device) else { continue };
            if (info.device, info.inode) != (wanted.dev(), wanted.ino()) {
                continue;
            }
            // One that can only be read is somebody's who must go first.
            return match info.flags & READ_ONLY {
                0 => Ok(Some(Self { device, number })),
                _ => Err(Errno::BUSY),
            };
        }
        Ok(None)
    }

    /// Where it is.
    pub(super) fn path(&self) -> PathBuf {
        path(self.number)
    }

    /// Its name in /sys.
    pub(super) fn name(&self) -> String {
        format!("loop{}", self.number)
    }

    /// Takes over a new size of its image.
    pub(super) fn resize(&self) -> Result<(), Errno> {
        // SAFETY: takes no pointer.
        match unsafe { libc::ioctl(self.device.as_raw_fd(), SET_CAPACITY as _, 0) } {
            0 => Ok(()),
            _ => Err(last_errno()),
        }
    }

    /// Reads what the disk holds at a place.
    pub(super) fn read(&self, at: u64) -> Result<[u8; 4], Errno> {
        let mut bytes = [0; 4];
        let device = fs::File::from(self.device.try_clone().map_err(|why| errno(&why))?);
        device.read_exact_at(&mut bytes, at).map_err(|why| errno(&why))?;
        Ok(bytes)
    }
}

/// Whether a file is open anywhere but here: else it could be leased (fcntl(2)), and is, for a
/// moment. Only a hint where leases cannot be had: then devices are looked through.
fn is_open_elsewhere(file: &fs::File) -> bool {
    let lease = |kind: libc::c_int| {
        // SAFETY: takes no pointer.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) }
    };
    let taken = lease(libc::F_WRLCK) == 0;
    // What was not taken is not there to be given back.
    let _ = lease(libc::F_UNLCK);
    !taken
}

fn path(number: u32) -> PathBuf {
    format!("/dev/loop{number}").into()
}

fn bind(device: &OwnedFd, image: &fs::File) -> Result<(), Errno> {
    let fd = image.as_raw_fd().cast_unsigned();
    let info = Info { flags: AUTOCLEAR, ..empty() };
    let config = Config { fd, block_size: 0, info, reserved: [0; 8] };
    // SAFETY: `config` is what the call reads, and outlives it.
    match unsafe { libc::ioctl(device.as_raw_fd(), CONFIGURE as _, &raw const config) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

fn status(device: &OwnedFd) -> Result<Info, Errno> {
    let mut info = empty();
    // SAFETY: `info` has room for what the call writes, and outlives it.
    match unsafe { libc::ioctl(device.as_raw_fd(), GET_STATUS as _, &raw mut info) } {
        0 => Ok(info),
        _ => Err(last_errno()),
    }
}

fn empty() -> Info {
    Info {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    }
}

pub(super) fn errno(why: &std::io::Error) -> Errno {
    Errno::from_io_error(why).unwrap_or(Errno::IO)
}
