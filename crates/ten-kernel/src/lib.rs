//! Linux, for tenement: launch plans and their execution, cgroups, locks, listeners.
//!
//! ```text
//! launch ── clone3 ──► init (PID 1 of its namespace, or a subreaper)
//!    ▲                   ├─ walls: mounts, capabilities
//!    └──── report ◄──────┴─ start ─► program (execve)
//! ```
//!
//! This crate knows pids, paths and numbers. It does not know what a tenant, a service or a
//! configuration is, decides nothing, and has no thread of its own. It is the only crate
//! that may say `unsafe`.

mod beneath;
mod cage;
mod cgroup;
mod child;
mod command;
mod descendants;
mod door;
mod exec;
mod failure;
mod fifo;
mod heap;
mod identity;
mod inherited;
mod init;
mod launch;
mod listen;
mod lock;
mod minder;
mod netlink;
mod plan;
mod probe;
pub mod procfs;
mod program;
mod quota;
mod reach;
mod regular;
mod remedy;
mod report;
mod seclude;
mod signals;
mod sock_diag;
mod title;
mod trash;
mod uplink;
mod users;
mod walls;

pub use cage::{Cage, FRONT_USERS};
pub use cgroup::{
    BlockIo, CgroupError, CgroupTree, Controller, Foresight, Lack, Leaf, LimitError, Usage, Watch,
    foresee, limit, usage,
};
pub use child::Child;
pub use command::{
    COMMAND_MAX, CommandLine, CommandLineError, Streams, Terminal, take_end, take_start,
};
pub use descendants::kill_orphan;
pub use door::{Door, Wanted, take_socket};
pub use exec::{fork_servant, spawn};
pub use failure::{Failure, Step, with_causes};
pub use fifo::{Fifo, make_fifo, open_fifo};
pub use heap::give_back_free_heap;
pub use identity::hand_over;
pub use inherited::take_given;
pub use init::KILL_ORDER;
pub use launch::{Given, Launch, launch};
pub use listen::{BACKLOG, listen_tcp, listen_unix, remove_socket};
pub use lock::{DirLock, LockError};
pub use plan::{LaunchPlan, Limits, Mount, Network, Storage, User, Walls};
pub use probe::{
    Filesystem, Holder, KvmError, absent_calls, closes_abstract_sockets, filesystem, holder,
    is_writable, landlock_abi, listener, release, seccomp_filters, try_cage, try_kvm, try_walls,
    try_way_out,
};
pub use quota::{
    Mechanism, SCRATCH as SCRATCH_IN_IMAGE, Seen, discard_bare, has_image, look_into, mechanism,
    mkfs, storage_used,
};
pub use reach::{reach_socket, reach_socket_below};
pub use regular::open_regular;
pub use report::{Report, ReportEnd};
pub use seclude::{keep_rights_of_keeper, seclude};
pub use signals::{Signals, raise_open_files};
pub use sock_diag::{Listening, SockDiag};
pub use trash::{IMAGES, NewEntry, PutBackError, Trash, empty_in_child, is_entry};
pub use uplink::{Link, Uplink, uplink_reaches};
pub use users::{HostUser, is_root, own_uid};
pub use walls::{Blanks, Recipe};
