//! What a tenant's folders may take, on every filesystem, and that nobody else notices.

use std::{fs, path::Path, time::Duration};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use ten_testkit::{Ten, tenant_binary, wait_until};

use crate::disks::{BTRFS, Disk, EXT4, XFS};

const PATIENCE: Duration = Duration::from_secs(15);
const MIB: u64 = 1024 * 1024;
const NO_SPACE: &str = "28";
const OVER_QUOTA: &str = "122";

/// Where servers have their folders: whatever is mounted here is what they lie on.
const PLACE: &str = "/tmp";

/// A disk over the place, until this goes.
pub(super) struct Mounted;

impl Mounted {
    pub(super) fn at(disk: Disk) -> Self {
        let options = std::ffi::CString::new(disk.options).expect("no NUL");
        mount(disk.device, PLACE, disk.kind, MountFlags::empty(), Some(options.as_c_str()))
            .unwrap_or_else(|errno| panic!("{} on {PLACE}: {errno}", disk.device));
        Self
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A case that has failed may have left something there.
        unmount(PLACE, UnmountFlags::DETACH).expect("it was mounted");
    }
}

pub(super) fn on_ext4() {
    let _mounted = Mounted::at(EXT4);
    holds("project quotas of ext4 at /tmp", OVER_QUOTA);
}

pub(super) fn on_xfs() {
    let _mounted = Mounted::at(XFS);
    holds("project quotas of xfs at /tmp", NO_SPACE);
}

pub(super) fn on_btrfs() {
    let _mounted = Mounted::at(BTRFS);
    holds("an image for each instance, as btrfs at /tmp", NO_SPACE);
}

pub(super) fn on_tmpfs() {
    holds("an image for each instance, as tmpfs at /tmp", NO_SPACE);
}

/// Each instance has two folders. As for users: one of its own, and root without its powers.
fn config(quota: &str) -> String {
    let service = |name: &str, user: &str| {
        format!(
            "[service.{name}]\ncommand = \"@tenant\"\nlisten = \"port\"\nstop_timeout = 0.2\n\
             {quota}\n{user}\n[service.{name}.env]\nDB = \"{{data_dir}}/more-{name}/{{id}}/db\"\n"
        )
    };
    let config = service("app", "") + &service("root", "user = \"inherit\"");
    config.replace("@tenant", tenant_binary().to_str().expect("a path"))
}

struct Case {
    ten: Ten,
}

impl Case {
    fn own(&self, instance: &str, name: &str) -> String {
        let folder = self.ten.data_dir().join(instance.replace(':', "/"));
        folder.join(name).display().to_string()
    }

    fn more(&self, instance: &str, name: &str) -> String {
        let (service, id) = instance.split_once(':').expect("an instance");
        let folder = self.ten.data_dir().join(format!("more-{service}")).join(id);
        folder.join(name).display().to_string()
    }

    fn ask(&self, instance: &str, path: &str) -> String {
        let (service, id) = instance.split_once(':').expect("an instance");
        let answer = self.ten.get(&format!("{id}.{service}.localhost"), path);
        format!("{} {}", answer.status, answer.text())
    }

    fn hoard(&self, instance: &str, kind: &str, path: &str, amount: u64) -> String {
        self.ask(instance, &format!("/hoard?kind={kind}&path={path}&amount={amount}"))
    }

    fn write(&self, instance: &str, name: &str, text: &str) {
        let path = self.own(instance, name);
        assert_eq!(self.ask(instance, &format!("/write?path={path}&text={text}")), "200 written");
    }

    fn read(&self, instance: &str, name: &str) -> String {
        self.ask(instance, &format!("/read?path={}", self.own(instance, name)))
    }

    fn used(&self, instance: &str) -> u64 {
        let list = self.ten.cli_json(&["ps", "--json"]);
        let found = list["instances"].as_array().expect("a list").iter();
        let mut found = found.filter(|found| found["instance"] == instance);
        let used = &found.next().expect("it runs")["storage_bytes"];
        used.as_u64().unwrap_or_else(|| panic!("{instance}: {used}"))
    }

    /// Writes until no more can be written: how much that was.
    fn fill(&self, instance: &str, path: &str, errno: &str) -> u64 {
        let answer = self.hoard(instance, "bytes", path, u64::MAX);
        if answer.starts_with("403 ") && answer.ends_with(&format!("(os error {errno})")) {
            // Not even a file can be made.
            return 0;
        }
        let said = answer.strip_prefix("200 ").unwrap_or_else(|| panic!("{answer}"));
        let (written, why) = said.split_once(' ').expect("two numbers");
        assert_eq!(why, errno, "{answer}");
        written.parse().expect("a number")
    }

    fn cli(&self, args: &[&str]) {
        let output = self.ten.cli(args);
        assert_eq!(output.code, Some(0), "{output:?}");
    }

    fn configure(&mut self, quota: &str) {
        self.ten.stop();
        self.ten.write_config(&config(quota));
        self.ten.start();
    }
}

