//! What an instance uses, as `ten ps --json` tells it, beside what the kernel counts.

use std::{fs, time::Duration};

use serde_json::Value;
use ten_testkit::{Ten, wait_until};

use super::{
    cgroups::{cpu_time, leaf, number},
    quota::Mounted,
};
use crate::disks::EXT4;

const PATIENCE: Duration = Duration::from_secs(15);
const MIB: u64 = 1024 * 1024;

/// All that there is.
const COUNTED: [&str; 7] = [
    "memory_bytes",
    "cpu_ms",
    "io_read_bytes",
    "io_written_bytes",
    "io_reads",
    "io_writes",
    "pids",
];

fn used(ten: &Ten, key: &str) -> u64 {
    let list = ten.cli_json(&["ps", "--json"]);
    list["instances"][0][key].as_u64().unwrap_or_else(|| panic!("no {key}: {list}"))
}

pub(super) fn usage_is_what_the_kernel_counts() {
    let _disk = Mounted::at(EXT4);
    let config = "[service.app]\ncommand = \"@tenant\"\nlisten = \"port\"\nstop_timeout = 0.2\n";
    let ten = Ten::with_config(config).start();
    let ask = |path: &str| {
        let answer = ten.get("a.app.localhost", path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    };
    ask("/");
    let leaf = leaf("app:a");

    let alone = used(&ten, "pids");
    assert_eq!(alone + 1, number(&leaf, "pids.current", ""), "ten's init is not its own");
    ask("/fork?kind=stubborn");
    assert_eq!(used(&ten, "pids") + 1, number(&leaf, "pids.current", ""));
    assert!(used(&ten, "pids") > alone);

    let before = cpu_time(&leaf).as_millis();
    let told = u128::from(used(&ten, "cpu_ms"));
    assert!((before..=cpu_time(&leaf).as_millis()).contains(&told), "{told} after {before} ms");

    let memory = used(&ten, "memory_bytes");
    let file = ten.data_dir().join("app/a/file");
    let write = format!("/hoard?kind=bytes&path={}&amount={}", file.display(), 8 * MIB);
    let (written, writes) = (used(&ten, "io_written_bytes"), used(&ten, "io_writes"));
    assert_eq!(ask(&write), format!("{} 0", 8 * MIB));
    let more = used(&ten, "io_written_bytes") - written;
    assert!((8 * MIB..12 * MIB).contains(&more), "{more} bytes were written");
    assert!(used(&ten, "io_writes") > writes);
    assert!(used(&ten, "memory_bytes") > memory + 7 * MIB, "the page cache is its own");

    let (read_before, reads) = (used(&ten, "io_read_bytes"), used(&ten, "io_reads"));
    fs::write("/proc/sys/vm/drop_caches", "1").expect("root may");
    ask(&format!("/read?path={}", file.display()));
    let more = used(&ten, "io_read_bytes") - read_before;
    assert!((8 * MIB..12 * MIB).contains(&more), "{more} bytes were read");
    assert!(used(&ten, "io_reads") > reads);

    // Of what does not run nothing is said, not that it is nothing.
    assert_eq!(ten.cli(&["stop", "--keep-data", "app:a"]).code, Some(0));
    let list = ten.cli_json(&["ps", "-a", "--json"]);
    for key in COUNTED {
        assert_eq!(list["instances"][0][key], Value::Null, "{key}: {list}");
    }
    assert!(wait_until(PATIENCE, || !leaf.exists()), "its cgroup stays");
}
