//! Processes of the host, read from /proc (proc(5)).
//!
//! A process that has ended but was not reaped yet does not count as one: some hosts' PID 1
//! reaps orphans a second late.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process};

/// A living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// Its parent's pid.
    pub parent: u32,
    /// Its state letter: `R`, `S`, `D`, `T` …
    pub state: char,
    /// Its arguments.
    pub argv: Vec<String>,
    /// The environment that it was started with, `NAME=VALUE` each; empty where we may not
    /// read it.
    pub env: Vec<String>,
}

/// Every living process that we can see.
pub fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(read).collect()
}

/// The process with this pid, if it lives.
pub fn read(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in the second field may itself hold blanks and brackets.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    if matches!(state, 'Z' | 'X') {
        return None;
    }
    Some(Process { pid, parent, state, argv: words(pid, "cmdline"), env: words(pid, "environ") })
}

/// Whether it lives.
pub fn is_alive(pid: u32) -> bool {
    read(pid).is_some()
}

/// Every living process whose environment has all of these `NAME=VALUE`.
pub fn with_env(wanted: &[&str]) -> Vec<Process> {
    let has = |process: &Process, want: &str| process.env.iter().any(|have| have == want);
    all().into_iter().filter(|process| wanted.iter().all(|want| has(process, want))).collect()
}

/// Sends a signal.
///
/// # Errors
///
/// ESRCH where there is no such process, EPERM where we may not (kill(2)).
pub fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill_process(pid, signal)?)
}

impl Process {
    /// Whether it was started for something in this folder: its arguments or its environment
    /// name it.
    pub(crate) fn names(&self, folder: &Path) -> bool {
        let inside = |text: &String| {
            text.match_indices(&*folder.to_string_lossy()).any(|(at, found)| {
                let next = text.as_bytes().get(at + found.len());
                next.is_none_or(|byte| !byte.is_ascii_alphanumeric())
            })
        };
        self.argv.iter().chain(&self.env).any(inside)
    }

    /// The network namespace that it is in, where we may know (namespaces(7)).
    pub(crate) fn network(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/ns/net", self.pid)).ok()
    }

    /// The same, held: its name is not given to another while the file is open.
    pub(crate) fn held_network(&self) -> Option<(PathBuf, File)> {
        let held = File::open(format!("/proc/{}/ns/net", self.pid)).ok()?;
        let name = fs::read_link(format!("/proc/self/fd/{}", held.as_raw_fd())).ok()?;
        Some((name, held))
    }

    /// The cgroup that it is in, in the v2 hierarchy (cgroups(7)).
    pub(crate) fn cgroup(&self) -> Option<String> {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
    }
}

fn words(pid: u32, file: &str) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| OsStr::from_bytes(word).to_string_lossy().into_owned()).collect()
}
