//! `storage_quota_mb` where the filesystem has no quotas of its own: an image for each instance.
//! What ext4 and XFS bound themselves is shown in the machine (`machine/`).

use std::{fs, path::PathBuf};

use ten_testkit::{CliOutput, Ten};

use crate::service::{PATIENCE, named};

const MIB: u64 = 1024 * 1024;
const NO_SPACE: &str = "28";

/// A service `app` whose instances may use so many MiB, in two folders.
pub(crate) fn config(quota: &str) -> String {
    // Found in the image, or nobody would be answered.
    let elsewhere = "listen = \"socket\"\nsocket = \"/tmp/own/{name}-{id}.sock\"";
    named("app", "--listen socket", quota).replace("socket = \"{instance_dir}/s\"", elsewhere)
        + "[service.app.env]\nDB = \"{data_dir}/more/{id}/app.db\"\n"
}

/// A server, or none where this host cannot mount images.
pub(crate) fn start(quota: &str) -> Option<Ten> {
    let ten = Ten::with_config(&config(quota)).start();
    images_work(&ten).then_some(ten)
}

/// Whether this host can mount images; says so where it cannot.
pub(crate) fn images_work(ten: &Ten) -> bool {
    let report = ten.cli(&["doctor"]).stdout;
    let line = report.lines().find(|line| line.contains("storage quotas")).expect("a line");
    let works = line.trim_start().starts_with("ok") && line.contains("image");
    if !works {
        println!("SKIP no images here: {line}");
    }
    works
}

fn folder(ten: &Ten, id: &str) -> PathBuf {
    ten.data_dir().join("app").join(id)
}

fn more(ten: &Ten, id: &str) -> PathBuf {
    ten.data_dir().join("more").join(id)
}

fn image(ten: &Ten, id: &str) -> PathBuf {
    ten.data_dir().join(".images").join(format!("app:{id}")).join("image")
}

fn ask(ten: &Ten, id: &str, path: &str) -> String {
    let answer = ten.get(&format!("{id}.app.localhost"), path);
    format!("{} {}", answer.status, answer.text())
}

fn write(ten: &Ten, id: &str, name: &str, text: &str) {
    let file = folder(ten, id).join(name);
    let path = format!("/write?path={}&text={text}", file.display());
    assert_eq!(ask(ten, id, &path), "200 written");
}

fn read(ten: &Ten, id: &str, name: &str) -> String {
    ask(ten, id, &format!("/read?path={}", folder(ten, id).join(name).display()))
}

fn hoard(ten: &Ten, id: &str, kind: &str, path: &std::path::Path, amount: u64) -> String {
    ask(ten, id, &format!("/hoard?kind={kind}&path={}&amount={amount}", path.display()))
}

fn done(output: &CliOutput) {
    assert_eq!(output.code, Some(0), "{output:?}");
}

fn shelf(ten: &Ten) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir_in(ten.data_dir().parent().unwrap()).unwrap();
    let file = folder.path().join("a.tar.zst").to_str().unwrap().to_owned();
    (folder, file)
}

#[test]
fn all_folders_together_reach_the_limit_and_others_notice_nothing() {
    let Some(ten) = start("storage_quota_mb = 20") else { return };
    write(&ten, "b", "note", "other");
    let half = hoard(&ten, "a", "bytes", &folder(&ten, "a").join("half"), 10 * MIB);
    assert_eq!(half, format!("200 {} 0", 10 * MIB));
    let rest = hoard(&ten, "a", "bytes", &more(&ten, "a").join("rest"), u64::MAX);
    let (written, errno) = rest["200 ".len()..].split_once(' ').unwrap();
    let written: u64 = written.parse().unwrap();
    assert_eq!(errno, NO_SPACE);
    assert!((9 * MIB..=10 * MIB).contains(&written), "{written}");
    // Nor is there a place beside them.
    let aside = hoard(&ten, "a", "bytes", "/tmp/own/aside".as_ref(), u64::MAX);
    assert!(aside == format!("200 0 {NO_SPACE}") || aside.starts_with("403 No space"), "{aside}");
    // Full as it is, it answers, and so does everybody else.
    assert_eq!(ask(&ten, "a", "/"), "200 app:a");
    assert_eq!(read(&ten, "b", "note"), "200 other");
    write(&ten, "b", "more", "still");
    assert_eq!(ask(&ten, "c", "/"), "200 app:c");
    let of = |id: &str| {
        let list = ten.cli_json(&["ps", "--json"]);
        let found = list["instances"].as_array().unwrap().iter().find(|i| i["id"] == id);
        found.unwrap()["storage_bytes"].as_u64().unwrap()
    };
    assert!((19 * MIB..=20 * MIB).contains(&of("a")), "{}", of("a"));
    assert!(of("b") < MIB);
    assert!(ten.cli(&["ps"]).stdout.contains("STORAGE"));
    // A name, and how full: for who reads the log.
    done(&ten.cli(&["stop", "app:a", "--keep-data"]));
    ten.get("a.app.localhost", "/");
    ten.wait_until("the log says so", PATIENCE, || {
        ten.server_lines().iter().any(|line| {
            line.contains("nearly full: 20 of 20 MiB") && line.contains("instance=app:a")
        })
    });
    assert!(
        !ten.server_lines()
            .iter()
            .any(|line| line.contains("nearly full") && line.contains("app:b"))
    );
}

