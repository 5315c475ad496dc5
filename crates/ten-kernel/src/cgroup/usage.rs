//! What the processes of a cgroup use, as of one moment.
//!
//! Each number is there where the kernel counts it, and `None` where it does not: nobody can
//! tell a zero that means "nothing" from one that means "not known".

use std::{fs, path::Path, time::Duration};

use super::{cpu, io, memory, pids};

/// What a cgroup uses, or has used since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes of memory now, page cache included.
    pub memory: Option<u64>,
    /// Time that its processes were on a CPU so far. The kernel counts it also where the cpu
    /// controller limits nothing.
    pub cpu: Option<Duration>,
    /// What went to and came from block devices so far.
    pub io: Option<BlockIo>,
    /// Processes and threads now, init left out as `pids_max` leaves it out.
    pub pids: Option<u64>,
}

/// What went to and came from block devices. A device that lies on another one (LVM, an image)
/// counts, and so does the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockIo {
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Requests to read.
    pub reads: u64,
    /// Requests to write.
    pub writes: u64,
}

/// What a cgroup uses. All `None` where it is gone.
pub fn usage(cgroup: &Path) -> Usage {
    let read = |file| fs::read_to_string(cgroup.join(file)).ok();
    Usage {
        memory: read("memory.current").and_then(|text| memory::used(&text)),
        cpu: read("cpu.stat").and_then(|text| cpu::used(&text)),
        io: read("io.stat").map(|text| io::used(&text)),
        pids: read("pids.current").and_then(|text| pids::used(&text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_counted_is_not_zero() {
        let cgroup = tempfile::tempdir().unwrap();
        assert_eq!(usage(cgroup.path()), Usage::default());
        fs::write(cgroup.path().join("io.stat"), "").unwrap();
        fs::write(cgroup.path().join("pids.current"), "1\n").unwrap();
        let nothing_yet = Usage { io: Some(BlockIo::default()), pids: Some(0), ..Usage::default() };
        assert_eq!(usage(cgroup.path()), nothing_yet);
    }

    #[test]
    fn every_number_is_found() {
        let cgroup = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("memory.current", "8192\n"),
            ("cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n"),
            (
                "io.stat",
                "254:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0 dios=0\n7:0 \n\
                 254:16 wbytes=8 rbytes=1 cost.usage=5\n",
            ),
            ("pids.current", "4\n"),
        ] {
            fs::write(cgroup.path().join(file), text).unwrap();
        }
        let io = BlockIo { read_bytes: 4097, written_bytes: 520, reads: 2, writes: 1 };
        assert_eq!(
            usage(cgroup.path()),
            Usage {
                memory: Some(8192),
                cpu: Some(Duration::from_micros(1500)),
                io: Some(io),
                pids: Some(3)
            }
        );
    }
}