fn holds(mechanism: &str, errno: &str) {
    let mut case = Case { ten: Ten::with_config(&config("")).start() };
    let foreseen = case.ten.cli(&["doctor"]).stdout;
    assert!(foreseen.contains(mechanism), "{mechanism}: {foreseen}");
    // What was there before there was a limit counts like all else.
    case.write("app:a", "note", "before");
    assert_eq!(
        case.hoard("app:a", "bytes", &case.more("app:a", "early"), 3 * MIB),
        format!("200 {} 0", 3 * MIB)
    );
    case.configure("storage_quota_mb = 16");
    assert_eq!(case.read("app:a", "note"), "200 before");
    let used = case.used("app:a");
    assert!((3 * MIB..4 * MIB).contains(&used), "{used}");
    for instance in ["app:a", "root:a"] {
        let before = case.ask(instance, "/") == "200 app:a";
        let early = if before { 3 * MIB } else { 0 };
        assert_eq!(
            case.hoard(instance, "bytes", &case.own(instance, "half"), 8 * MIB),
            format!("200 {} 0", 8 * MIB)
        );
        let rest = case.fill(instance, &case.more(instance, "rest"), errno);
        let sum = early + 8 * MIB + rest;
        println!("{instance}: {sum} of {}", 16 * MIB);
        assert!(sum <= 16 * MIB && sum + 256 * 1024 > 16 * MIB, "{sum}");
        let used = case.used(instance);
        assert!(used <= 16 * MIB && used + 64 * 1024 > 16 * MIB, "{used}");
        tricks(&case, instance, errno);
    }
    println!("nobody got beyond it");
    others_notice_nothing(&case);
    println!("others noticed nothing");
    data_come_and_go(&case, errno);
    println!("data came and went");
    // Up and down again.
    case.configure("storage_quota_mb = 40");
    let more = case.fill("app:a", &case.own("app:a", "grown"), errno);
    assert!(more > 20 * MIB && case.used("app:a") <= 40 * MIB, "{more}");
    case.configure("storage_quota_mb = 20");
    assert_eq!(case.fill("app:a", &case.own("app:a", "none"), errno), 0);
    assert_eq!(case.read("app:a", "note"), "200 before");
    case.configure("");
    assert_eq!(case.read("app:a", "note"), "200 before");
    if mechanism.starts_with("project") {
        let all = case.hoard("app:a", "bytes", &case.own("app:a", "free"), 45 * MIB);
        assert_eq!(all, format!("200 {} 0", 45 * MIB));
    }
}

/// Full as it is, nothing makes room that is not its own.
fn tricks(case: &Case, instance: &str, errno: &str) {
    for trick in ["project", "flags"] {
        for path in [case.own(instance, "half"), case.own(instance, "")] {
            let answer = case.hoard(instance, trick, &path, 0);
            assert!(answer.starts_with("403"), "{trick}: {answer}");
        }
    }
    // Where its socket would be.
    assert!(case.fill(instance, "/tmp/tenement/aside", errno) < 64 * 1024);
    let sparse = case.own(instance, "sparse");
    // Its end may find a last block, or not.
    case.hoard(instance, "sparse", &sparse, 0);
    let reserved = case.hoard(instance, "reserve", &case.own(instance, "reserved"), 30 * MIB);
    assert!(reserved.starts_with("403"), "{reserved}");
    case.fill(instance, &case.own(instance, "again"), errno);
    let used = case.used(instance);
    assert!(used <= 16 * MIB, "{used}");
    case.hoard(instance, "bytes", &case.own(instance, "half"), MIB);
    for name in ["sparse", "reserved", "again"] {
        case.hoard(instance, "bytes", &case.own(instance, name), 0);
    }
    // Now there is room for bytes, and an end to files.
    let files = case.hoard(instance, "files", &case.own(instance, "files"), 100_000);
    assert!(files.ends_with(errno), "{files}");
    case.hoard(instance, "clear", &case.own(instance, "files"), 0);
    case.fill(instance, &case.own(instance, "half"), errno);
}

fn others_notice_nothing(case: &Case) {
    case.write("app:b", "note", "other");
    assert_eq!(case.read("app:b", "note"), "200 other");
    assert!(case.used("app:b") < MIB);
    assert_eq!(
        case.hoard("app:b", "bytes", &case.own("app:b", "own"), 8 * MIB),
        format!("200 {} 0", 8 * MIB)
    );
    case.cli(&["spawn", "app:c"]);
    assert_eq!(case.ask("app:a", "/"), "200 app:a", "it is full, and answers");
    case.cli(&["restart", "app:a"]);
    assert_eq!(case.ask("app:a", "/"), "200 app:a", "it is full, and starts");
    let told = || {
        let full = |line: &String| line.contains("nearly full") && line.contains("app:a");
        case.ten.server_lines().iter().any(full)
    };
    assert!(wait_until(PATIENCE, told), "the log does not say that it is full");
}

fn data_come_and_go(case: &Case, errno: &str) {
    case.cli(&["stop", "app:a"]);
    assert!(case.read("app:a", "note").starts_with("403"), "it still has what was given up");
    let used = case.used("app:a");
    assert!(used < MIB, "what is in the trash is counted: {used}");
    case.cli(&["stop", "app:a"]);
    let file = case.ten.data_dir().parent().expect("a folder").join("a.tar.zst");
    let file = file.to_str().expect("a path");
    case.cli(&["restore", "app:a"]);
    case.cli(&["backup", "app:a", file]);
    assert_eq!(case.read("app:a", "note"), "200 before");
    assert_eq!(case.fill("app:a", &case.own("app:a", "again"), errno), 0);
    case.cli(&["restore", "app:copy", file]);
    assert_eq!(case.read("app:copy", "note"), "200 before");
    let used = case.used("app:copy");
    assert!(used > 12 * MIB && used <= 17 * MIB, "{used}");
    case.cli(&["rm", "app:copy"]);
    assert!(!Path::new(&case.own("app:copy", "")).exists());
    fs::remove_file(file).expect("a backup");
}