#[test]
fn data_in_an_image_take_every_way_that_data_take() {
    let Some(mut ten) = start("storage_quota_mb = 20") else { return };
    let (_shelf, file) = shelf(&ten);
    write(&ten, "a", "note", "first");
    done(&ten.cli(&["stop", "app:a"]));
    assert!(!image(&ten, "a").exists());
    assert!(read(&ten, "a", "note").starts_with("403"), "it still has what was given up");
    // Nothing was written: nothing is kept.
    done(&ten.cli(&["stop", "app:a", "--keep-data"]));
    assert!(!image(&ten, "a").exists(), "an empty image is kept");
    done(&ten.cli(&["restore", "app:a"]));
    assert_eq!(read(&ten, "a", "note"), "200 first");
    // While it runs, and while it sleeps.
    done(&ten.cli(&["backup", "app:a", &file]));
    write(&ten, "a", "note", "second");
    done(&ten.cli(&["stop", "app:a", "--keep-data"]));
    done(&ten.cli(&["backup", "app:a", &file, "--force"]));
    let refused = ten.cli(&["restore", "app:a", &file]);
    assert!(refused.stderr.contains("has data already"), "{refused:?}");
    done(&ten.cli(&["restore", "app:b", &file]));
    assert_eq!(read(&ten, "b", "note"), "200 second");
    write(&ten, "a", "note", "third");
    done(&ten.cli(&["stop", "app:a", "--keep-data"]));
    done(&ten.cli(&["restore", "app:a", &file, "--replace"]));
    // Again with a restart in between, and what was replaced is in the trash.
    ten.stop();
    ten.start();
    assert_eq!(read(&ten, "a", "note"), "200 second");
    done(&ten.cli(&["stop", "app:a", "--keep-data"]));
    done(&ten.cli(&["restore", "app:a", "--replace"]));
    assert_eq!(read(&ten, "a", "note"), "200 third");
    done(&ten.cli(&["rm", "app:a"]));
    assert!(!image(&ten, "a").exists());
    done(&ten.cli(&["restore", "app:a"]));
    assert_eq!(read(&ten, "a", "note"), "200 third");
}

/// Moving data into an image takes as long as there are data. Here a reader of them holds it up, as a
/// backup would, for as long as the test wants.
#[test]
fn data_that_are_moved_may_take_longer_than_the_program() {
    let Some(mut ten) = start("") else { return };
    for id in ["a", "b"] {
        write(&ten, id, "note", "kept");
        hoard(&ten, id, "bytes", &more(&ten, id).join("big"), MIB);
    }
    ten.stop();
    // Enough for a program on a busy machine; what is waited for below.
    let quota = config("storage_quota_mb = 20\nstartup_timeout = 4");
    let tenant = ten_testkit::tenant_binary();
    ten.write_config(&quota.replace("@tenant", tenant.to_str().unwrap()));
    // The first folder is aside by then.
    let [reader, other] = ["a", "b"].map(|id| fs::File::open(more(&ten, id)).unwrap());
    reader.lock_shared().unwrap();
    other.lock_shared().unwrap();
    ten.start();
    let count = |ten: &Ten, id: &str, text: &str| {
        let tag = format!("instance=app:{id}");
        ten.server_lines().iter().filter(|line| line.contains(&tag) && line.contains(text)).count()
    };
    let (moving, moved) = ("moving its data into its image", "its data are in its image");
    let refused_in_time = |ten: &Ten| {
        let refused = ten.get("a.app.localhost", "/");
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
        assert_eq!((count(ten, "a", moving), count(ten, "a", moved)), (1, 0));
        let a = &ten.cli_json(&["ps", "--all", "--json"])["instances"][0];
        assert_eq!(
            (&a["id"], &a["state"], &a["restarts"]),
            (&"a".into(), &"starting".into(), &0.into())
        );
    };
    refused_in_time(&ten);
    // So has `startup_timeout` passed. Another front waits for nothing, and ends nothing.
    let front = ten.front().unwrap();
    ten.signal(front, rustix::process::Signal::KILL);
    ten.wait_until("another front serves", PATIENCE, || {
        ten.front().is_some_and(|pid| pid != front)
    });
    refused_in_time(&ten);
    assert_eq!(ask(&ten, "c", "/"), "200 app:c");
    // An operator ends it; the data are in two places then, and go on together.
    done(&ten.cli(&["spawn", "app:b", "--no-wait"]));
    let aside = ten.data_dir().join(".images/app:b/before/app/b/note");
    ten.wait_until("one folder is aside", PATIENCE, || aside.exists());
    ten.wait_until("the log says so", PATIENCE, || count(&ten, "b", moving) == 1);
    done(&ten.cli(&["stop", "app:b"]));
    done(&ten.cli(&["restore", "app:b"]));
    drop((reader, other));
    for id in ["a", "b"] {
        done(&ten.cli(&["spawn", &format!("app:{id}")]));
        assert_eq!(read(&ten, id, "note"), "200 kept");
        let big = hoard(&ten, id, "bytes", &more(&ten, id).join("new"), u64::MAX);
        let written: u64 = big["200 ".len()..].split(' ').next().unwrap().parse().unwrap();
        assert!((18 * MIB..=19 * MIB).contains(&written), "the other folder is not in: {written}");
        ten.wait_until("the log says so", PATIENCE, || count(&ten, id, moved) == 1);
        assert_eq!(count(&ten, id, "did not start"), 0);
    }
}

