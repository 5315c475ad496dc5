//! The pids controller (kernel: admin-guide/cgroup-v2, "PID Interface Files").

use super::{Controller, limits::Knob};
use crate::plan::Limits;

/// The most that the kernel takes: PID_MAX_LIMIT of 64-bit kernels.
const MOST: u64 = 4_194_304;

/// The tree's init is ours and does not count.
pub(super) fn knobs(limits: &Limits) -> impl Iterator<Item = Knob> + use<> {
    let required = limits.pids_required;
    let max = limits.pids_max.map(|max| Knob {
        controller: Controller::Pids,
        file: "pids.max",
        value: max.saturating_add(1).min(MOST).to_string(),
        required,
    });
    max.into_iter()
}

/// Of `pids.current`, counted as the limit is.
pub(super) fn used(current: &str) -> Option<u64> {
    current.trim().parse().ok().map(|all: u64| all.saturating_sub(1))
}
