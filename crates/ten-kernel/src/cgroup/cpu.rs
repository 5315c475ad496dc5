//! The cpu controller (kernel: admin-guide/cgroup-v2, "CPU Interface Files").

use std::time::Duration;

use super::{Controller, field, limits::Knob};
use crate::plan::Limits;

/// The kernel's own default: short enough that nobody notices the pauses of a throttled
/// tree, long enough that one percent of it is the least the kernel takes (1 ms).
const PERIOD_US: u64 = 100_000;

pub(super) fn knobs(limits: &Limits) -> impl Iterator<Item = Knob> + use<> {
    let knob = |file, value| Knob { controller: Controller::Cpu, file, value, required: true };
    let weight = limits.cpu_weight.map(|weight| knob("cpu.weight", weight.to_string()));
    let max = limits.cpu_max_percent.map(|percent| {
        let quota = u64::from(percent) * PERIOD_US / 100;
        knob("cpu.max", format!("{quota} {PERIOD_US}"))
    });
    weight.into_iter().chain(max)
}

/// Of `cpu.stat`, which is there without the controller, too.
pub(super) fn used(stat: &str) -> Option<Duration> {
    field(stat, "usage_usec").map(Duration::from_micros)
}
