//! What ps(1) shows. A process that was forked shows its parent's command line until it
//! writes its own over it.

use std::{fs, sync::OnceLock};

use crate::procfs;

/// Where the arguments of this process are, which all its forks have from it.
static ARGUMENTS: OnceLock<Option<(usize, usize)>> = OnceLock::new();

/// Finds out what [`set`] must know, so that no fork has to: it costs one as much as three mounts.
pub(crate) fn prepare() {
    ARGUMENTS.get_or_init(arguments);
}

/// Names this process: its short name, and its command line as far as the inherited one is long.
pub(crate) fn set(name: &std::ffi::CStr, line: &str) {
    // Cosmetic, both: a process that cannot be renamed works as well.
    let _ = rustix::thread::set_name(name);
    let Some((start, end)) = *ARGUMENTS.get_or_init(arguments) else { return };
    let room = end - start;
    // SAFETY: the kernel says that [start, end) holds this process's arguments as execve(2)
    // wrote them on the stack, which is mapped and writable. The standard library reads
    // them through pointers and copies when asked; no reference to them is ever kept, and
    // this process has one thread. The last byte stays NUL, so no reader runs past the end.
    unsafe {
        let area = std::ptr::with_exposed_provenance_mut::<u8>(start);
        area.write_bytes(0, room);
        area.copy_from_nonoverlapping(line.as_ptr(), line.len().min(room - 1));
    }
}

/// Fields 48 and 49 of proc_pid_stat(5).
fn arguments() -> Option<(usize, usize)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let start = procfs::field(&stat, 48)?.parse().ok()?;
    let end = procfs::field(&stat, 49)?.parse().ok()?;
    (start != 0 && start < end).then_some((start, end))
}
