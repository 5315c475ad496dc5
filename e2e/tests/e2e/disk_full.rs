//! A disk without room: what is served goes on, what cannot be done is said, and nothing is
//! lost or half done.

use std::{
    cell::Cell,
    ffi::CStr,
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    mount::{MountFlags, UnmountFlags, mount, unmount},
    process::geteuid,
};
use tempfile::TempDir;
use ten_testkit::{CliOutput, Ten, http::Request};

use crate::service::{PATIENCE, app};

/// A small disk on which this case has all its temporary folders. Made before the server and
/// so dropped after it.
struct Disk(TempDir, Cell<u32>);

impl Disk {
    /// `None`, with the reason, where this user may not mount.
    fn mount() -> Option<Self> {
        Self::mount_with(c"size=16m,mode=755")
    }

    /// One that has room, but for few files.
    fn mount_few_files() -> Option<Self> {
        Self::mount_with(c"size=64m,nr_inodes=300,mode=755")
    }

    fn mount_with(options: &CStr) -> Option<Self> {
        if !geteuid().is_root() {
            let _ = writeln!(std::io::stderr(), "SKIP only root may mount a disk");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("ten-disk-").tempdir().unwrap();
        mount("tmpfs", folder.path(), "tmpfs", MountFlags::NODEV, Some(options)).unwrap();
        Some(Self::at(folder))
    }

    /// One whose every folder takes a block, and that has no block left for root alone.
    fn mount_blocks() -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("ten-disk-").tempdir().unwrap();
        let image = folder.path().with_extension("image");
        File::create(&image).unwrap().set_len(32 << 20).unwrap();
        let make = Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image).output();
        let mount =
            || Command::new("mount").args(["-o", "loop"]).arg(&image).arg(folder.path()).output();
        let outcome = make.and_then(|made| if made.status.success() { mount() } else { Ok(made) });
        // Held by its mount alone from here on.
        fs::remove_file(&image).unwrap();
        match outcome {
            Ok(output) if output.status.success() => {
                fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
                Some(Self::at(folder))
            }
            other => {
                let _ = writeln!(std::io::stderr(), "SKIP no loop device with ext4: {other:?}");
                None
            }
        }
    }

    fn at(folder: TempDir) -> Self {
        let disk = Self(folder, Cell::new(0));
        // Each case is a process of its own, so nobody else is sent here.
        tempfile::env::override_temp_dir(disk.path()).unwrap();
        disk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join(format!("ballast-{}", self.1.replace(self.1.get() + 1)))
    }

    /// Takes every file that is left.
    fn fill_with_files(&self) -> Ballast {
        let path = self.ballast();
        if fs::create_dir(&path).is_ok() {
            let mut names = 0..;
            while names.next().is_some_and(|name| File::create(path.join(name.to_string())).is_ok())
            {
            }
        }
        Ballast(path)
    }

    /// Takes every byte that is left.
    fn fill(&self) -> Ballast {
        let path = self.ballast();
        let mut file = File::create(&path).unwrap();
        for size in [64 * 1024, 4096, 1] {
            let block = vec![1; size];
            while file.write_all(&block).is_ok() {}
            // What was only promised is taken.
            file.sync_all().unwrap();
        }
        Ballast(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(self.path(), UnmountFlags::empty()).expect("nobody uses the disk any more");
    }
}

/// What fills a disk. Dropped, there is room again.
struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let removed = match self.0.is_dir() {
            true => fs::remove_dir_all(&self.0),
            false => fs::remove_file(&self.0),
        };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("ballast stays: {error}"),
            _ => {}
        }
    }
}

fn done(output: &CliOutput) {
    assert_eq!(output.code, Some(0), "{output:?}");
}

/// What, why and what to do.
fn refused(output: &CliOutput) {
    assert_eq!(output.code, Some(1), "{output:?}");
    for line in ["error: ", "  why: ", "  fix: free some space"] {
        assert!(output.stderr.contains(line), "{line:?} is missing: {output:?}");
    }
}

/// Sends a command and expects to hear that there is no room for it.
fn refused_over_http(ten: &Ten, token: &str, request: Request) {
    let said = request.to_string();
    let answer = ten.send(&request.header("authorization", format!("Bearer {token}"))).unwrap();
    assert_eq!(answer.status, 507, "{said}: {}", answer.text());
    let problem: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!(problem["type"], "urn:tenement:problem:no-room", "{problem}");
    assert!(problem["hint"].is_string(), "{problem}");
}

