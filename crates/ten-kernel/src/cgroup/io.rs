//! The io controller (kernel: admin-guide/cgroup-v2, "IO Interface Files").
//!
//! `io.weight` is there where the kernel has the iocost model, and works on the devices for
//! which that is enabled (`io.cost.qos`).

use super::{Controller, limits::Knob};
use crate::plan::Limits;

pub(super) fn knobs(limits: &Limits) -> impl Iterator<Item = Knob> + use<> {
    let weight = limits.io_weight.map(|weight| Knob {
        controller: Controller::Io,
        file: "io.weight",
        value: format!("default {weight}"),
        required: true,
    });
    weight.into_iter()
}
