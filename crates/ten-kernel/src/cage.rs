//! The cage of a servant that meets strangers: what is left of a process that must not be able to
//! do more than it does, whoever gets hold of it.
//!
//! ```text
//! root:     file tree of its own ► bounding set ► user ─┐
//! anybody:                                              ├► capabilities ► no_new_privs ►
//!                                                       │  Landlock ► seccomp ► undumpable
//! ```
//!
//! The order matters: each step needs what the next takes away, and none can be taken back. Only
//! root can have a tree and a user of its own; for everybody else Landlock is the wall before the
//! files. Of Landlock a kernel does what it can; whoever enters a cage can ask what that is
//! ([`landlock_abi`](crate::landlock_abi)). All other steps are there or the cage is not entered.

use std::{
    io,
    path::{Path, PathBuf},
};

use landlock::{Access, AccessFs, BitFlags};
use rustix::{
    fs::{Gid, Uid},
    io::Errno,
    process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal},
    thread::{
        UnshareFlags, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::{
    failure::{Failure, Step},
    plan::Mount,
    seclude, users,
    walls::{self, Keeps},
};

/// What is left to a servant.
#[derive(Debug, Clone)]
pub struct Cage {
    /// The user and group that it becomes, where it is root.
    pub user: u32,
    /// The one folder that it may change, at its own path; that user's.
    pub home: PathBuf,
    /// Files and folders that it may read. What is missing is left out.
    pub reads: Vec<PathBuf>,
}

/// Uids that fronts have: the end of the range of [`crate::User::Own`], which trees never get.
pub const FRONT_USERS: std::ops::Range<u32> = 0x7fff_0000..0x7fff_fff0;

impl Cage {
    /// Enters it, for good: nothing leads out. The process must have one thread.
    ///
    /// # Errors
    ///
    /// The first step that cannot be done. Those before it are done, so whoever fails must end.
    pub fn enter(&self) -> Result<(), Failure> {
        walls::prepare();
        if users::is_root() {
            self.build_tree()?;
            walls::drop_bounding_set().map_err(Failure::of(Step::Capabilities))?;
            self.become_user().map_err(Failure::of(Step::FrontUser))?;
        }
        walls::drop_capabilities().map_err(Failure::of(Step::Capabilities))?;
        set_no_new_privs(true).map_err(Failure::of(Step::NoNewPrivileges))?;
        self.confine().map_err(|error| {
            Failure::of(Step::Landlock)(Errno::from_io_error(&error).unwrap_or(Errno::IO))
        })?;
        walls::refuse(Keeps::Threads).map_err(Failure::of(Step::Syscalls))?;
        // Last: a change of credentials resets it.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(Failure::of(Step::Undumpable))
    }

    /// A tree in which there is nothing but what it needs.
    fn build_tree(&self) -> Result<(), Failure> {
        let own = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
        // SAFETY: a namespace of mounts, of System V IPC or of host names changes no memory,
        // descriptor or credential of this process.
        unsafe { rustix::thread::unshare_unsafe(own) }.map_err(Failure::of(Step::FrontTree))?;
        let shown = self.reads.iter().filter(|path| !path.starts_with("/proc") && path.exists());
        let shown = shown.map(|path| (path, false)).chain([(&self.home, true)]);
        let shown: Vec<_> = shown
            .map(|(path, writable)| Mount::Bind { from: path.clone(), at: path.clone(), writable })
            .collect();
        walls::replace_tree(&shown)
    }

    fn become_user(&self) -> Result<(), Errno> {
        let (uid, gid) = (Uid::from_raw(self.user), Gid::from_raw(self.user));
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        // A change of credentials has taken it back (prctl(2)).
        set_parent_process_death_signal(Some(Signal::KILL))
    }

    fn confine(&self) -> io::Result<()> {
        let home = (self.home.as_path(), AccessFs::from_all(seclude::KNOWN) & !AccessFs::Execute);
        let reads = self.reads.iter().filter_map(|path| Some((path.as_path(), reading(path)?)));
        seclude::landlock_to(reads.chain([home])).map(drop)
    }
}

/// What reading takes; `None` where there is nothing.
fn reading(path: &Path) -> Option<BitFlags<AccessFs>> {
    let folder = path.metadata().ok()?.is_dir();
    Some(if folder { AccessFs::ReadFile | AccessFs::ReadDir } else { AccessFs::ReadFile.into() })
}
