//! A balancer in front of ten: Debian's haproxy, which says with the PROXY protocol who the client
//! is, in both versions, on connections of its own that clients share or do not.
//!
//! ```text
//! 127.0.0.2 ─▶ haproxy ─▶ 127.0.0.1: "PROXY … 127.0.0.2 …" ─▶ ten serve ─▶ X-Forwarded-For
//! ```

use std::{
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use ten_conformance::service;
use ten_testkit::{Ten, tenant_binary, wait_until};

const HOST: &str = "a.app.localhost";
const PATIENCE: Duration = Duration::from_secs(20);
/// Words of haproxy for the two versions.
const VERSIONS: [&str; 2] = ["send-proxy", "send-proxy-v2"];
/// What has haproxy look whether ten serves, on connections of its own, and give it up where it
/// does not, three times in a row.
const CHECKS: &str = "check check-send-proxy inter 200ms";
/// Clients, each of which is itself to the instance.
const CLIENTS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];

fn start(settings: &str) -> Ten {
    let config = format!(
        "[settings]\ntrusted_proxies = [\"127.0.0.1\"]\n{settings}\n{}",
        service("app", &tenant_binary().display().to_string(), "")
    );
    Ten::with_config(&config).start()
}

/// haproxy in front of a server.
struct Balancer {
    child: Child,
    address: SocketAddr,
}

impl Balancer {
    /// In `mode` tcp or http, with `words` about the one server that it has.
    fn start(ten: &Ten, mode: &str, words: &str) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr());
        let address = free.expect("a free port");
        let config = ten.data_dir().with_file_name("haproxy.cfg");
        let text = format!(
            "defaults\n mode {mode}\n timeout connect 20s\n timeout check 20s\n timeout client 20s\n timeout server 20s\n\
             listen all\n bind {address}\n option httpchk\n \
             http-check send meth GET uri / ver HTTP/1.1 hdr Host {HOST}\n \
             server ten {} {words}\n",
            ten.address()
        );
        fs::write(&config, text).expect("a config can be written");
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&config).stdin(Stdio::null());
        let child = command.spawn().expect("haproxy is installed: cargo xtask test sees to it");
        let balancer = Self { child, address };
        let listens = wait_until(PATIENCE, || TcpStream::connect(address).is_ok());
        assert!(listens, "haproxy does not listen");
        balancer
    }

    /// Asks on a connection of its own, from this address.
    fn get(&self, from: Ipv4Addr, path: &str, more: &str) -> io::Result<String> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&socket, &SocketAddr::from((from, 0)))?;
        connect(&socket, &self.address)?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{more}\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.starts_with("HTTP/1.1 200 ") {
            true => Ok(answer),
            false => Err(io::Error::other(answer)),
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The values that an instance was sent of one header.
fn values<'a>(answer: &'a str, name: &str) -> Vec<&'a str> {
    let lines = answer.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(it, _)| *it == name).map(|(_, value)| value).collect()
}

#[test]
fn an_instance_is_told_of_the_client_and_not_of_the_balancer() {
    let ten = start("proxy_protocol = true");
    for mode in ["tcp", "http"] {
        for version in VERSIONS {
            let balancer = Balancer::start(&ten, mode, version);
            for client in CLIENTS.iter().cycle().take(6) {
                let claim = "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n";
                let answer = balancer.get(*client, "/headers", claim).expect("an answer");
                let client = client.to_string();
                let told = values(&answer, "x-forwarded-for");
                assert_eq!(told, [client.as_str()], "{mode} {version}: {answer}");
                assert!(!answer.contains("6.6.6.6"), "{mode} {version}: {answer}");
            }
        }
    }
}

/// In version 2 such a connection says that it is the balancer's own (LOCAL), in version 1 that
/// nobody knows whose it is (UNKNOWN). Were one refused, haproxy would send nothing more.
#[test]
fn checks_of_the_balancer_pass() {
    let ten = start("proxy_protocol = true");
    for version in VERSIONS {
        let balancer = Balancer::start(&ten, "http", &format!("{version} {CHECKS}"));
        let count = || -> u32 {
            let answer = balancer.get(CLIENTS[0], "/count", "").expect("an answer");
            answer.lines().last().and_then(|line| line.parse().ok()).expect("a number")
        };
        // Each of our own questions counts, too.
        let (before, mut asked) = (count(), 0);
        ten.wait_until("checks have come to the instance", PATIENCE, || {
            asked += 1;
            count() >= before + asked + 5
        });
    }
}

#[test]
fn a_balancer_that_says_nothing_is_refused_and_a_header_that_nobody_expects_too() {
    let silent = start("proxy_protocol = true");
    let balancer = Balancer::start(&silent, "tcp", "");
    assert!(balancer.get(CLIENTS[0], "/headers", "").is_err());
    let plain = start("");
    for version in VERSIONS {
        let balancer = Balancer::start(&plain, "tcp", version);
        let answer = balancer.get(CLIENTS[0], "/headers", "");
        let refused = answer.expect_err("no header is expected").to_string();
        assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 400 "), "{version}: {refused}");
    }
}
