//! What the process that serves clients holds in memory (proc_pid_status(5)), in KiB.

use std::fs;

use ten_testkit::Ten;

/// Now.
///
/// # Panics
///
/// When the server does not run.
pub fn resident_kib(ten: &Ten) -> u64 {
    kib(ten, "VmRSS:")
}

/// At most since it started.
///
/// # Panics
///
/// When the server does not run.
pub fn peak_kib(ten: &Ten) -> u64 {
    kib(ten, "VmHWM:")
}

fn kib(ten: &Ten, name: &str) -> u64 {
    let front = ten.front().unwrap_or(ten.warden());
    let status = fs::read_to_string(format!("/proc/{front}/status")).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
