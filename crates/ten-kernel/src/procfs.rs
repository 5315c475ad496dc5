//! What /proc says about processes (proc(5)). Everything here may be outdated by the time
//! it is read; whoever acts on it holds a pidfd or is the parent.

use std::{
    fs::{self, File},
    io::{self, Read},
};

use rustix::{
    fs::{Dir, Mode, OFlags, open},
    io::Errno,
};

/// The children of every thread of a process, oldest first; none where it is gone.
pub fn children(pid: u32) -> Vec<u32> {
    let folder = format!("/proc/{pid}/task");
    let Ok(mut threads) = list(&folder) else { return Vec::new() };
    let mut found = Vec::new();
    while let Some(Ok(thread)) = threads.read() {
        // `.` and `..` hold no such file, or none of another process's children.
        let thread = thread.file_name().to_string_lossy();
        let list = fs::read_to_string(format!("{folder}/{thread}/children")).unwrap_or_default();
        found.extend(list.split_whitespace().filter_map(|n| n.parse::<u32>().ok()));
    }
    found
}

/// Not by the standard library: that lists with opendir(3), which allocates in C, and an init must
/// not (`heap.rs`).
fn list(folder: &str) -> Result<Dir, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Dir::new(open(folder, flags, Mode::empty())?)
}

/// When a process started, in clock ticks since boot. With the boot's id and the pid, it
/// names a process for good.
pub fn start_time(pid: u32) -> Option<u64> {
    stat_field(pid, 22)?.parse().ok()
}

/// The parent of a process.
pub fn parent(pid: u32) -> Option<u32> {
    stat_field(pid, 4)?.parse().ok()
}

/// A random id that differs between any two boots.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}

/// More than /proc/PID/stat is long: a name and some fifty numbers.
const STAT: usize = 4096;

/// Field `number` of /proc/PID/stat, counted from 1 as in proc_pid_stat(5), from 3 on. Such a file is
/// made when it is read, all of it at once; whoever does not know its length asks six times.
fn stat_field(pid: u32, number: usize) -> Option<String> {
    let mut stat = [0; STAT];
    let read = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut stat).ok()?;
    field(&String::from_utf8_lossy(&stat[..read]), number)
}

/// The second field, the name, may hold spaces and parentheses, so counting starts after
/// the last one.
pub(crate) fn field(stat: &str, number: usize) -> Option<String> {
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let stat = "7 (a) R 1 (b) S 4 5 6";
        assert_eq!(field(stat, 3).as_deref(), Some("S"));
        assert_eq!(field(stat, 4).as_deref(), Some("4"));
        assert_eq!(field(stat, 9), None);
    }

    #[test]
    fn knows_this_process() {
        let me = std::process::id();
        assert_eq!(parent(me), Some(std::os::unix::process::parent_id()));
        assert!(start_time(me).is_some_and(|ticks| ticks > 0));
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}
