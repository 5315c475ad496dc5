//! What front and warden say to each other: one message per SOCK_SEQPACKET datagram, fds
//! beside it (unix(7), SCM_RIGHTS).
//!
//! The front speaks first only after it was told everything about the present: one `Boot`,
//! one `Living` for each process tree, then `BootDone`. From there on both sides may speak
//! at any time; messages are never reordered.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Names one launch for as long as the warden lives. Chosen by the front, ever rising,
/// below 2^62.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaunchId(pub u64);

impl LaunchId {
    /// The first that a warden expects: while it is the next one, nothing was ever launched.
    pub const FIRST: Self = Self(0);
}

/// The cgroup of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// The number by which the kernel names it elsewhere.
    pub id: u64,
    /// Where it is in the file tree.
    pub path: PathBuf,
}

/// A tree whose program was executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// The pid of its main process, as the host sees it.
    pub pid: u32,
    /// Its cgroup, where it has one.
    pub cgroup: Option<Cgroup>,
    /// Whether there is a meter of its storage.
    pub limited: bool,
}

/// What the front asks of the warden. Nothing is answered but by a [`ToFront`] event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWarden {
    /// Start a tree. Answered by `Launched` or `LaunchFailed`, perhaps by `Preparing` before.
    Launch {
        /// Its name from now on.
        launch: LaunchId,
        /// What to start, as the warden's [`Planner`](crate::Planner) understands it. No plan
        /// comes from the front: it chooses what is started, not how.
        order: Vec<u8>,
        /// What a later front must know of it; the warden does not look inside.
        note: Vec<u8>,
    },
    /// Send a signal to every process of the tree, and SIGCONT after it, so that a stopped
    /// process hears it too. Unknown launches are ignored: it may have exited meanwhile.
    /// SIGKILL is `Kill`; SIGSTOP, SIGCHLD and 64 (SIGRTMAX) cannot be sent to a tree.
    Signal {
        /// To which tree.
        launch: LaunchId,
        /// The signal's number.
        signal: i32,
    },
    /// Kill the whole tree. Answered, like every other end, by `Exited`.
    Kill {
        /// Which tree.
        launch: LaunchId,
    },
    /// Look for the tree's Unix socket, or look no more. Answered by `Found`, once for each time
    /// that it is asked for, as soon as there is one.
    Seek {
        /// Whose.
        launch: LaunchId,
        /// Whether it is wanted.
        wanted: bool,
    },
    /// Open the files that are shown to the front, as they are now. Answered by `Shown`.
    Show,
    /// Everything is stopped and stored: the front is about to exit for good, and so may the warden.
    Farewell,
}

/// What the warden tells the front.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToFront {
    /// The first message. Beside it: the TCP listeners, the admin socket's listener, the
    /// front's note, and the keeper of the data.
    Boot {
        /// How many of the fds are TCP listeners.
        tcp_listeners: usize,
        /// The lowest launch id that was never used.
        next_launch: LaunchId,
        /// Length of the front's own note, which is read from the memfd that is the last fd but
        /// one.
        note_len: usize,
    },
    /// A tree that is there already. Beside it, where it runs: its stdout, its stderr, its door, and
    /// the meter of its storage, where that is limited.
    Living {
        /// Which.
        launch: LaunchId,
        /// `None` while its data are being moved: what follows is as after `Preparing`.
        runs: Option<Runs>,
        /// What came with its launch.
        note: Vec<u8>,
    },
    /// All living trees have been named.
    BootDone,
    /// Before its program is executed, its data are moved, which takes as long as there are data.
    /// `Launched` or `LaunchFailed` follows.
    Preparing {
        /// Which.
        launch: LaunchId,
    },
    /// The program was executed. Beside it is what is beside `Living`.
    Launched {
        /// Which.
        launch: LaunchId,
        /// What there is of it.
        runs: Runs,
    },
    /// There is a socket where the tree's should be; whether anybody accepts on it is for the
    /// front to find out. Beside it is the socket's file (O_PATH).
    Found {
        /// Whose.
        launch: LaunchId,
    },
    /// It could not be started; nothing of it is left.
    LaunchFailed {
        /// Which.
        launch: LaunchId,
        /// The step that failed and why, for logs and operators.
        reason: String,
        /// Whether what must be written down first found no room.
        disk_full: bool,
    },
    /// Its main process ended and nothing of the tree is left: no process, cgroup, socket
    /// or scratch folder.
    Exited {
        /// Which.
        launch: LaunchId,
        /// How the main process ended.
        exit: Exit,
    },
    /// Answers `Show`. Beside it are the files, unless one of them cannot be opened.
    Shown {
        /// Which cannot, and why.
        lacks: Option<String>,
    },
    /// ten was told to stop: drain and stop everything, then say `Farewell`.
    Terminate,
    /// ten was told to read its config again (SIGHUP).
    Reload,
}

/// How a main process ended (wait(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It returned this status, 0 to 255.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// The kernel killed the whole tree because there was no memory left for it
    /// (`memory_limit_mb`, or all of the machine's).
    OutOfMemory,
    /// Its init was killed from outside, so nobody knows.
    Lost,
}
