//! What is made before a tree needs it, and what is asked before it runs.

use std::{
    fs,
    time::{Duration, Instant},
};

use ten_kernel::{Mount, Walls};

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
    let held = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
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

/// Its walls are there when it is refused, and go again.
pub(super) fn what_may_not_run_never_does(host: &mut Host, level: Level) {
    let ran = host.folder().join("ran");
    let (launch, mut plan) = host.plan(level, &format!("touch {}; echo the-end", ran.display()));
    plan.scratch = Some(host.folder().join("scratch"));
    let mut refused = plan.clone();
    refused.env.push((REFUSED.into(), "it would see too much".into()));
    host.launch(launch, refused);
    assert_eq!(host.failure_of(launch), "it would see too much");
    assert!(!ran.exists() && !host.folder().join("scratch").exists());
    let (again, _) = host.plan(level, "");
    host.finish(again, plan);
    assert_eq!(ran.exists(), level == Level::Bare, "the other sees it read-only");
}