/// Everything that changes something, over HTTP: the method, the path, the body.
fn mutations(backup: &[u8]) -> [(&'static str, &'static str, Vec<u8>); 10] {
    let spawn = |id: &str| format!(r#"{{"service":"app","id":"{id}"}}"#).into_bytes();
    [
        ("POST", "/api/instances", spawn("new")),
        ("POST", "/api/instances", spawn("asleep")),
        ("DELETE", "/api/instances/app/awake", vec![]),
        ("DELETE", "/api/instances/app/asleep", vec![]),
        ("DELETE", "/api/instances/app/asleep?keep_data=true", vec![]),
        ("POST", "/api/instances/app/awake/stop", vec![]),
        ("POST", "/api/instances/app/awake/restart", vec![]),
        ("PUT", "/api/instances/app/awake/weight", br#"{"weight":7}"#.to_vec()),
        ("POST", "/api/instances/app/gone/restore", b"{}".to_vec()),
        ("PUT", "/api/instances/app/copy/data", backup.to_vec()),
    ]
}

fn known(ten: &Ten) -> Vec<(String, String, u64)> {
    let list = ten.cli_json(&["ps", "-a", "--json"]);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let row = |i: &serde_json::Value| {
        (text(&i["instance"]), text(&i["state"]), i["weight"].as_u64().unwrap())
    };
    list["instances"].as_array().unwrap().iter().map(row).collect()
}

fn trash(ten: &Ten) -> usize {
    fs::read_dir(ten.data_dir().join(".trash")).unwrap().count()
}

#[test]
fn a_full_disk_stops_what_must_be_stored_and_nothing_else() {
    let Some(disk) = Disk::mount() else { return };
    // So few restarts that it would be given up, were a full disk its own failure.
    let settings = "[settings]\nbackoff_base_ms = 10\nbackoff_max_ms = 20\nmax_restarts = 2\n";
    let mut ten = Ten::with_config(&(settings.to_owned() + &app("", ""))).start();
    let [note, _, lost] = ["awake", "asleep", "gone"].map(|id| {
        let note = ten.data_dir().join("app").join(id).join("note");
        let write = format!("/write?path={}&text=mine", note.display());
        assert_eq!(ten.get(&format!("{id}.app.localhost"), &write).status, 200);
        note
    });
    done(&ten.cli(&["stop", "app:asleep", "--keep-data"]));
    done(&ten.cli(&["rm", "app:gone"]));
    let token = ten.cli(&["token-gen"]).stdout.trim().to_owned();
    let file = ten.data_dir().join("backup.tar.zst");
    done(&ten.cli(&["backup", "app:asleep", file.to_str().unwrap()]));
    let backup = fs::read(file).unwrap();
    let (before, in_trash) = (known(&ten), trash(&ten));

    let ballast = disk.fill();
    for _ in 0..20 {
        assert_eq!(ten.get("awake.app.localhost", "/").text(), "app:awake");
    }
    for command in [
        &["spawn", "app:new"][..],
        &["spawn", "app:asleep"],
        &["restart", "app:awake"],
        &["weight", "app:awake", "7"],
        &["token-gen"],
        &["rm", "app:asleep", "--keep-data"],
        &["restore", "app:gone"],
        // Neither is stopped before its data have a place.
        &["stop", "app:awake"],
        &["rm", "app:awake"],
    ] {
        refused(&ten.cli(command));
    }
    for (method, path, body) in mutations(&backup) {
        let is_json = body.starts_with(b"{");
        let request = Request::with_body(method, "localhost", path, body);
        let kind = if is_json { "application/json" } else { "application/octet-stream" };
        refused_over_http(&ten, &token, request.header("content-type", kind));
    }
    assert_eq!((known(&ten), trash(&ten)), (before.clone(), in_trash));
    assert_eq!(fs::read_to_string(&note).unwrap(), "mine");
    // What needs no room is done.
    done(&ten.cli(&["ps", "-a"]));
    done(&ten.cli(&["logs", "app:awake"]));
    done(&ten.cli(&["stop", "app:awake", "--keep-data"]));

    drop(ballast);
    ten.wait_until("it wakes again", PATIENCE, || {
        ["awake", "asleep"]
            .iter()
            .all(|id| ten.get(&format!("{id}.app.localhost"), "/").status == 200)
    });
    done(&ten.cli(&["token-gen"]));
    done(&ten.cli(&["spawn", "app:new"]));
    done(&ten.cli(&["weight", "app:awake", "7"]));
    done(&ten.cli(&["restore", "app:gone"]));
    done(&ten.cli(&["rm", "app:asleep"]));
    for note in [note, lost] {
        assert_eq!(fs::read_to_string(&note).unwrap(), "mine");
    }
    let names = |ten: &Ten| -> Vec<_> {
        known(ten).into_iter().map(|(name, _, weight)| (name, weight)).collect()
    };
    let after = names(&ten);
    ten.stop();
    ten.start();
    assert_eq!(names(&ten), after);
}

/// Of services.
const KINDS: [&str; 3] = ["", "isolation = \"process\"", "listen = \"activation\""];

/// Who has not run before is not held guilty, and starts when there is room.
#[test]
fn who_has_run_wakes_on_a_full_disk() {
    let Some(disk) = Disk::mount() else { return };
    wakes_while_full(&disk, Disk::fill, &KINDS);
}

#[test]
fn who_has_run_wakes_on_a_disk_without_another_file() {
    let Some(disk) = Disk::mount_few_files() else { return };
    // A Unix socket is a file that only a start can make.
    wakes_while_full(&disk, Disk::fill_with_files, &KINDS[..2]);
}

/// There is room, and no file for it.
#[test]
fn a_disk_without_another_file_stops_what_needs_one_and_loses_nothing() {
    let Some(disk) = Disk::mount_few_files() else { return };
    let ten = Ten::with_config(&app("", "")).start();
    let note = ten.data_dir().join("app/awake/note");
    let write = format!("/write?path={}&text=mine", note.display());
    assert_eq!(ten.get("awake.app.localhost", &write).status, 200);
    let before = known(&ten);
    let ballast = disk.fill_with_files();
    assert_eq!(ten.get("awake.app.localhost", "/").text(), "app:awake");
    for command in
        [&["spawn", "app:new"][..], &["stop", "app:awake"], &["rm", "app:awake"], &["token-gen"]]
    {
        refused(&ten.cli(command));
    }
    assert_eq!(ten.get("new.app.localhost", "/").status, 503);
    assert_eq!(known(&ten), before);
    done(&ten.cli(&["stop", "app:awake", "--keep-data"]));
    drop(ballast);
    ten.wait_until("both wake", PATIENCE, || {
        ["awake", "new"].iter().all(|id| ten.get(&format!("{id}.app.localhost"), "/").status == 200)
    });
    assert_eq!(fs::read_to_string(&note).unwrap(), "mine");
}

#[test]
fn who_has_run_wakes_on_a_full_disk_of_blocks() {
    if !geteuid().is_root() {
        return drop(writeln!(std::io::stderr(), "SKIP only root may mount a disk"));
    }
    let Some(disk) = Disk::mount_blocks() else { return };
    wakes_while_full(&disk, Disk::fill, &KINDS);
}

fn wakes_while_full(disk: &Disk, fill: fn(&Disk) -> Ballast, kinds: &[&str]) {
    for keys in kinds {
        let settings = "[settings]\nbackoff_base_ms = 10\nbackoff_max_ms = 20\nmax_restarts = 2\n";
        let args = if keys.contains("activation") { "--listen activation" } else { "" };
        let ten = Ten::with_config(&(settings.to_owned() + &app(args, keys))).start();
        let hosts = ["a", "b", "c"].map(|id| format!("{id}.app.localhost"));
        let ballast = fill(disk);
        for _ in 0..5 {
            let answer = ten.get(&hosts[0], "/");
            assert!([502, 503].contains(&answer.status), "{}: {}", answer.status, answer.text());
        }
        drop(ballast);
        for (id, host) in ["a", "b", "c"].iter().zip(&hosts) {
            ten.wait_until("it wakes when there is room", PATIENCE, || {
                ten.get(host, "/").status == 200
            });
            done(&ten.cli(&["stop", &format!("app:{id}"), "--keep-data"]));
        }
        let mut ballast = vec![fill(disk)];
        for round in 0..10 {
            for host in &hosts {
                assert_eq!(ten.get(host, "/").status, 200, "{keys}, round {round}");
            }
            for id in ["a", "b", "c"] {
                done(&ten.cli(&["stop", &format!("app:{id}"), "--keep-data"]));
            }
            // Whatever that has freed is taken by somebody else.
            ballast.push(fill(disk));
        }
    }
}

#[test]
fn what_cannot_be_stored_now_is_stored_later() {
    let mut ten = Ten::with_config(&app("", "")).start();
    done(&ten.cli(&["spawn", "app:a"]));
    let other = rusqlite::Connection::open(ten.data_dir().join(".state/ten.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let weighed = ten.cli(&["weight", "app:a", "7"]);
    assert_eq!(weighed.code, Some(1), "{weighed:?}");
    for fact in ["it is done, but not stored yet", "it is stored as soon as it can be"] {
        assert!(weighed.stderr.contains(fact), "{fact} is missing: {weighed:?}");
    }
    assert_eq!(ten.get("a.app.localhost", "/").text(), "app:a");
    drop(other);
    ten.wait_until("it is stored", PATIENCE, || {
        ten.server_lines().iter().any(|line| line.contains("stored at last"))
    });
    ten.stop();
    ten.start();
    assert_eq!(known(&ten), [("app:a".to_owned(), "sleeping".to_owned(), 7)]);
}
