//! The front's cage, seen from outside on the real server: what is left to the process that meets
//! strangers, and that it still does its work. What it can do from inside is tried by a probe in
//! the same cage (`ten-kernel/tests/cage`).

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
};

use rustix::process::Signal;
use ten_testkit::{Ten, process};

use crate::service::{PATIENCE, app, has_root};

/// `/proc/PID/status`, by its names.
pub(crate) fn status(pid: u32) -> BTreeMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    text.lines().filter_map(line).collect()
}

/// What every front has given up, whoever runs ten.
pub(crate) fn gave_up(pid: u32) -> BTreeMap<String, String> {
    let status = status(pid);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status[set], "0".repeat(16), "{set}");
    }
    assert_eq!((status["NoNewPrivs"].as_str(), status["Seccomp"].as_str()), ("1", "2"));
    status
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{folder}: {why}"));
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

fn is_caged(ten: &Ten) {
    let front = ten.front().unwrap();
    let status = gave_up(front);
    assert_eq!(status["CapBnd"], "0".repeat(16));
    let owner = fs::metadata(ten.data_dir().join(".state")).unwrap().uid();
    assert!((0x7fff_0000..0x7fff_fff0).contains(&owner), "{owner}");
    assert_eq!(status["Uid"], vec![owner.to_string(); 4].join(" "));
    assert_eq!(status["Gid"], status["Uid"]);
    assert_eq!(status["Groups"], "");
    // Its tree holds nothing of the host's but what it needs.
    let root = format!("/proc/{front}/root");
    let data = ten.data_dir();
    let first = data.components().nth(1).unwrap().as_os_str().to_str().unwrap().to_owned();
    let mut want = ["dev", "proc", "sys"].map(str::to_owned).to_vec();
    want.push(first);
    want.sort_unstable();
    want.dedup();
    assert_eq!(names(&root), want);
    assert_eq!(names(&format!("{root}/{}", data.display())), [".state"]);
    assert_eq!(names(&format!("{root}/dev")), ["urandom"]);
    // No descriptor leads to a folder outside.
    for fd in names(&format!("/proc/{front}/fd")) {
        let at = format!("/proc/{front}/fd/{fd}");
        let is_folder = fs::metadata(&at).is_ok_and(|found| found.is_dir());
        assert!(!is_folder, "{fd} is {:?}", fs::read_link(&at));
    }
}

fn replaced(ten: &Ten, front: u32) {
    ten.wait_until("another front", PATIENCE, || ten.front().is_some_and(|next| next != front));
    assert_eq!(ten.get("a.app.localhost", "/").status, 200);
}

#[test]
fn the_front_has_what_it_needs_and_nothing_else() {
    if !has_root() {
        return;
    }
    let ten = Ten::with_config(&app("", "")).start();
    assert_eq!(ten.get("a.app.localhost", "/").status, 200);
    is_caged(&ten);
    let front = ten.front().unwrap();
    ten.signal(front, Signal::KILL);
    replaced(&ten, front);
    is_caged(&ten);
}

/// What waits on a Unix socket of another user's is reached by the file that the warden found.
#[test]
fn it_reaches_sockets_that_are_closed_to_it() {
    if !has_root() {
        return;
    }
    for (args, keys) in [
        ("--listen socket", "listen = \"socket\""),
        ("--listen activation", "listen = \"activation\""),
        ("--listen socket", "listen = \"socket\"\nisolation = \"process\""),
        ("--listen socket", "listen = \"socket\"\nuser = \"nobody\""),
    ] {
        let ten = Ten::with_config(&app(args, keys)).start();
        assert_eq!(ten.get("a.app.localhost", "/").status, 200, "{keys}");
        let folder = fs::metadata(ten.data_dir().join("app/a")).unwrap();
        assert_eq!(folder.mode() & 0o077, 0, "{keys}: its folder was opened");
        let front = ten.front().unwrap();
        ten.signal(front, Signal::KILL);
        replaced(&ten, front);
        assert_eq!(ten.get("a.app.localhost", "/count").text(), "3", "{keys}: it was restarted");
    }
}

/// What an earlier version left belongs to root, and is somewhere else.
#[test]
fn an_older_data_dir_is_handed_over() {
    if !has_root() {
        return;
    }
    let mut ten = Ten::with_config(&app("", "")).start();
    let spawned = ten.cli(&["spawn", "app:a"]);
    assert_eq!(spawned.code, Some(0), "{spawned:?}");
    ten.stop();
    let (data, state) = (ten.data_dir(), ten.data_dir().join(".state"));
    for name in names(&state.display().to_string()) {
        fs::rename(state.join(&name), data.join(&name)).unwrap();
        chown(data.join(&name), Some(0), Some(0)).unwrap();
    }
    fs::remove_dir(&state).unwrap();
    ten.start();
    let known = ten.cli(&["ps", "-a"]);
    assert!(known.stdout.contains("app:a"), "{known:?}");
    is_caged(&ten);
    assert!(!data.join("ten.db").exists());
    assert_eq!(owner(&state.join("ten.db")), owner(&state));
}

fn owner(path: &Path) -> u32 {
    fs::metadata(path).unwrap().uid()
}

/// A token that root makes beside a running server does not close the store to the front.
#[test]
fn root_writes_to_the_store_beside_it() {
    let mut ten = Ten::with_config(&app("", "")).start();
    let made = ten.cli(&["token-gen"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(ten.cli(&["spawn", "app:a"]).code, Some(0));
    let state = ten.data_dir().join(".state");
    for name in names(&state.display().to_string()) {
        assert_eq!(owner(&state.join(&name)), owner(&state), "{name}");
    }
    ten.stop();
    ten.start();
    assert!(ten.cli(&["ps", "-a"]).stdout.contains("app:a"));
}

/// A keeper that dies takes its front with it; both are replaced, and data are moved again.
#[test]
fn a_keeper_that_dies_is_replaced() {
    if !has_root() {
        return;
    }
    let ten = Ten::with_config(&app("", "")).start();
    let file = ten.data_dir().join("app/a/note");
    let write = format!("/write?path={}&text=x", file.display());
    assert_eq!(ten.get("a.app.localhost", &write).status, 200);
    let is_keeper = |p: &process::Process| {
        p.parent == ten.warden() && p.argv.iter().any(|arg| arg.starts_with("ten-keeper"))
    };
    let keeper = process::all().into_iter().find(is_keeper).expect("a keeper");
    let caps = |set: &str| u64::from_str_radix(&status(keeper.pid)[set], 16);
    // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER (capabilities(7)).
    assert_eq!(caps("CapEff"), Ok(0b1111));
    // And SYS_ADMIN for the archiver, which looks into images.
    assert_eq!(caps("CapPrm"), Ok(0b1111 | 1 << 21));
    let front = ten.front().unwrap();
    ten.signal(keeper.pid, Signal::KILL);
    replaced(&ten, front);
    let stopped = ten.cli(&["stop", "app:a"]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert!(!file.exists());
    assert_eq!(ten.cli(&["restore", "app:a"]).code, Some(0));
    assert_eq!(fs::read_to_string(&file).unwrap(), "x");
}
