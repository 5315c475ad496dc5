//! What `ten ps --json` says of an instance's use, whatever the kernel of this host counts. With
//! all controllers it is shown in the machine (`machine/`).

use std::{fs, path::PathBuf};

use serde_json::Value;
use ten_testkit::Ten;

use crate::service::app;

/// The cgroup that an instance of this name has for itself, where it has one.
fn leaf(pid: u64, instance: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let path = PathBuf::from(mount).join(own);
    path.ends_with(instance).then_some(path)
}

#[test]
fn what_is_not_counted_is_null_and_never_zero() {
    let ten = Ten::with_config(&app("", "")).start();
    assert_eq!(ten.get("a.app.localhost", "/").status, 200);
    let instance = || ten.cli_json(&["ps", "-a", "--json"])["instances"][0].clone();
    let running = instance();
    let leaf = leaf(running["pid"].as_u64().expect("it runs"), "app:a");
    for (member, file) in [
        ("memory_bytes", "memory.current"),
        ("cpu_ms", "cpu.stat"),
        ("io_read_bytes", "io.stat"),
        ("io_written_bytes", "io.stat"),
        ("io_reads", "io.stat"),
        ("io_writes", "io.stat"),
        ("pids", "pids.current"),
    ] {
        let counted = leaf.as_ref().is_some_and(|leaf| leaf.join(file).exists());
        assert_eq!(running[member].is_u64(), counted, "{member}: {running}");
        assert_eq!(running[member].is_null(), !counted, "{member}: {running}");
    }
    for member in ["storage_bytes", "storage_limit_bytes"] {
        assert_eq!(running[member], Value::Null, "nobody counts without a limit: {running}");
    }
    assert_eq!(ten.cli(&["stop", "app:a"]).code, Some(0));
    assert_eq!(instance()["cpu_ms"], Value::Null, "what does not run uses nothing now");
}
