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
    /// Folders to create (mode 0700, parents 0755) before the start where they are missing. They are kept.
    pub folders: Vec<PathBuf>,
    /// A folder that lives and dies with the tree: emptied before, removed after.
    pub scratch: Option<PathBuf>,
    /// Where the tree will bind its Unix socket, as seen outside the walls. A socket left
    /// there is removed before the start and after the end; anything else is left alone.
    pub socket: Option<PathBuf>,
    /// Whether to bind `socket` ourselves and pass it as fd 3 (sd_listen_fds(3)).
    pub activation: bool,
    /// What surrounds it.
    pub walls: Walls,
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
        /// Made in this order. What a `Bind` shows is opened before the first one is made.
        mounts: Vec<Mount>,
    },
}

/// One mount inside the walls. Mount points that a private place hides are made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mount {
    /// A /proc of the new PID namespace.
    Proc,
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
}
