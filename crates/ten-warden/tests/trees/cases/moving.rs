//! Data that init moves into an image before it executes the program. A reader of them holds that up
//! as much data would, for as long as the case wants.

use std::fs::{self, File};

use ten_kernel::{LaunchPlan, Mechanism, Mount, Storage, Walls, mechanism, mkfs};
use ten_warden::Exit;

use crate::{
    front::{Line, Order},
    host::{Host, Level, Setting, signal_pid},
};

/// A front that comes meanwhile is told of the tree, does not wait for it, and hears how it goes on.
pub(super) fn hold_up_no_front(host: &mut Host) {
    let has_images = std::path::Path::new("/dev/loop-control").exists() && mkfs().is_some();
    if host.setting() == Setting::Nobody || !has_images {
        return println!("SKIP images need root, loop devices and mkfs.ext4");
    }
    if !matches!(mechanism(host.folder()), Ok(Mechanism::Image)) {
        return println!("SKIP this filesystem has quotas of its own");
    }
    let (launch, plan) = with_data(host, "cat \"$NOTE\"; exec sleep 1000");
    let note = plan.folders[0].join("note");
    let reader = File::open(&plan.folders[0]).unwrap();
    reader.lock_shared().unwrap();
    host.launch(launch, plan.clone());
    preparing(host, launch);
    let Line::Boot { pid: front, .. } = host.boot() else { unreachable!() };
    signal_pid(front, 9);
    host.reconnect();
    let Line::Boot { living, .. } = host.boot() else { unreachable!() };
    assert_eq!(living, [(launch, None)]);
    assert_eq!(host.output_of(Level::Namespaces, "echo another"), "another\n");
    // Killed, it has moved nothing.
    host.order(&Order::Kill { launch });
    assert_eq!(host.failure_of(launch), "it was killed while it was being started");
    assert_eq!(fs::read_to_string(&note).unwrap(), "content");
    let again = launch + 100;
    host.launch(again, plan);
    preparing(host, again);
    drop(reader);
    host.wait_for_text(again, "content");
    assert!(!note.exists(), "it is there twice");
    host.order(&Order::Kill { launch: again });
    assert_eq!(host.exit_of(again), Exit::Signal(9));
}

/// A tree with a file, and a limit for it.
fn with_data(host: &mut Host, script: &str) -> (u64, LaunchPlan) {
    let (launch, mut plan) = host.plan(Level::Namespaces, script);
    let data_dir = host.folder().join("data");
    let own = data_dir.join("app/a");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("note"), "content").unwrap();
    plan.env.push(("NOTE".into(), own.join("note").to_str().unwrap().into()));
    plan.folders.push(own.clone());
    plan.storage = Some(Storage {
        folders: vec![own.clone()],
        home: data_dir.join(".images/app:a"),
        limit: Some(8 << 20),
        data_dir,
    });
    let Walls::Namespaces { mounts, .. } = &mut plan.walls else { unreachable!() };
    mounts.push(Mount::Bind { from: own.clone(), at: own, writable: true });
    (launch, plan)
}

fn preparing(host: &mut Host, launch: u64) {
    host.wait_for(|line| (*line == Line::Preparing { launch }).then_some(()));
}
