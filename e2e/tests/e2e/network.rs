//! Tenants in a network of their own (`network = "none"`).

use std::{fs, net::TcpListener};

use rustix::process::Signal;
use ten_testkit::{Ten, http::Request};

use crate::{
    rootless::Rootless,
    service::{PATIENCE, app, has_root, once},
};

const ALONE: &str = "network = \"none\"";

fn alone(args: &str, keys: &str) -> String {
    app(args, &format!("{ALONE}\n{keys}"))
}

/// What PORT is in `/env`.
fn port(env: &str) -> Option<&str> {
    env.lines().find_map(|line| line.strip_prefix("PORT="))
}

#[test]
fn all_have_the_same_port_and_each_is_reached() {
    // On the host the same port is somebody else's, or becomes so.
    let _stranger = TcpListener::bind("127.0.0.1:30000");
    let ten = Ten::with_config(&alone("", "listen = \"port\"\nhealth = \"/health\"")).start();
    for id in ["a", "b", "c"] {
        let host = format!("{id}.app.localhost");
        let answer = ten.get(&host, "/");
        assert_eq!((answer.status, answer.text()), (200, format!("app:{id}")));
        assert_eq!(port(&ten.get(&host, "/env").text()), Some("30000"));
    }
    let list = ten.cli_json(&["ps", "--json"]);
    let addresses: Vec<_> =
        list["instances"].as_array().unwrap().iter().map(|i| i["address"].clone()).collect();
    assert_eq!(addresses, ["private:127.0.0.1:30000"; 3]);
}

#[test]
fn a_socket_by_path_works_as_ever() {
    for (args, listen) in [("--listen socket", "socket"), ("--listen activation", "activation")] {
        let ten = Ten::with_config(&alone(args, &format!("listen = \"{listen}\""))).start();
        assert_eq!(ten.get("a.app.localhost", "/").text(), "app:a", "{listen}");
    }
}

#[test]
fn a_crowd_wakes_one_and_all_are_served() {
    let ten = Ten::with_config(&alone("", "")).start();
    let answers = ten.burst(500, |_| Request::get("a.app.localhost", "/pid"));
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "2"), "{}", answer.text());
    }
    assert_eq!(ten.get("a.app.localhost", "/count").text(), "501");
}

#[test]
fn a_new_front_reaches_it_too() {
    let ten = Ten::with_config(&alone("", "health = \"/health\"")).start();
    assert_eq!(ten.get("a.app.localhost", "/count").status, 200);
    let before: Vec<_> = ten.processes_of("app:a").into_iter().map(|p| p.pid).collect();
    let front = ten.front().unwrap();
    ten.signal(front, Signal::KILL);
    ten.wait_until("another front", PATIENCE, || ten.front().is_some_and(|next| next != front));
    assert_eq!(ten.get("a.app.localhost", "/").text(), "app:a");
    let after: Vec<_> = ten.processes_of("app:a").into_iter().map(|p| p.pid).collect();
    assert_eq!(before, after);
}

#[test]
fn one_that_died_is_woken_anew() {
    let ten = Ten::with_config(&alone("", "restart = \"never\"")).start();
    for _ in 0..3 {
        assert_eq!(ten.get("a.app.localhost", "/").text(), "app:a");
        // It ends in the middle of its answer.
        let _ = ten.send(&once("a.app.localhost", "/exit?code=1"));
    }
}

/// A network lives as long as anybody holds a socket in it.
#[test]
fn nothing_of_its_network_is_kept() {
    // Nobody else looks into a front.
    if !has_root() {
        return;
    }
    let ten = Ten::with_config(&alone("", "")).start();
    let sockets = |pid: u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    };
    let pids = [ten.warden(), ten.front().unwrap()];
    let before = pids.map(sockets);
    for _ in 0..3 {
        for answer in ten.burst(20, |_| Request::get("a.app.localhost", "/")) {
            assert_eq!(answer.unwrap().status, 200);
        }
        assert!(pids.map(sockets) > before, "there is a door, and connections");
        assert_eq!(ten.cli(&["stop", "app:a"]).code, Some(0));
        // At first there may be one more, of whoever waited for the server to listen.
        let left = || pids.map(sockets).iter().zip(before).any(|(now, then)| *now > then);
        ten.wait_until("no socket is left", PATIENCE, || !left());
    }
}

#[test]
fn an_ordinary_user_has_it_too() {
    let ten = Rootless::start(&alone("", "listen = \"port\""), |_| ());
    for id in ["a", "b"] {
        let host = format!("{id}.app.localhost");
        assert_eq!(ten.get(&host, "/").text(), format!("app:{id}"));
        assert_eq!(port(&ten.get(&host, "/env").text()), Some("30000"));
    }
}
