//! Tenants with a network of their own and a way out (`network = "private"`), on a host and an
//! internet that each test makes for itself.

use std::{fs, net::TcpStream, time::Duration};

use rustix::process::Signal;
use ten_testkit::{Builder, Ten};

use crate::{
    lab::{self, HOST, Lab, METADATA, SOMEBODY, sh},
    rootless::Rootless,
    service::PATIENCE,
};

const APP: &str = include_str!("private/app.py");
/// The port of every instance that has a network of its own.
const PORT: u16 = 30000;
/// Told at once, over TCP and otherwise.
const REFUSED: &str = "ECONNREFUSED at once";
const PROHIBITED: &str = "EHOSTUNREACH at once";

fn config(keys: &str) -> String {
    format!(
        "[service.app]\ncommand = \"/usr/bin/python3 app.py\"\nnetwork = \"private\"\n\
         listen = \"port\"\n{keys}\n"
    )
}

/// A server on every address of the host, its app in place.
fn server(keys: &str) -> Ten {
    prepare(Ten::with_config(&config(keys)))
}

fn prepare(builder: Builder) -> Ten {
    let mut ten = builder.arg("--bind").arg("0.0.0.0").prepare();
    fs::write(ten.config_path().parent().unwrap().join("app.py"), APP).unwrap();
    ten.start();
    ten
}

fn reach(ten: &Ten, id: &str, host: &str, port: u16) -> String {
    ten.get(&format!("{id}.app.localhost"), &format!("/reach?host={host}&port={port}")).text()
}

fn reach_udp(ten: &Ten, id: &str, host: &str, port: u16) -> String {
    let path = format!("/reach?host={host}&port={port}&udp=1");
    ten.get(&format!("{id}.app.localhost"), &path).text()
}

/// The output of a command in an instance.
fn run(ten: &Ten, id: &str, command: &str) -> String {
    let command = command.replace(' ', "+").replace('>', "%3E");
    ten.get(&format!("{id}.app.localhost"), &format!("/run?command={command}")).text()
}

/// Its address in its own network.
fn address(ten: &Ten, id: &str) -> String {
    let text = run(ten, id, "cat /proc/net/fib_trie");
    let found = text.lines().find_map(|line| line.split("198.18.").nth(1));
    format!("198.18.{}", found.unwrap_or_else(|| panic!("no address in {text}")).trim())
}

#[test]
fn it_gets_out_and_nowhere_else() {
    lab::run("private::it_gets_out_and_nowhere_else", |lab| {
        let ten = server("nameservers = []");
        for id in ["a", "b"] {
            assert_eq!(ten.get(&format!("{id}.app.localhost"), "/").text(), format!("app:{id}"));
            // Out, in the host's name; and somebody who is not there is nobody.
            assert_eq!(reach(&ten, id, SOMEBODY, 80), format!("answered {HOST}"));
            assert!(reach_udp(&ten, id, SOMEBODY, 9).starts_with("answered"));
            assert_eq!(reach(&ten, id, SOMEBODY, 81), REFUSED);
        }
        refuses_what_it_must(&ten, lab);
        refuses_each_other(&ten, lab);
        changes_nothing(&ten);
        drop(ten);
        // Nor has one whose user is root.
        let ten = server("nameservers = []\nuser = \"inherit\"");
        assert_eq!(run(&ten, "a", "id -u"), "0\n");
        assert_eq!(reach(&ten, "a", SOMEBODY, 80), format!("answered {HOST}"));
        assert_eq!(reach(&ten, "a", HOST, ten.address().port()), REFUSED);
        changes_nothing(&ten);
    });
}

/// Addresses of the host are its own whatever they are, since when, and however its ports lead on.
fn refuses_what_it_must(ten: &Ten, lab: &Lab) {
    let api = ten.address().port();
    let own = "10.9.8.7";
    assert_ne!(reach(ten, "a", own, api), REFUSED, "nobody has it yet");
    sh(&format!("ip address add {own}/32 dev lo"));
    let uplink = uplink_of(lab);
    for host in [HOST, own, METADATA, "169.254.1.1", &uplink, "127.0.0.1", "0.0.0.0"] {
        assert_eq!(reach(ten, "a", host, api), REFUSED, "{host}");
    }
    for host in [HOST, own, METADATA, &uplink] {
        assert_eq!(reach_udp(ten, "a", host, 9), PROHIBITED, "{host}");
    }
    for host in ["224.0.0.1", "255.255.255.255", "240.0.0.1"] {
        assert!(!reach_udp(ten, "a", host, 9).starts_with("answered"), "{host}");
    }
    // A published port, as container engines make them: for the world, and not from here.
    sh(&format!(
        "nft add table ip lab
         nft add chain ip lab pre '{{ type nat hook prerouting priority dstnat; }}'
         nft add rule ip lab pre ip daddr {HOST} tcp dport 8000 dnat to {SOMEBODY}:80"
    ));
    assert_eq!(reach(ten, "a", HOST, 8000), REFUSED);
    // What an operator does to the host's filters does not open it.
    sh("nft flush ruleset");
    assert!(lab.filters().contains("ten-"), "{}", lab.filters());
    assert_eq!(reach(ten, "a", HOST, api), REFUSED);
    assert_eq!(reach(ten, "a", SOMEBODY, 80), format!("answered {HOST}"));
}