/// In an image and beside it: nobody could say which are right.
#[test]
fn nothing_comes_back_beside_an_image() {
    let Some(mut ten) = start("") else { return };
    write(&ten, "a", "note", "plain");
    done(&ten.cli(&["stop", "app:a"]));
    ten.stop();
    ten.write_config(
        &config("storage_quota_mb = 20")
            .replace("@tenant", ten_testkit::tenant_binary().to_str().unwrap()),
    );
    ten.start();
    write(&ten, "a", "note", "image");
    done(&ten.cli(&["stop", "app:a", "--keep-data"]));
    let refused = ten.cli(&["restore", "app:a"]);
    assert!(refused.stderr.contains("has data already"), "{refused:?}");
    done(&ten.cli(&["restore", "app:a", "--replace"]));
    assert_eq!(read(&ten, "a", "note"), "200 plain");
    done(&ten.cli(&["stop", "app:a", "--keep-data"]));
    done(&ten.cli(&["restore", "app:a", "--replace"]));
    assert_eq!(read(&ten, "a", "note"), "200 image");
}

/// A limit comes, changes and goes; the data stay.
#[test]
fn a_config_that_changes_moves_no_byte_out_of_reach() {
    let Some(mut ten) = start("") else { return };
    let (_shelf, file) = shelf(&ten);
    write(&ten, "a", "note", "before");
    hoard(&ten, "a", "links", &folder(&ten, "a").join("odd"), 0);
    hoard(&ten, "a", "bytes", &more(&ten, "a").join("big"), 3 * MIB);
    for quota in ["storage_quota_mb = 30", "storage_quota_mb = 10", "storage_quota_mb = 2", ""] {
        ten.stop();
        ten.write_config(
            &config(quota).replace("@tenant", ten_testkit::tenant_binary().to_str().unwrap()),
        );
        ten.start();
        assert_eq!(read(&ten, "a", "note"), "200 before", "{quota}");
        assert_eq!(read(&ten, "a", "odd/hard"), "200 text", "{quota}");
        let new = folder(&ten, "a").join("new");
        let written = hoard(&ten, "a", "bytes", &new, MIB);
        let full = quota.ends_with("= 2");
        assert_eq!(written.ends_with(NO_SPACE), full, "{quota}: {written}");
        assert_eq!(fs::read_dir(folder(&ten, "a")).unwrap().count(), 0, "it is there twice");
    }
    // Out of the image again, by the way that is documented.
    done(&ten.cli(&["stop", "app:a", "--keep-data"]));
    done(&ten.cli(&["backup", "app:a", &file]));
    done(&ten.cli(&["restore", "app:a", &file, "--replace"]));
    assert!(!image(&ten, "a").exists());
    assert_eq!(read(&ten, "a", "note"), "200 before");
    assert_eq!(fs::read_to_string(folder(&ten, "a").join("note")).unwrap(), "before");
    assert_eq!(fs::metadata(more(&ten, "a").join("big")).unwrap().len(), 3 * MIB);
}

