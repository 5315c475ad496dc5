//! Limits, written into a leaf before anything is born in it.

use std::{fs, io, path::PathBuf};

use super::{CgroupTree, Controller, Lack, Leaf, cpu, io as block_io, memory, pids};
use crate::plan::Limits;

/// One file of a leaf and what is written to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Knob {
    pub(super) controller: Controller,
    pub(super) file: &'static str,
    pub(super) value: String,
    /// Whether the tree must not be started without it.
    pub(super) required: bool,
}

/// A limit that cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The leaf lacks the controller.
    #[error("cannot set {file} to {value}: {lack}; {}", lack.remedy())]
    Lacking {
        /// The file that would hold it.
        file: &'static str,
        /// What was to be written.
        value: String,
        /// Why there is no such file.
        lack: Lack,
    },
    /// The kernel does not take it.
    #[error("cannot set {path} to {value}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What was to be written.
        value: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Writes every limit. One that cannot be applied is an error, unless the plan can do
/// without it.
pub fn limit(limits: &Limits, at: Option<(&CgroupTree, &Leaf)>) -> Result<(), LimitError> {
    for knob in knobs(limits) {
        let required = knob.required;
        match turn(knob, at) {
            Err(error) if required => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn knobs(limits: &Limits) -> impl Iterator<Item = Knob> {
    memory::knobs(limits)
        .chain(cpu::knobs(limits))
        .chain(pids::knobs(limits))
        .chain(block_io::knobs(limits))
}

fn turn(knob: Knob, at: Option<(&CgroupTree, &Leaf)>) -> Result<(), LimitError> {
    let Knob { controller, file, value, .. } = knob;
    let lack = match at {
        None => Some(Lack::Cgroup),
        Some((tree, _)) => tree.lack(controller).cloned(),
    };
    match (lack, at) {
        (None, Some((_, leaf))) => {
            let path = leaf.path().join(file);
            fs::write(&path, &value).map_err(|source| LimitError::Refused { path, value, source })
        }
        (lack, _) => Err(LimitError::Lacking { file, value, lack: lack.unwrap_or(Lack::Cgroup) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(limits: &Limits) -> Vec<(&'static str, String, bool)> {
        knobs(limits).map(|knob| (knob.file, knob.value, knob.required)).collect()
    }

    #[test]
    fn every_limit_has_its_file() {
        let limits = Limits {
            memory_max: Some(64 << 20),
            memory_swap_max: Some(0),
            cpu_weight: Some(300),
            cpu_max_percent: Some(150),
            pids_max: Some(512),
            pids_required: false,
            io_weight: Some(50),
        };
        let want = [
            ("memory.max", "67108864", true),
            ("memory.swap.max", "0", true),
            ("memory.oom.group", "1", false),
            ("cpu.weight", "300", true),
            ("cpu.max", "150000 100000", true),
            ("pids.max", "513", false),
            ("io.weight", "default 50", true),
        ];
        assert_eq!(written(&limits), want.map(|(file, value, must)| (file, value.into(), must)));
        assert_eq!(written(&Limits::default()), [("memory.oom.group", "1".into(), false)]);
    }

    #[test]
    fn without_cgroups_only_what_is_asked_for_fails() {
        let by_default = Limits { pids_max: Some(512), ..Limits::default() };
        limit(&by_default, None).unwrap();
        let asked = Limits { pids_required: true, ..by_default };
        let error = limit(&asked, None).unwrap_err().to_string();
        assert!(error.starts_with("cannot set pids.max to 513: this host has no"), "{error}");
    }
}