/// The address of the uplink in the host's network.
fn uplink_of(lab: &Lab) -> String {
    let filters = lab.filters();
    let found = filters.split_whitespace().find(|word| word.starts_with("198.19."));
    found.unwrap_or_else(|| panic!("none in {filters}")).to_owned()
}

fn refuses_each_other(ten: &Ten, lab: &Lab) {
    let (a, b) = (address(ten, "a"), address(ten, "b"));
    assert_ne!(a, b);
    // Each listens on every address it has, and so reaches itself.
    assert_eq!(reach(ten, "b", &b, PORT), "answered app:b");
    assert!(reach_udp(ten, "b", &b, PORT).starts_with("answered"));
    assert_eq!(reach(ten, "a", &b, PORT), REFUSED);
    assert_eq!(reach_udp(ten, "a", &b, PORT), PROHIBITED);
    // Nor does the host have a way in, with a route that says it has.
    let devices = lab.devices();
    let uplink = devices.iter().find(|name| name.starts_with("ten-")).unwrap();
    sh(&format!("ip route add 198.18.0.0/16 dev {uplink}"));
    for to in [&a, &b, &uplink_of(lab)] {
        let address = format!("{to}:{PORT}").parse().unwrap();
        let connected = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        assert!(connected.is_err(), "{to} is reached from the host");
    }
}

/// It has none of the powers with which its network was made.
fn changes_nothing(ten: &Ten) {
    for command in [
        "ip route add 10.0.0.0/8 dev eth0",
        "ip address add 203.0.113.77/32 dev eth0",
        "ip link set eth0 address 02:00:00:00:00:09",
        "ip link set eth0 arp on",
        "nft list ruleset",
        "unshare --user --net true",
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
    ] {
        let said = run(ten, "a", command).to_lowercase();
        let denied = ["not permitted", "read-only", "denied"].iter().any(|no| said.contains(no));
        assert!(denied, "{command}: {said}");
    }
    let devices = run(ten, "a", "ls /sys/class/net");
    assert_eq!(devices, "eth0\nlo\n");
    assert!(run(ten, "a", "cat /proc/net/if_inet6").lines().all(|line| line.ends_with("lo")));
}

/// The kernel remembers connections in one table for all of the host.
#[test]
fn one_that_opens_too_many_connections_harms_itself_alone() {
    let name = "private::one_that_opens_too_many_connections_harms_itself_alone";
    lab::run(name, |_| {
        let ten = server("nameservers = []");
        let out = format!("answered {HOST}");
        let flood = |count: u32| {
            let path = format!("/flood?host={SOMEBODY}&port=9&count={count}");
            assert_eq!(ten.get("a.app.localhost", &path).text(), "sent");
        };
        flood(2000);
        assert_eq!(reach(&ten, "a", SOMEBODY, 80), out);
        flood(2500);
        assert_eq!(reach(&ten, "a", SOMEBODY, 80), REFUSED);
        assert_eq!(reach(&ten, "b", SOMEBODY, 80), out);
        assert_eq!(ten.get("a.app.localhost", "/").text(), "app:a");
    });
}

#[test]
fn it_asks_for_names_whom_it_can_reach() {
    lab::run("private::it_asks_for_names_whom_it_can_reach", |_| {
        let ten = server("nameservers = [\"192.0.2.53\", \"9.9.9.9\"]");
        let file = "cat /etc/resolv.conf";
        assert_eq!(run(&ten, "a", file), "nameserver 192.0.2.53\nnameserver 9.9.9.9\n");
        let written = run(&ten, "a", "echo nameserver 1.1.1.1 > /etc/resolv.conf");
        assert!(written.to_lowercase().contains("read-only"), "{written}");
        let temporary = run(&ten, "a", "ls -A /tmp");
        assert!(!temporary.contains("text"), "{temporary}");
        drop(ten);
        let ten = server("nameservers = [\"127.0.0.1\"]");
        let refused = ten.cli(&["spawn", "app:a"]);
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("127.0.0.1 cannot be reached"), "{refused:?}");
    });
}

