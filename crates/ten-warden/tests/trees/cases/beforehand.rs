//! What is made before a tree needs it, and what is asked before it runs.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use ten_kernel::{LaunchPlan, Mount, Storage, Walls};

use crate::{
    host::{Host, Level, Setting},
    obedient::REFUSED,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// All mounts without their numbers, and what is in two of the places.
const LOOK: &str = "sed -E 's/^[0-9]+ [0-9]+ [0-9]+:[0-9]+ //' /proc/self/mountinfo | sort
    ls -lA --time-style=+ /dev /tmp /var/tmp; touch /tmp/left /dev/shm/left /var/tmp/left";

pub(super) fn places_are_like_any(host: &mut Host) {
    let pid = host.warden_pid();
    // What is mounted nowhere has no path but its own root.
    let held = || {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        fds.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == Path::new("/"))).count()
    };
    let look = |host: &mut Host| {
        let (launch, mut plan) = host.plan(Level::Namespaces, &format!("{LOOK}; echo the-end"));
        if let Walls::Namespaces { mounts, .. } = &mut plan.walls {
            let private = |at: &str, mode| Mount::Private { at: at.into(), mode };
            let own = [private("/tmp", 0o1777), private("/var/tmp", 0o711)];
            *mounts = [Mount::Proc, Mount::Sys, Mount::Devices].into_iter().chain(own).collect();
        }
        host.finish(launch, plan)
    };
    let before = held();
    let first = look(host);
    let deadline = Instant::now() + PATIENCE;
    while host.setting() != Setting::Nobody && held() <= before {
        assert!(Instant::now() < deadline, "nothing is made for the next");
        std::thread::yield_now();
    }
    assert_eq!(look(host), first);
    assert!(first.contains("/var/tmp rw,nosuid,nodev") && first.contains("null"), "{first}");
    assert!(!first.contains("left"), "{first}");
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
