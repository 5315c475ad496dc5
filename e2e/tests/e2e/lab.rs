//! A host of a test's own, with an internet before it: networks that the test makes, so that
//! it can see what leaves a host, and change what no test may change on the machine it runs on.
//!
//! ```text
//! ┌ the test, ten, its tenants ┐        ┌ internet.py ─────────────────────────────┐
//! │ lab0  203.0.113.2 ─────────┼── veth ┼─ 203.0.113.1   192.0.2.80   169.254.169.254 │
//! └────────────────────────────┘        └──────────────────────────────────────────┘
//! ```
//!
//! A network belongs to a thread, and a test has several, so the test is run once more by
//! itself, in a process that was born in its network.

use std::{
    env, fs,
    net::TcpStream,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use ten_testkit::{http, http::Request, wait_until};

use crate::service::PATIENCE;

/// The host's address on the device that leads out.
pub(crate) const HOST: &str = "203.0.113.2";
/// Somebody on the internet who answers every request with the address that it came from, on
/// ports 80 and 9 (echo over UDP).
pub(crate) const SOMEBODY: &str = "192.0.2.80";
/// The same server, at the address where clouds tell secrets.
pub(crate) const METADATA: &str = "169.254.169.254";

const INTERNET: &str = include_str!("lab/internet.py");
/// Set where the test runs in its lab.
const INSIDE: &str = "TEN_LAB";

/// What a lab's process does first: see its own devices in /sys, which keeps the cgroups.
const SEE_OWN_DEVICES: &str = "set -e
sys=$(mktemp -d)
mount -t sysfs sysfs $sys
mount --rbind /sys/fs/cgroup $sys/fs/cgroup
mount --move $sys /sys
rmdir $sys
exec \"$@\"";

/// The host, and the internet, which goes when this is dropped.
pub(crate) struct Lab {
    internet: Child,
}

/// Runs the body of the test of this name (`module::function`) in a lab of its own.
pub(crate) fn run(test: &str, body: impl FnOnce(&Lab)) {
    if env::var_os(INSIDE).is_none() {
        if !rustix::process::geteuid().is_root() {
            return println!("SKIP only root can make networks beside the host's");
        }
        let unshare = ["--net", "--mount", "--propagation", "private", "--"];
        let mut inside = Command::new("unshare");
        inside.args(unshare).args(["sh", "-c", SEE_OWN_DEVICES, "sh"]);
        let inside = inside.arg(env::current_exe().unwrap()).args([test, "--exact", "--nocapture"]);
        let status = inside.env(INSIDE, "1").status().expect("unshare");
        return assert!(status.success(), "{test} failed in its lab");
    }
    let lab = Lab::open();
    lab.forward(true);
    body(&lab);
    let left = lab.filters();
    assert!(!left.contains("ten"), "filters that are left:\n{left}");
}

impl Lab {
    fn open() -> Self {
        let internet = Command::new("unshare")
            .args(["--net", "--", "/usr/bin/python3", "-c", INTERNET])
            .stdin(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut lab = Self { internet };
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let namespace = format!("/proc/{}/ns/net", lab.internet.id());
        let apart = || fs::read_link(&namespace).is_ok_and(|theirs| theirs != own);
        assert!(wait_until(PATIENCE, apart), "the internet has a network of its own");
        let pid = lab.internet.id();
        sh(&format!(
            "ip link set lo up
             ip link add lab0 type veth peer name inet0 netns {pid}
             ip address add {HOST}/24 dev lab0
             ip link set lab0 up
             ip route add default via 203.0.113.1
             nsenter --net={namespace} sh -ec '
                 ip link set lo up
                 ip address add 203.0.113.1/24 dev inet0
                 ip address add {SOMEBODY}/32 dev lo
                 ip address add {METADATA}/32 dev lo
                 ip link set inet0 up
                 ip route add local 198.18.0.0/15 dev lo
                 ip route add unreachable default
                 echo 1 > /proc/sys/net/ipv4/ip_forward'"
        ));
        drop(lab.internet.stdin.take());
        let answers = || TcpStream::connect((SOMEBODY, 80)).is_ok();
        assert!(wait_until(PATIENCE, answers), "somebody on the internet answers");
        let address: std::net::SocketAddr = format!("{SOMEBODY}:80").parse().unwrap();
        let seen = http::send(address, &Request::get(SOMEBODY, "/")).unwrap();
        assert_eq!(seen.text(), HOST);
        lab
    }

    /// Whether the host passes packets on.
    pub(crate) fn forward(&self, on: bool) {
        fs::write("/proc/sys/net/ipv4/ip_forward", if on { "1" } else { "0" }).unwrap();
    }

    /// All filters of the host.
    pub(crate) fn filters(&self) -> String {
        let list = Command::new("nft").args(["list", "ruleset"]).output().expect("nft");
        String::from_utf8(list.stdout).unwrap()
    }

    /// The devices of the host.
    pub(crate) fn devices(&self) -> Vec<String> {
        let entries = fs::read_dir("/sys/class/net").unwrap().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.internet.kill();
        let _ = self.internet.wait();
    }
}

/// Runs commands on the host, which must not fail.
pub(crate) fn sh(script: &str) {
    let status = Command::new("sh").arg0("lab").args(["-ec", script]).status().expect("sh");
    assert!(status.success(), "{script}");
}
