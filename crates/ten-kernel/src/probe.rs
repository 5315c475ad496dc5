//! What this host can do, found by trying it wherever that changes nothing.
//!
//! ```text
//! calls ── which system calls exist       trial ── one tree behind real walls, one front's cage
//! kvm ──── whether VMs can be made        holder ─ who has a port or socket
//! disk ─── what a folder lies on
//! ```
//!
//! Facts only: what is needed, and what to do where something is missing, is for others to say.

mod calls;
mod disk;
mod holder;
mod kvm;
mod trial;

pub use calls::{absent_calls, closes_abstract_sockets, landlock_abi, release, seccomp_filters};
pub use disk::{Filesystem, filesystem, is_writable};
pub use holder::{Holder, holder, listener};
pub use kvm::{KvmError, try_kvm};
pub use trial::{try_cage, try_walls, try_way_out};
