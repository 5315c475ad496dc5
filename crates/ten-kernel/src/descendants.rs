//! Reaching every process of a tree that has no PID namespace and no cgroup, by walking
//! /proc from its init, which as a subreaper stays the ancestor of all of them.

use std::collections::HashSet;

use crate::{child::Child, procfs, signals};

/// Sends a signal, then SIGCONT, to every descendant of this process, once each. A process
/// that is born meanwhile is found by the next round; the last round finds nothing new.
pub(crate) fn signal_all(signal: i32) {
    let mut told = HashSet::new();
    while signal_untold(signal, &mut told) {}
}

fn signal_untold(signal: i32, told: &mut HashSet<u32>) -> bool {
    let before = told.len();
    walk(|parent, pid| {
        if told.insert(pid) {
            signal_child(parent, pid, &[signal, libc::SIGCONT]);
        }
    });
    told.len() > before
}

/// Kills every descendant of this process that can be found now. Parents before children:
/// a killed process cannot fork any more, so whoever was missed is the child of one who
/// will die, and its death is the moment to call this again.
pub(crate) fn kill_all() {
    walk(|parent, pid| signal_child(parent, pid, &[libc::SIGKILL]));
}

/// Kills a child of this process (an orphan that it inherited).
pub fn kill_orphan(pid: u32) {
    signal_child(std::process::id(), pid, &[libc::SIGKILL]);
}

/// Visits each descendant of this process with its parent, and lists a process's children
/// only after it was visited.
fn walk(mut visit: impl FnMut(u32, u32)) {
    let me = std::process::id();
    let mut next: Vec<_> = procfs::children(me).into_iter().map(|pid| (me, pid)).collect();
    while let Some((parent, pid)) = next.pop() {
        visit(parent, pid);
        next.extend(procfs::children(pid).into_iter().map(|child| (pid, child)));
    }
}

/// A child of our own keeps its pid until we reap it. Anyone else's may have been reaped
/// and its pid given away, so it is first held by a pidfd and then looked at again.
fn signal_child(parent: u32, pid: u32, list: &[i32]) {
    let me = std::process::id();
    if parent == me {
        list.iter().for_each(|signal| signals::send(pid.cast_signed(), *signal));
    } else if let Ok(held) = Child::open(pid)
        && procfs::parent(pid).is_some_and(|now| now == parent || now == me)
    {
        for signal in list {
            // A descendant that we may not signal (of another user) is not ours to end.
            let _ = held.signal(*signal);
        }
    }
}
