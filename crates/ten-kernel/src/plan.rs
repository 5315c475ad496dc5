//! The launch plan: everything the kernel must be told to start one process tree, as data.
//!
//! Whoever writes a plan decides; whoever executes it only obeys. A plan names paths and
//! numbers, never tenants, and it is complete: nothing is taken from the executing process,
//! neither environment nor folder nor file descriptor.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How to start one process tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// What the tree is called: its cgroup, its log pipes, its record. One path component.
    /// No two living trees have the same.
    pub name: String,
    /// The file to execute. Absolute, and visible inside the walls.
    pub program: PathBuf,
    /// All arguments, the zeroth included.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// The folder to start in, as seen inside the walls.
    pub workdir: PathBuf,
    /// Folders to create (mode 0700, parents 0755) before the start where they are missing.
    /// They are kept, and given to `user` with all that is in them.
    pub folders: Vec<PathBuf>,
    /// Which of `folders` hold its data, and how much they may hold.
    pub storage: Option<Storage>,
    /// A folder that lives and dies with the tree: empty before, removed after (or left empty, on
    /// a full disk).
    pub scratch: Option<PathBuf>,
    /// Where the tree will bind its Unix socket, as seen outside the walls. A socket left
    /// there is removed before the start and after the end; anything else is left alone.
    pub socket: Option<PathBuf>,
    /// Whether to bind `socket` ourselves and pass it as fd 3 (sd_listen_fds(3)).
    pub activation: bool,
    /// As whom it runs.
    pub user: User,
    /// What surrounds it.
    pub walls: Walls,
    /// What it may use.
    pub limits: Limits,
}

/// The data of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// The folder that all of these lie in.
    pub data_dir: PathBuf,
    /// The folders that hold them. None lies in another.
    pub folders: Vec<PathBuf>,
    /// Where their image is, if they are in one: two levels below `data_dir`, in a folder that
    /// is nobody else's.
    pub home: PathBuf,
    /// Bytes that they may take together; `None`: as much as there is. Enforced before the
    /// program starts; where that is impossible, the launch fails.
    pub limit: Option<u64>,
}

/// What a tree may use of the machine; `None`: as much as there is. In force before its
/// first process is born. What cannot be applied fails the launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory (`memory.max`).
    pub memory_max: Option<u64>,
    /// Bytes of swap (`memory.swap.max`).
    pub memory_swap_max: Option<u64>,
    /// Its share of a busy CPU, 1 to 10000; the kernel's default is 100 (`cpu.weight`).
    pub cpu_weight: Option<u16>,
    /// CPU time in percent of one CPU, at least 1 (`cpu.max`).
    pub cpu_max_percent: Option<u32>,
    /// Processes and threads, not counting its init (`pids.max`).
    pub pids_max: Option<u64>,
    /// Whether it must not be started where `pids_max` cannot be applied.
    pub pids_required: bool,
    /// Its share of a busy disk, 1 to 10000; the kernel's default is 100 (`io.weight`).
    pub io_weight: Option<u16>,
}

/// As whom a tree runs. Whoever is not root can only pass on what it is itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum User {
    /// As its launcher.
    Inherit,
    /// As a user of the host.
    Named {
        /// User id.
        uid: u32,
        /// Primary group.
        gid: u32,
        /// Supplementary groups.
        groups: Vec<u32>,
    },
    /// As one that no other tree and nobody on the host is: the owner of the first of
    /// `folders` if it was given to such a user before, else a new one.
    Own {
        /// A file whose owner is the last user that was made so. It is made when missing,
        /// two levels above the first of `folders`.
        ledger: PathBuf,
    },
}

/// What surrounds a process tree. In every case it has its own session, its own cgroup
/// where the host has a writable cgroup v2, no_new_privs, and an init of ours as its parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Walls {
    /// Nothing more.
    Bare,
    /// Own PID, mount, IPC, UTS and cgroup namespaces (and a user namespace where we are
    /// not root), no capabilities, and the host's file tree read-only but for `mounts`.
    Namespaces {
        /// The name that uname(2) gives inside.
        hostname: String,
        /// The network that it sees.
        network: Network,
        /// Made in this order. What a `Bind` shows is opened before the first one is made.
        mounts: Vec<Mount>,
    },
}

/// The network that a tree sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// Its launcher's.
    Host,
    /// One of its own in which there is nothing but a loopback device: no way out, and no way
    /// in but through its [`Door`](crate::Door). Sockets that know no networks, such as
    /// vsock(7), cannot be made.
    Loopback,
    /// The same with a way out: what a tree sends to addresses that are neither the host's nor
    /// another tree's passes an [`Uplink`](crate::Uplink) and leaves the host in its name.
    Uplink,
}

/// One mount inside the walls. Mount points that a private place hides are made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mount {
    /// A /proc of the new PID namespace, without what it tells about the kernel's insides.
    Proc,
    /// The same for /sys; where the host has cgroup v2 there, /sys/fs/cgroup begins with the
    /// tree's own cgroup, else it is empty.
    Sys,
    /// A /dev with the devices that every program may expect, its own terminals and its own
    /// /dev/shm.
    Devices,
    /// An empty, writable tmpfs (nosuid, nodev) with these mode bits.
    Private {
        /// Where.
        at: PathBuf,
        /// Permission bits of its root, such as 0o1777.
        mode: u32,
    },
    /// A folder or file of the host.
    Bind {
        /// Its path on the host.
        from: PathBuf,
        /// Its path inside.
        at: PathBuf,
        /// Whether it can be written to.
        writable: bool,
    },
    /// A file with this content, which anybody may read and nobody change. It is kept where the
    /// `Private` place before it keeps its own.
    Text {
        /// Where.
        at: PathBuf,
        /// The content.
        text: String,
    },
}
