//! Tenants that fill their folders, or /tmp, with whatever stands in somebody's way. Nothing limits
//! these folders; where something does, `quota` has the same.
//!
//! `TEN_FILES=1000000 cargo test -p ten-e2e hostile` takes minutes, and as many inodes.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ten_testkit::{CliOutput, Ten};

use crate::service::app;

/// Files in one folder, where nobody says how many.
const FILES: u64 = 200_000;

/// How many of them one request makes.
const AT_ONCE: usize = 50_000;

/// How much longer than an empty instance one with so many files takes to stop: its folder is moved
/// whole, so they should make no difference. Looking at each would take a few times as long.
const STOP_SLACK: Duration = Duration::from_millis(500);

/// What a private place may hold, of `crates/ten-kernel/src/walls/mounts.rs`.
const PRIVATE_SIZE: u64 = 256 << 20;
const PRIVATE_FILES: u64 = 65_536;
const NO_SPACE: &str = "28";

/// How long all that many files may take to go.
const REMOVAL: Duration = Duration::from_secs(60);

fn files() -> u64 {
    std::env::var("TEN_FILES").ok().and_then(|files| files.parse().ok()).unwrap_or(FILES)
}

fn done(output: &CliOutput) {
    assert_eq!(output.code, Some(0), "{output:?}");
}

fn folder(ten: &Ten, id: &str) -> PathBuf {
    ten.data_dir().join("app").join(id)
}

fn ask(ten: &Ten, id: &str, path: &str) -> String {
    let answer = ten.get(&format!("{id}.app.localhost"), path);
    format!("{} {}", answer.status, answer.text())
}

fn hoard(ten: &Ten, id: &str, kind: &str, path: &Path, amount: u64) -> String {
    ask(ten, id, &format!("/hoard?kind={kind}&path={}&amount={amount}", path.display()))
}

/// All that a tenant has made is there, and is what it was.
fn is_whole(folder: &Path, files: u64) {
    let many = fs::read_dir(folder.join("many")).unwrap().count();
    assert_eq!(many as u64, files, "{}", folder.display());
    let odd = folder.join("odd");
    assert_eq!(fs::read_link(odd.join("link")).unwrap(), Path::new("/etc/shadow"));
    // Two names of one file, or two files after a backup.
    for name in ["file", "hard"] {
        assert_eq!(fs::read_to_string(odd.join(name)).unwrap(), "text");
    }
    let sparse = fs::metadata(folder.join("sparse")).unwrap();
    assert_eq!(sparse.len(), 1 << 40);
    assert!(sparse.blocks() < 1000, "{} blocks", sparse.blocks());
}

/// How long a command takes.
fn time(ten: &Ten, args: &[&str]) -> Duration {
    let began = Instant::now();
    done(&ten.cli(args));
    let took = began.elapsed();
    println!("{took:?} for ten {}", args[0]);
    took
}

