//! After a stop, nothing of a tenant is left, however it behaved.

use std::{
    thread,
    time::{Duration, Instant},
};

use ten_testkit::{Connection, Request, Ten, http, process};

use crate::service::{LEVELS, PATIENCE, app, once};

#[test]
fn no_relative_of_any_kind_outlives_a_stop() {
    for level in LEVELS {
        let keys = format!("stop_timeout = 1\nisolation = \"{level}\"");
        let ten = Ten::with_config(&app("--ignore-term", &keys)).start();
        for kind in ["child", "setsid", "daemon", "stubborn", "stopped"] {
            let answer = ten.get("a.app.localhost", &format!("/fork?kind={kind}"));
            assert_eq!(answer.status, 200, "{level} {kind}: {}", answer.text());
        }
        ten.wait_until("all relatives live", PATIENCE, || ten.processes_of("app:a").len() >= 6);
        let stopped = ten.cli(&["stop", "app:a"]);
        assert_eq!(stopped.code, Some(0), "{stopped:?}");
        // When the command returns, not some time after.
        assert_eq!(ten.processes_of("app:a"), [], "{level}");
    }
}

#[test]
fn no_relative_outlives_a_tenant_that_ends_by_itself() {
    for level in LEVELS {
        for end in ["/exit?code=0", "/abort"] {
            let keys = format!("restart = \"never\"\nisolation = \"{level}\"");
            let ten = Ten::with_config(&app("", &keys)).start();
            for kind in ["setsid", "daemon", "stubborn", "stopped"] {
                ten.get("a.app.localhost", &format!("/fork?kind={kind}"));
            }
            // It dies under this request.
            assert_eq!(ten.send(&once("a.app.localhost", end)).unwrap().status, 502);
            ten.wait_until("nothing is left", PATIENCE, || ten.processes_of("app:a").is_empty());
        }
    }
}

#[test]
fn a_graceful_tenant_finishes_what_it_does_before_it_is_told_to_stop() {
    let ten = Ten::with_config(&app("", "")).start();
    ten.get("a.app.localhost", "/");
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| ten.get("a.app.localhost", "/slow?ms=800"));
        ten.wait_until("it is in flight", PATIENCE, || instance(&ten)["in_flight"] == 1);
        assert_eq!(ten.cli(&["stop", "app:a"]).code, Some(0));
        let answer = slow.join().expect("the request");
        assert_eq!((answer.status, answer.text().as_str()), (200, "slow"));
    });
}

/// A request that switches to `protocol`, and the connection that has.
fn switched(ten: &Ten, protocol: &str) -> Connection {
    let mut connection = ten.connect();
    let request = Request::get("a.app.localhost", "/ws").header("connection", "upgrade");
    let answer = connection.send(&request.header("upgrade", protocol)).expect("an answer");
    assert_eq!(answer.status, 101);
    connection
}

fn echoes(connection: &mut Connection) {
    connection.write(b"hello").expect("it takes more");
    assert_eq!(connection.read_exact(5).expect("it answers"), b"hello");
}

fn instance(ten: &Ten) -> serde_json::Value {
    ten.cli_json(&["ps", "-a", "--json"])["instances"][0].clone()
}

fn is_draining(ten: &Ten) -> bool {
    instance(ten)["state"] == "draining"
}

#[test]
fn a_stop_closes_websockets_at_once_and_waits_for_requests() {
    let ten = Ten::with_config(&app("", "stop_timeout = 60")).start();
    let mut socket = switched(&ten, "websocket");
    let mut upload = ten.connect();
    upload
        .write(b"POST /body HTTP/1.1\r\nhost: a.app.localhost\r\ncontent-length: 5\r\n\r\n")
        .unwrap();
    ten.wait_until("both are in flight", PATIENCE, || instance(&ten)["in_flight"] == 2);
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| ten.cli(&["stop", "app:a"]));
        // A server's Close, 1001; and a client's answer, masked, to the same effect.
        assert_eq!(socket.read_exact(4).expect("a goodbye"), [0x88, 2, 0x03, 0xE9]);
        socket.write(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE9]).unwrap();
        assert!(socket.read_exact(1).is_err(), "open still");
        assert!(is_draining(&ten), "did not wait for the request");
        upload.write(b"hello").unwrap();
        assert_eq!(upload.read_head().expect("an answer").status, 200);
        assert_eq!(stop.join().expect("the command").code, Some(0));
    });
}

/// Nobody can say goodbye in it, so it is a request in flight like others.
#[test]
fn a_stop_lets_a_tunnel_of_an_unknown_protocol_end() {
    let ten = Ten::with_config(&app("", "stop_timeout = 60")).start();
    let mut tunnel = switched(&ten, "chat");
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| ten.cli(&["stop", "app:a"]));
        ten.wait_until("it drains", PATIENCE, || is_draining(&ten));
        echoes(&mut tunnel);
        assert!(is_draining(&ten), "did not wait for the tunnel");
        drop(tunnel);
        ten.wait_until("it has stopped", PATIENCE, || stop.is_finished());
        assert_eq!(stop.join().expect("the command").code, Some(0));
    });
}

#[test]
fn a_tunnel_of_an_unknown_protocol_ends_with_the_patience_of_a_stop() {
    let ten = Ten::with_config(&app("", "stop_timeout = 1")).start();
    let mut tunnel = switched(&ten, "chat");
    echoes(&mut tunnel);
    assert_eq!(ten.cli(&["stop", "app:a"]).code, Some(0));
    let end = tunnel.read_exact(1).expect_err("its instance is gone");
    assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_request_that_does_not_end_is_cut_at_drain_timeout() {
    let config = "[settings.proxy]\ndrain_timeout = 1.5\n".to_owned() + &app("", "");
    let mut ten = Ten::with_config(&config).start();
    let address = ten.address();
    let slow = thread::spawn(move || {
        http::send(address, &Request::get("a.app.localhost", "/slow?ms=60000"))
    });
    ten.wait_until("it is in flight", PATIENCE, || {
        ten.cli_json(&["ps", "--json"])["instances"][0]["in_flight"] == 1
    });
    let began = Instant::now();
    ten.stop();
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1_500) && took < PATIENCE / 2, "{took:?}");
    assert!(slow.join().expect("no panic").is_err(), "it was cut");
    let told = ten.server_lines();
    assert!(told.iter().any(|line| line.contains("still in flight after 1.5s")), "{told:?}");
}

#[test]
fn the_server_stops_all_tenants_and_exits_0() {
    let mut ten = Ten::with_config(&app("--term-delay-ms 300", "")).start();
    let pids: Vec<u32> = (0..10)
        .flat_map(|i| {
            ten.get(&format!("t{i}.app.localhost"), "/");
            ten.processes_of(&format!("app:t{i}"))
        })
        .map(|process| process.pid)
        .collect();
    assert!(pids.len() >= 10);
    // Checks the exit status, and that nothing is left.
    ten.stop();
    assert!(pids.into_iter().all(|pid| !process::is_alive(pid)));
}
