//! A server as a unit of systemd, Debian's own, with what docs/operating.md says of such a unit.
//! It is the manager of a container, since this machine has a first process already.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use ten_testkit::{
    Ten,
    process::{self, Process},
    ten_binary, wait_until,
};

use super::{
    cgroups::read,
    delegation::{
        CONFIG, UNSHARE, answers, arguments, container, front, given, limits_below, warden,
    },
};
use crate::image::SYSTEMD;

const PATIENCE: Duration = Duration::from_secs(30);

/// A tenant that runs out of memory.
const HOG: &str = "[service.hog]\ncommand = \"/bin/machine tenant hog\"\nlisten = \"none\"\n\
                   memory_limit_mb = 48\nmemory_swap_max_mb = 0\nrestart = \"never\"\n";

/// systemd with one unit. It goes when this does, with all that it has started.
struct Manager(Child, PathBuf);

impl Manager {
    fn start(ten: &Ten, base: PathBuf) -> Self {
        let command = [vec![ten_binary().display().to_string()], arguments(ten)].concat().join(" ");
        let unit = format!(
            "[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n[Service]\nType=exec\n\
             ExecStart={command}\nDelegate=yes\nKillMode=mixed\nOOMPolicy=continue\n\
             Restart=always\nRestartSec=100ms\n"
        );
        fs::create_dir_all("/etc/systemd/system").expect("a folder");
        fs::write("/etc/systemd/system/ten.service", unit).expect("a unit");
        let mut command = Command::new(UNSHARE[0]);
        command.args(&UNSHARE[1..]).args(container(&base));
        command.args([SYSTEMD, "--system", "--unit=ten.service"]);
        command.args(["--log-target=console", "--log-level=notice", "--show-status=no"]);
        Self(command.spawn().expect("it starts"), base)
    }

    fn signal(&self, signal: Signal) {
        let is_it = |p: &Process| p.parent == self.0.id();
        let first = process::all().into_iter().find(is_it).expect("it has a first process");
        process::signal(first.pid, signal).expect("it runs");
    }

    fn unit(&self) -> PathBuf {
        self.1.join("system.slice/ten.service")
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // unshare(1) takes its child along.
        let _ = kill_process(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

pub(super) fn a_unit_of_systemd_is_divided() {
    let base = given("systemd");
    let ten = Ten::with_config(&(CONFIG.to_owned() + HOG)).prepare();
    let manager = Manager::start(&ten, base.clone());
    answers(&ten);
    println!("it answers");
    let leaf = limits_below(&ten, &manager.unit(), "a");
    let seated = read(&manager.unit().join("ten"), "cgroup.procs");
    for pid in [warden(&ten).expect("it runs").pid, front(&ten).pid] {
        assert!(seated.lines().any(|line| line == pid.to_string()), "{pid} is not in {seated:?}");
    }

    // OOMPolicy=continue.
    let first = warden(&ten).expect("it runs").pid;
    assert_eq!(ten.cli(&["spawn", "hog:a"]).code, Some(0));
    let ended = || ten.cli(&["health", "hog:a"]).stdout.contains("out of memory");
    assert!(wait_until(PATIENCE, ended), "the hog is still there");

    // daemon-reload: what is delegated stays as it is.
    manager.signal(Signal::HUP);
    limits_below(&ten, &manager.unit(), "b");
    assert_eq!(read(&leaf, "memory.max"), "67108864");

    // Whatever becomes of the warden, the unit comes back, and no instance is there twice.
    assert_eq!(warden(&ten).map(|warden| warden.pid), Some(first), "a tenant was its end");
    process::signal(first, Signal::KILL).expect("it runs");
    let again = || warden(&ten).is_some_and(|next| next.pid != first);
    assert!(wait_until(PATIENCE, again), "the unit was not started again");
    answers(&ten);
    println!("it answers again");
    limits_below(&ten, &manager.unit(), "a");
    assert_eq!(
        ten.processes_of("job:a").iter().filter(|p| p.argv[0].contains("tenant")).count(),
        1
    );
    assert_eq!(ten.processes_of("job:b"), []);
    drop(manager);
    let emptied = || read(&base, "cgroup.events").contains("populated 0");
    assert!(wait_until(PATIENCE, emptied), "somebody has outlived the container");
    remove_all(&base);
}

/// A cgroup and those that systemd has made below it.
fn remove_all(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).expect("a cgroup").map(|entry| entry.expect("one")) {
        if entry.path().is_dir() {
            remove_all(&entry.path());
        }
    }
    fs::remove_dir(cgroup).expect("nothing is left in it");
}