#[test]
fn a_crowded_folder_confuses_neither_backup_nor_usage_nor_removal() {
    let files = files();
    // Each case is a process of its own, so nobody else is sent to memory, where what is measured
    // does not depend on who else writes to the disk.
    tempfile::env::override_temp_dir(Path::new("/dev/shm")).unwrap();
    let mut ten = Ten::with_config(&app("", "stop_timeout = 2")).start();
    let shadow =
        fs::metadata("/etc/shadow").map(|meta| (meta.ino(), meta.mtime(), meta.len())).ok();
    let own = folder(&ten, "a");
    assert_eq!(hoard(&ten, "a", "odd", &own.join("odd"), 0), "200 made");
    assert_eq!(hoard(&ten, "a", "sparse", &own.join("sparse"), 0), "200 made");
    for made in (0..files).step_by(AT_ONCE) {
        let next = (files - made).min(AT_ONCE as u64);
        let answer = hoard(&ten, "a", "files", &own.join("many"), next);
        assert_eq!(answer, format!("200 {next} 0"));
    }
    assert_eq!(ask(&ten, "empty", "/"), "200 app:empty");

    // Nobody counts what is not limited.
    let list = ten.cli_json(&["ps", "--json"]);
    assert!(list["instances"][0]["storage_bytes"].is_null(), "{list}");
    let shelf = tempfile::tempdir_in(ten.data_dir().parent().unwrap()).unwrap();
    let file = shelf.path().join("a.tar.zst").to_str().unwrap().to_owned();
    let began = Instant::now();
    let backup = ten.cli(&["backup", "app:a", &file]);
    println!("{:?} for a backup of {files} files", began.elapsed());
    done(&backup);
    for odd in ["0/odd/fifo: it is a FIFO", "0/odd/socket: it is a socket"] {
        assert!(backup.stderr.contains(odd), "{odd} is missing: {backup:?}");
    }
    assert_eq!(ask(&ten, "empty", "/"), "200 app:empty", "somebody else is in its way");

    let empty = time(&ten, &["stop", "app:empty"]);
    let crowded = time(&ten, &["stop", "app:a"]);
    assert!(crowded < empty + STOP_SLACK, "{crowded:?} to stop, {empty:?} without files");
    assert!(!own.exists());
    let crowded = time(&ten, &["restore", "app:a"]);
    assert!(crowded < empty + STOP_SLACK, "{crowded:?} to bring it back");
    is_whole(&own, files);
    let kind = |name: &str| fs::symlink_metadata(own.join("odd").join(name)).unwrap().file_type();
    assert!(kind("fifo").is_fifo() && kind("socket").is_socket());
    time(&ten, &["restore", "app:copy", &file]);
    is_whole(&folder(&ten, "copy"), files);
    assert!(!folder(&ten, "copy").join("odd/fifo").exists());
    let own_link = own.join("odd/link").display().to_string();
    assert!(ask(&ten, "a", &format!("/read?path={own_link}")).starts_with("403"), "it leads out");

    // And for good.
    done(&ten.cli(&["rm", "app:a"]));
    done(&ten.cli(&["rm", "app:copy"]));
    // Not stopped: the testkit would take the FIFO in the trash for ten's own.
    ten.kill_warden();
    let now = format!(
        "[settings]\ntrash_retention = 0\n{}",
        fs::read_to_string(ten.config_path()).unwrap()
    );
    ten.write_config(&now);
    ten.start();
    ten.wait_until("the trash is empty", REMOVAL, || {
        fs::read_dir(ten.data_dir().join(".trash")).unwrap().next().is_none()
    });
    let after = fs::metadata("/etc/shadow").map(|meta| (meta.ino(), meta.mtime(), meta.len())).ok();
    assert_eq!(after, shadow, "what a link names is not its tenant's");
}

/// What is private to an instance is memory, and bounded without any limit in the config.
#[test]
fn a_full_tmp_is_nobody_elses() {
    let ten = Ten::with_config(&app("", "")).start();
    assert_eq!(ask(&ten, "b", "/"), "200 app:b");
    for place in ["/tmp", "/var/tmp", "/dev/shm"] {
        let fill = Path::new(place).join("ten-hostile-fill");
        let answer = hoard(&ten, "a", "bytes", &fill, u64::MAX);
        let said = answer.strip_prefix("200 ").unwrap_or_else(|| panic!("{place}: {answer}"));
        let (written, errno) = said.split_once(' ').unwrap();
        assert_eq!(errno, NO_SPACE, "{place}");
        let written: u64 = written.parse().unwrap();
        assert!(written <= PRIVATE_SIZE && written > PRIVATE_SIZE / 10 * 9, "{place}: {written}");
        // It goes on, and has its own folder still.
        let note = folder(&ten, "a").join("note").display().to_string();
        assert_eq!(ask(&ten, "a", &format!("/write?path={note}&text=x")), "200 written");
        // Nobody else sees it, or has less room.
        assert!(!fill.exists(), "{} is on the host", fill.display());
        assert_eq!(hoard(&ten, "b", "bytes", &fill, 1 << 20), format!("200 {} 0", 1 << 20));
        // With room again, there is an end to files.
        assert_eq!(hoard(&ten, "a", "bytes", &fill, 0), "200 0 0");
        let many = Path::new(place).join("ten-hostile-many");
        let answer = hoard(&ten, "a", "files", &many, 2 * PRIVATE_FILES);
        let made =
            answer.strip_suffix(&format!(" {NO_SPACE}")).and_then(|a| a.strip_prefix("200 "));
        let made: u64 = made.unwrap_or_else(|| panic!("{place}: {answer}")).parse().unwrap();
        assert!(made <= PRIVATE_FILES && made > PRIVATE_FILES / 10 * 9, "{place}: {made}");
        assert!(!many.exists());
        assert!(hoard(&ten, "b", "files", &many, 10).ends_with(" 0"));
    }
    // All of it goes with the process.
    done(&ten.cli(&["restart", "app:a"]));
    let fill = "/read?path=/tmp/ten-hostile-fill";
    assert!(ask(&ten, "a", fill).contains("No such file"), "it is still there");
    assert_eq!(ask(&ten, "b", "/"), "200 app:b");
}
