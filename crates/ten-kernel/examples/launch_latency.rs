//! How long a launch takes, from the plan to the executed program, and what its init weighs.
//!
//! Run with `cargo run --release -p ten-kernel --example launch_latency [rounds]`. It prints
//! medians and 99th percentiles, beside fork and exec of the same program by `std`. The way out
//! of a private network needs root and a network that passes packets on; to leave the host's
//! alone, run it in one of its own: `unshare -n sh -c "sysctl net.ipv4.ip_forward=1; …"`.

use std::{
    fs,
    os::fd::OwnedFd,
    process::Command,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};
use ten_kernel::{
    Blanks, CgroupTree, Given, LaunchPlan, Leaf, Link, Mount, Network, Report, Uplink, User, Walls,
    launch,
};

fn main() {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(500);
    let null = || -> OwnedFd { fs::File::options().write(true).open("/dev/null").unwrap().into() };
    let (stdout, stderr) = (null(), null());
    let cgroups = CgroupTree::open("tenement-launch-latency").unwrap();
    let leaf = cgroups.as_ref().map(|tree| tree.leaf("tree").unwrap());
    let private = |at: &str| Mount::Private { at: at.into(), mode: 0o1777 };
    let here = std::env::current_dir().unwrap();
    let full = vec![
        Mount::Proc,
        Mount::Sys,
        Mount::Devices,
        private("/tmp"),
        private("/var/tmp"),
        private("/run"),
        private("/home"),
        private("/root"),
        Mount::Bind { from: here.clone(), at: here, writable: true },
    ];
    let hostname = || "latency".to_owned();
    let namespaces = |network, mounts| Walls::Namespaces { hostname: hostname(), network, mounts };
    measure("std::process::Command", rounds, || {
        let began = Instant::now();
        let mut child = Command::new("/bin/true").spawn().unwrap();
        let took = began.elapsed();
        child.wait().unwrap();
        took
    });
    let own = tempfile::tempdir().unwrap();
    for (name, walls, user) in [
        ("bare", Walls::Bare, User::Inherit),
        ("namespaces", namespaces(Network::Host, vec![]), User::Inherit),
        ("full walls", namespaces(Network::Host, full.clone()), User::Inherit),
        ("full walls, own network", namespaces(Network::Loopback, full.clone()), User::Inherit),
        (
            "full walls, own user",
            namespaces(Network::Host, full.clone()),
            User::Own { ledger: own.path().join("ledger") },
        ),
        ("full walls, way out", namespaces(Network::Uplink, full), User::Inherit),
    ] {
        let wants_out = matches!(walls, Walls::Namespaces { network: Network::Uplink, .. });
        let uplink = wants_out.then(|| Uplink::open("ten-latency"));
        let uplink = match uplink.transpose() {
            Ok(uplink) => uplink,
            Err(failure) => {
                println!("{name:>24}  {failure}");
                continue;
            }
        };

        let plan = LaunchPlan { user, folders: vec![own.path().into()], ..plan(walls) };
        // Not made beforehand: how long all of it takes is what is measured.
        let blanks = Blanks::default;
        let link = || uplink.as_ref().map(|uplink| uplink.link().unwrap());
        let (out, err, cgroup) = (&stdout, &stderr, leaf.as_ref());
        measure(name, rounds, || {
            once(&plan, &given(cgroup, [out, err], link().as_ref(), &blanks()))
        });
        let weight = weigh(&plan, &given(cgroup, [out, err], link().as_ref(), &blanks()));
        println!("{:>24}  init: {weight}", "");
        if let Some(uplink) = uplink {
            uplink.remove().unwrap();
        }
    }
    drop(leaf.map(|leaf| leaf.remove()));
    if let Some(tree) = cgroups {
        tree.remove();
    }
}

fn given<'a>(
    cgroup: Option<&'a Leaf>,
    [stdout, stderr]: [&'a OwnedFd; 2],
    link: Option<&'a Link>,
    blanks: &'a Blanks,
) -> Given<'a> {
    Given { cgroup, stdout, stderr, activation: None, link, blanks }
}

fn plan(walls: Walls) -> LaunchPlan {
    LaunchPlan {
        name: "latency".into(),
        program: "/bin/true".into(),
        argv: vec!["true".into()],
        env: Vec::new(),
        workdir: "/".into(),
        folders: Vec::new(),
        storage: None,
        scratch: None,
        socket: None,
        activation: false,
        user: ten_kernel::User::Inherit,
        walls,
        limits: ten_kernel::Limits::default(),
    }
}

/// Until the program is executed.
fn once(plan: &LaunchPlan, given: &Given<'_>) -> Duration {
    let began = Instant::now();
    let tree = launch(plan, given).unwrap();
    tree.report.go().unwrap();
    let took = loop {
        match tree.report.next() {
            Some(Report::Started) => break began.elapsed(),
            Some(Report::Failed(failure)) => panic!("{failure}"),
            Some(_) => {}
            None => drop(poll(&mut [PollFd::new(&tree.report, PollFlags::IN)], None)),
        }
    };
    tree.init.wait().unwrap();
    took
}

/// Memory that init alone has, while its program runs.
fn weigh(plan: &LaunchPlan, given: &Given<'_>) -> String {
    let plan = LaunchPlan {
        program: "/bin/sleep".into(),
        argv: vec!["sleep".into(), "1000".into()],
        ..plan.clone()
    };
    let tree = launch(&plan, given).unwrap();
    tree.report.go().unwrap();
    while tree.report.next() != Some(Report::Started) {
        let _ = poll(&mut [PollFd::new(&tree.report, PollFlags::IN)], None);
    }
    let pid = tree.init.pid();
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = |text: &str, key: &str| -> String {
        let found = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        found.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (rollup, status) = (read("smaps_rollup"), read("status"));
    let weight = ["Private_Dirty", "Pss:", "Rss"].map(|key| line(&rollup, key)).join(", ");
    let tables = line(&status, "VmPTE");
    match plan.walls {
        Walls::Bare => tree.init.signal(ten_kernel::KILL_ORDER).unwrap(),
        Walls::Namespaces { .. } => tree.init.kill().unwrap(),
    }
    tree.init.wait().unwrap();
    format!("{weight}, {tables}")
}

fn measure(name: &str, rounds: usize, mut run: impl FnMut() -> Duration) {
    let mut took: Vec<_> = (0..rounds).map(|_| run()).collect();
    took.sort_unstable();
    let at = |share: f64| took[((rounds - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{name:>24}  median {:.3} ms  p99 {:.3} ms", at(0.5), at(0.99));
}
