//! What a process has used so far, as the kernel counts it (proc_pid_stat(5)).

use std::{collections::BTreeMap, fs, io, time::Duration};

/// Time on processors, and memory now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// In user mode and in the kernel, all threads.
    pub(crate) cpu: Duration,
    /// Resident, in bytes.
    pub(crate) memory: u64,
}

/// Of one process.
pub(crate) fn of(pid: u32) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field, a name in brackets, may have anything in it.
    let fields: Vec<u64> = stat
        .rsplit_once(") ")
        .map_or("", |(_, rest)| rest)
        .split(' ')
        .map(|field| field.trim().parse().unwrap_or_default())
        .collect();
    // Fields 14, 15 and 24 of the manual, of which the first two are cut off here.
    let [user, kernel, pages] = [11, 12, 21].map(|i| fields.get(i).copied().unwrap_or_default());
    let ticks = rustix::param::clock_ticks_per_second();
    Ok(Usage {
        cpu: Duration::from_secs_f64((user + kernel) as f64 / ticks as f64),
        memory: pages * rustix::param::page_size() as u64,
    })
}

/// How often each thread of a process was given a processor, by the thread's id. What ended
/// threads had is not in it.
pub(crate) fn switches(pid: u32) -> io::Result<BTreeMap<u32, u64>> {
    let mut switches = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        // A thread may end between the list and the look.
        let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
        let counts = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
        let sum = counts.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum();
        if let Some(thread) = task.file_name().to_str().and_then(|name| name.parse().ok()) {
            switches.insert(thread, sum);
        }
    }
    Ok(switches)
}

/// The processes that this one has started and that still run.
pub(crate) fn children(pid: u32) -> io::Result<Vec<u32>> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}
