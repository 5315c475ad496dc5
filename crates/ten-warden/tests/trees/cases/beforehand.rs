//! What is made before a tree needs it, and what is asked before it runs.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::{major, minor};
use ten_kernel::{LaunchPlan, Mount, Storage, Walls};

use crate::{
    host::{Host, Level, Setting},
    obedient::REFUSED,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// All mounts, and what is in some of the places.
const LOOK: &str = "cut -d' ' -f3- /proc/self/mountinfo
    ls -lA --time-style=+ /dev /tmp /var/tmp; touch /tmp/left /dev/shm/left /var/tmp/left";

pub(super) fn places_are_like_any(host: &mut Host) {
    let pid = host.warden_pid();
    let look = |host: &mut Host| {
        let (launch, mut plan) = host.plan(Level::Namespaces, &format!("{LOOK}; echo the-end"));
        if let Walls::Namespaces { mounts, .. } = &mut plan.walls {
            let private = |at: &str, mode| Mount::Private { at: at.into(), mode };
            let own = [private("/tmp", 0o1777), private("/var/tmp", 0o711)];
            *mounts = [Mount::Proc, Mount::Sys, Mount::Devices].into_iter().chain(own).collect();
        }
        host.finish(launch, plan)
    };
    let first = look(host);
    let deadline = Instant::now() + PATIENCE;
    while host.setting() != Setting::Nobody && spares(pid).len() < 4 {
        assert!(Instant::now() < deadline, "nothing is made for the next");
        std::thread::yield_now();
    }
    let spares = spares(pid);
    let second = look(host);
    for device in spares {
        assert!(
            second.lines().any(|line| line.starts_with(&device)),
            "{device} is not in {second}"
        );
    }
    assert_eq!(without_devices(&second), without_devices(&first));
    assert!(first.contains("/var/tmp rw,nosuid,nodev") && first.contains("null"), "{first}");
    assert!(!first.contains("left"), "{first}");
}

/// The devices of what a process holds that is mounted nowhere, as mountinfo has them. It has no path
/// but its own root.
fn spares(pid: u32) -> Vec<String> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten().map(|fd| fd.path());
    let mounts = fds.filter(|fd| fs::read_link(fd).is_ok_and(|to| to == Path::new("/")));
    let device = |fd| fs::metadata(fd).map(|meta| meta.dev());
    mounts.flat_map(device).map(|device| format!("{}:{} ", major(device), minor(device))).collect()
}

/// What was looked at, whatever numbers the filesystems have, and in which order they came.
fn without_devices(look: &str) -> Vec<&str> {
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == ':');
    let lines = look.lines().map(|line| match line.split_once(' ') {
        Some((device, rest)) if is_number(device) => rest,
        _ => line,
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    lines
}

/// Its walls are being built when it is refused, and go again; but where its storage is limited,
/// nothing was begun.
pub(super) fn what_may_not_run_never_does(host: &mut Host, level: Level) {
    let ran = host.folder().join("ran");
    let (launch, mut plan) = host.plan(level, &format!("touch {}; echo the-end", ran.display()));
    plan.scratch = Some(host.folder().join("scratch"));
    let mut refused = plan.clone();
    refused.env.push((REFUSED.into(), "it would see too much".into()));
    let data_dir = host.folder().join("limited");
    let limited = Storage {
        folders: vec![data_dir.join("app/a")],
        home: data_dir.join("images/a"),
        limit: Some(64 << 20),
        data_dir,
    };
    let children = [None, Some(limited)].map(|storage| {
        let (launch, _) = host.plan(level, "");
        host.launch(launch, LaunchPlan { storage, ..refused.clone() });
        let reason = host.failure_of(launch);
        let children = reason.strip_prefix("it would see too much, ").expect("the reason");
        children.strip_suffix(" children").unwrap().parse::<u32>().unwrap()
    });
    assert_eq!(children[0], children[1] + 1);
    assert!(!ran.exists() && !host.folder().join("scratch").exists());
    host.finish(launch, plan);
    assert_eq!(ran.exists(), level == Level::Bare, "the other sees it read-only");
}
