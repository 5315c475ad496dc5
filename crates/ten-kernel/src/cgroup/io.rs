//! The io controller (kernel: admin-guide/cgroup-v2, "IO Interface Files").
//!
//! `io.weight` is there where the kernel has the iocost model, and works on the devices for
//! which that is enabled (`io.cost.qos`).

use super::{Controller, limits::Knob, usage::BlockIo};
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

/// Of `io.stat`: a line for each device that was used, its number and then keys with numbers.
pub(super) fn used(stat: &str) -> BlockIo {
    let sum = |key: &str| {
        let words = stat.split_whitespace().filter_map(|word| word.split_once('='));
        let numbers = words.filter(|(word, _)| *word == key);
        numbers.filter_map(|(_, number)| number.parse::<u64>().ok()).sum()
    };
    BlockIo {
        read_bytes: sum("rbytes"),
        written_bytes: sum("wbytes"),
        reads: sum("rios"),
        writes: sum("wios"),
    }
}