/// Where the host passes nothing on, starts fail and say what to do; when it does, they work.
#[test]
fn a_host_that_forwards_nothing_is_told_how() {
    lab::run("private::a_host_that_forwards_nothing_is_told_how", |lab| {
        lab.forward(false);
        let ten = server("nameservers = []");
        let refused = ten.cli(&["spawn", "app:a"]);
        assert_eq!(refused.code, Some(1));
        for words in ["net.ipv4.ip_forward is 0", "sysctl net.ipv4.ip_forward=1"] {
            assert!(refused.stderr.contains(words), "{refused:?}");
        }
        let doctor = ten.cli(&["doctor", "--port", "0"]);
        assert_eq!(doctor.code, Some(1));
        assert!(doctor.stdout.contains("missing  private network"), "{}", doctor.stdout);
        assert_eq!(lab.devices(), ["lab0", "lo"]);
        lab.forward(true);
        assert_eq!(ten.cli(&["restart", "app:a"]).code, Some(0));
        assert_eq!(reach(&ten, "a", SOMEBODY, 80), format!("answered {HOST}"));
        let doctor = ten.cli(&["doctor", "--port", "0"]);
        assert!(doctor.stdout.contains("ok       private network"), "{}", doctor.stdout);
        assert_eq!(doctor.code, Some(0), "{}", doctor.stdout);
    });
}

#[test]
fn nothing_is_left_whoever_dies() {
    lab::run("private::nothing_is_left_whoever_dies", |lab| {
        let mut ten = server("nameservers = []");
        let out = format!("answered {HOST}");
        assert_eq!(reach(&ten, "a", SOMEBODY, 80), out);
        let front = ten.front().unwrap();
        ten.signal(front, Signal::KILL);
        ten.wait_until("another front", PATIENCE, || ten.front().is_some_and(|next| next != front));
        assert_eq!(reach(&ten, "a", SOMEBODY, 80), out);
        // What it has lives on without the warden, and so do the filters that bound it.
        ten.kill_warden();
        assert!(lab.filters().contains("ten-"), "{}", lab.filters());
        assert_eq!(lab.devices().len(), 3);
        ten.start();
        assert_eq!(reach(&ten, "a", SOMEBODY, 80), out);
        assert_eq!(reach(&ten, "a", HOST, ten.address().port()), REFUSED);
        assert_eq!(lab.devices().len(), 3);
        ten.stop();
        assert_eq!(lab.devices(), ["lab0", "lo"]);
        // Killed while nobody is connected, it leaves nothing either.
        ten.start();
        ten.kill_warden();
        let gone = || lab.devices() == ["lab0", "lo"] && !lab.filters().contains("ten-");
        assert!(ten_testkit::wait_until(PATIENCE, gone), "{:?} {}", lab.devices(), lab.filters());
        ten.start();
        ten.stop();
    });
}

#[test]
fn two_servers_of_one_host_know_nothing_of_each_other() {
    lab::run("private::two_servers_of_one_host_know_nothing_of_each_other", |lab| {
        let (one, other) = (server("nameservers = []"), server("nameservers = []"));
        for ten in [&one, &other] {
            assert_eq!(reach(ten, "a", SOMEBODY, 80), format!("answered {HOST}"));
        }
        assert_eq!(lab.devices().len(), 4);
        let addresses = [&one, &other].map(|ten| address(ten, "a"));
        assert_eq!(addresses[0], addresses[1], "numbers are a server's own");
        assert_eq!(reach(&one, "a", HOST, other.address().port()), REFUSED);
        // What the first has was there before the second.
        drop(other);
        assert_eq!(reach(&one, "a", SOMEBODY, 80), format!("answered {HOST}"));
    });
}

#[test]
fn an_ordinary_user_is_refused_by_name() {
    let ten = Rootless::start(&config("nameservers = []"), |home| {
        fs::write(home.join("app.py"), APP).unwrap();
    });
    assert_eq!(ten.get("a.app.localhost", "/").status, 503);
    let said = ten.cli(&["spawn", "app:a"]);
    assert!(said.contains("network = \"private\" needs root"), "{said}");
}
