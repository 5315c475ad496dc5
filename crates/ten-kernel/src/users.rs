//! The users of the host, from wherever it keeps them (getpwnam(3), nsswitch.conf(5)).

use std::{ffi::CStr, ffi::CString, mem::MaybeUninit, ptr};

use rustix::{io::Errno, process::geteuid};

/// Largest record that is read, in bytes; the usual one has a hundred.
const RECORD: usize = 16 * 1024;
/// Most groups that are taken over. The kernel allows 65536, nobody has a hundredth of it.
const GROUPS: usize = 1024;

/// A user of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostUser {
    /// Its name.
    pub name: String,
    /// Its id.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// All its groups.
    pub groups: Vec<u32>,
    /// Its home folder.
    pub home: String,
}

impl HostUser {
    /// Looks one up by name; `None` where nobody is called so.
    pub fn named(name: &str) -> Result<Option<Self>, Errno> {
        let Ok(name) = CString::new(name) else { return Ok(None) };
        // SAFETY: the name is NUL-terminated and outlives the call; the rest is passed on.
        look_up(|record, buffer, len, found| unsafe {
            libc::getpwnam_r(name.as_ptr(), record, buffer, len, found)
        })
    }

    /// Looks one up by id; `None` where nobody has it.
    pub fn with_uid(uid: u32) -> Result<Option<Self>, Errno> {
        // SAFETY: all pointers are passed on from `look_up`, which keeps them valid.
        look_up(|record, buffer, len, found| unsafe {
            libc::getpwuid_r(uid, record, buffer, len, found)
        })
    }
}

/// Whether this process is root, and so can start others as whom it likes.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// As whom this process acts.
pub fn own_uid() -> u32 {
    geteuid().as_raw()
}

type Record = libc::passwd;

fn look_up(
    call: impl Fn(*mut Record, *mut libc::c_char, usize, *mut *mut Record) -> i32,
) -> Result<Option<HostUser>, Errno> {
    let mut record = MaybeUninit::<Record>::uninit();
    let mut buffer = vec![0; RECORD];
    let mut found = ptr::null_mut();
    let errno = call(record.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &mut found);
    // What getpwnam(3) lists as "not found" beside the 0 that it should be.
    const ABSENT: [i32; 5] = [0, libc::ENOENT, libc::ESRCH, libc::EBADF, libc::EPERM];
    if found.is_null() {
        return if ABSENT.contains(&errno) {
            Ok(None)
        } else {
            Err(Errno::from_raw_os_error(errno))
        };
    }
    // SAFETY: `found` is not null, so the call has filled the record.
    let record = unsafe { record.assume_init() };
    // SAFETY: both point to NUL-terminated text in `buffer`, which is still there.
    let (name, home) = unsafe { (CStr::from_ptr(record.pw_name), CStr::from_ptr(record.pw_dir)) };
    Ok(Some(HostUser {
        name: name.to_string_lossy().into_owned(),
        uid: record.pw_uid,
        gid: record.pw_gid,
        groups: groups(name, record.pw_gid),
        home: home.to_string_lossy().into_owned(),
    }))
}

fn groups(name: &CStr, gid: u32) -> Vec<u32> {
    let mut list = vec![0; GROUPS];
    let mut count = GROUPS as libc::c_int;
    // SAFETY: the name is NUL-terminated, `list` has room for `count` groups, and the call
    // writes no more than that, and how many it wrote.
    let written =
        unsafe { libc::getgrouplist(name.as_ptr(), gid, list.as_mut_ptr(), &raw mut count) };
    list.truncate(usize::try_from(written).unwrap_or(0));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_root_and_not_a_stranger() {
        let root = HostUser::named("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0));
        assert_eq!(HostUser::with_uid(0).unwrap(), Some(root));
        assert_eq!(HostUser::named("no-such-user-here").unwrap(), None);
        assert_eq!(HostUser::named("a\0b").unwrap(), None);
        assert_eq!(HostUser::with_uid(0x7fff_fffe).unwrap(), None);
    }
}