/// A program in the instance's own folder goes into the image with it, and is found there.
#[test]
fn a_program_in_its_own_folder_starts_from_an_image() {
    let own = |quota: &str| {
        let tenant = ten_testkit::tenant_binary().display().to_string();
        config(quota).replace("@tenant", &tenant).replace(&tenant, "{instance_dir}/app")
    };
    let mut ten = Ten::with_config(&own("")).prepare();
    fs::create_dir_all(folder(&ten, "a")).unwrap();
    fs::copy(ten_testkit::tenant_binary(), folder(&ten, "a").join("app")).unwrap();
    ten.start();
    if !images_work(&ten) {
        return;
    }
    for quota in ["", "storage_quota_mb = 200", "storage_quota_mb = 100"] {
        ten.stop();
        ten.write_config(&own(quota));
        ten.start();
        for _ in 0..2 {
            assert!(ask(&ten, "a", "/pid").starts_with("200 "), "{quota}");
            done(&ten.cli(&["stop", "app:a", "--keep-data"]));
        }
        assert_eq!(image(&ten, "a").exists(), !quota.is_empty());
    }
    // What is not there, the start says.
    assert!(ask(&ten, "b", "/pid").starts_with("503 "));
    let health = ten.cli(&["health", "app:b"]);
    assert!(format!("{health:?}").contains("/b/app"), "{health:?}");
}

/// Whatever a tenant puts into its folders, usage, backup and removal see it for what it is.
#[test]
fn whatever_is_hoarded_confuses_nobody() {
    let Some(ten) = start("storage_quota_mb = 20\nstop_timeout = 1") else { return };
    let (_shelf, file) = shelf(&ten);
    let own = folder(&ten, "a");
    assert_eq!(hoard(&ten, "a", "odd", &own.join("odd"), 0), "200 made");
    assert_eq!(hoard(&ten, "a", "sparse", &own.join("sparse"), 0), "200 made");
    let reserved = hoard(&ten, "a", "reserve", &own.join("reserved"), 30 * MIB);
    assert!(reserved.starts_with("403 No space left"), "{reserved}");
    ask(&ten, "a", &format!("/write?path={}&text=", own.join("reserved").display()));
    let files = hoard(&ten, "a", "files", &own.join("files"), 1_000_000);
    assert!(files.ends_with(NO_SPACE), "{files}");
    for trick in ["project", "flags"] {
        let answer = hoard(&ten, "a", trick, &own.join("sparse"), 0);
        assert!(answer.starts_with("403"), "{trick}: {answer}");
    }
    hoard(&ten, "a", "bytes", &own.join("full"), u64::MAX);
    let used = &ten.cli_json(&["ps", "--json"])["instances"][0]["storage_bytes"];
    assert!(used.as_u64().is_some_and(|used| used <= 20 * MIB), "{used}");
    done(&ten.cli(&["backup", "app:a", &file]));
    done(&ten.cli(&["restore", "app:copy", &file]));
    assert!(read(&ten, "copy", "odd/link").starts_with("403"), "a link of a tenant led out");
    assert_eq!(read(&ten, "copy", "odd/hard"), "200 text");
    for id in ["a", "copy"] {
        done(&ten.cli(&["rm", &format!("app:{id}")]));
        assert!(!image(&ten, id).exists());
        assert!(!folder(&ten, id).exists() && !more(&ten, id).exists());
    }
}

/// Killed at any time: whoever comes next finds the data, once, and no device or mount.
#[test]
fn a_killed_server_leaves_nothing_but_the_data() {
    let Some(mut ten) = start("storage_quota_mb = 20") else { return };
    for round in 0..3 {
        write(&ten, "a", &format!("note{round}"), "kept");
        ten.kill_warden();
        ten.start();
        for earlier in 0..=round {
            assert_eq!(read(&ten, "a", &format!("note{earlier}")), "200 kept");
        }
    }
    let front = ten.front().unwrap();
    ten.signal(front, rustix::process::Signal::KILL);
    ten.wait_until("another front serves", PATIENCE, || {
        ten.front().is_some_and(|pid| pid != front)
    });
    assert_eq!(read(&ten, "a", "note0"), "200 kept");
    let used = &ten.cli_json(&["ps", "--json"])["instances"][0]["storage_bytes"];
    assert!(used.as_u64().is_some(), "the new front does not know how full it is");
}

#[test]
fn what_cannot_be_limited_is_not_started() {
    let config = named("app", "--listen socket", "storage_quota_mb = 20");
    let ten = Ten::with_config(&config).start();
    let spawned = ten.cli(&["spawn", "app:a"]);
    if ten.cli(&["doctor"]).stdout.contains("an image for each instance") {
        assert_eq!(spawned.code, Some(1), "{spawned:?}");
        assert!(spawned.stderr.contains("which is in an image: set `socket`"), "{spawned:?}");
        assert!(!image(&ten, "a").exists());
    } else {
        println!("SKIP no images here");
    }
}
