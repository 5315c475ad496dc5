//! Looking at cgroups from outside of ten.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where they are mounted.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";

/// The leaf of an instance below `base`, if it is there.
pub(crate) fn leaf_below(base: &Path, instance: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(base).ok()?.flatten();
    let servers = entries.filter(|e| e.file_name().to_string_lossy().starts_with("tenement"));
    servers.map(|server| server.path().join(instance)).find(|leaf| leaf.exists())
}

/// The leaf of an instance of a server that runs in the root cgroup.
pub(crate) fn leaf(instance: &str) -> PathBuf {
    leaf_below(Path::new(ROOT), instance).unwrap_or_else(|| panic!("{instance} has no leaf"))
}

/// What a file of a cgroup holds.
pub(crate) fn read(cgroup: &Path, file: &str) -> String {
    let path = cgroup.join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.trim().into()
}

/// A number in a file of keys and numbers.
pub(crate) fn number(cgroup: &Path, file: &str, key: &str) -> u64 {
    let text = read(cgroup, file);
    let found = text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("no {key} in {file}: {text}"))
}

/// CPU time since the cgroup was made.
pub(crate) fn cpu_time(cgroup: &Path) -> Duration {
    Duration::from_micros(number(cgroup, "cpu.stat", "usage_usec "))
}
