//! Whether virtual machines can be made. A /dev/kvm that is there proves nothing: in containers
//! and virtual machines it may be closed, or a node without a driver behind it.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use rustix::io::Errno;

use crate::child::last_errno;

const DEVICE: &str = "/dev/kvm";
/// The only version there ever was (kernel: virt/kvm/api, KVM_GET_API_VERSION).
const API_VERSION: libc::c_int = 12;
const KVM_GET_API_VERSION: libc::Ioctl = 0xae00;
const KVM_CREATE_VM: libc::Ioctl = 0xae01;
const KVM_CREATE_VCPU: libc::Ioctl = 0xae41;

/// Why no virtual machine can be made.
#[derive(Debug, thiserror::Error)]
pub enum KvmError {
    /// The device.
    #[error("/dev/kvm cannot be opened: {0}")]
    Closed(#[source] io::Error),
    /// It is something else, or of another age.
    #[error("/dev/kvm does not speak KVM's protocol")]
    Stranger,
    /// It opens, and that is all.
    #[error("/dev/kvm opens, but makes no virtual machine: {0}")]
    Broken(#[source] io::Error),
}

/// Makes a virtual machine with one processor, and lets go of it. No guest is run.
pub fn try_kvm() -> Result<(), KvmError> {
    let device = File::options().read(true).write(true).open(DEVICE).map_err(KvmError::Closed)?;
    if ask(device.as_fd(), KVM_GET_API_VERSION) != Ok(API_VERSION) {
        return Err(KvmError::Stranger);
    }
    let made = make(device.as_fd(), KVM_CREATE_VM)
        .and_then(|machine| make(machine.as_fd(), KVM_CREATE_VCPU));
    made.map(drop).map_err(|errno| KvmError::Broken(errno.into()))
}

fn make(from: BorrowedFd<'_>, request: libc::Ioctl) -> Result<OwnedFd, Errno> {
    let made = ask(from, request)?;
    // SAFETY: both KVM_CREATE_ requests return a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

fn ask(of: BorrowedFd<'_>, request: libc::Ioctl) -> Result<libc::c_int, Errno> {
    // SAFETY: the three requests take a number, here 0, and no pointer.
    let answer = unsafe { libc::ioctl(of.as_raw_fd(), request, 0) };
    if answer < 0 { Err(last_errno()) } else { Ok(answer) }
}
