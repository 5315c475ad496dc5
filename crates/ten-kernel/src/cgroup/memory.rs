//! The memory controller (kernel: admin-guide/cgroup-v2, "Memory Interface Files").

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use super::{Controller, limits::Knob};
use crate::plan::Limits;

/// A tree that runs out of memory is killed as a whole: half of it is no service, and its
/// supervisor would not hear of it.
pub(super) fn knobs(limits: &Limits) -> impl Iterator<Item = Knob> + use<> {
    let knob =
        |file, value, required| Knob { controller: Controller::Memory, file, value, required };
    let max = limits.memory_max.map(|bytes| knob("memory.max", bytes.to_string(), true));
    let swap = limits.memory_swap_max.map(|bytes| knob("memory.swap.max", bytes.to_string(), true));
    max.into_iter().chain(swap).chain([knob("memory.oom.group", "1".into(), false)])
}

/// Of `memory.current`: bytes, page cache included.
pub(super) fn used(current: &str) -> Option<u64> {
    current.trim().parse().ok()
}

/// How many processes the kernel has killed here because memory ran out.
pub(super) fn oom_kills(leaf: &Path) -> io::Result<u64> {
    match fs::read_to_string(leaf.join("memory.events")) {
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(0),
        text => Ok(super::field(&text?, "oom_kill").unwrap_or(0)),
    }
}
