//! Idle instances sleep; no request is lost by it.

use std::{
    thread,
    time::{Duration, Instant},
};

use ten_testkit::{Ten, http::Request};

use crate::service::{LEVELS, PATIENCE, app};

#[test]
fn it_sleeps_and_wakes_with_its_data() {
    for level in LEVELS {
        let keys = format!("idle_timeout = 0.2\nisolation = \"{level}\"");
        let ten = Ten::with_config(&app("", &keys)).start();
        let data = ten.data_dir().join("app/a");
        let file = data.join("note").display().to_string();
        let first = ten.get("a.app.localhost", "/pid").text();
        let wrote = ten.get("a.app.localhost", &format!("/write?path={file}&text=kept"));
        assert_eq!(wrote.status, 200, "{level}: {}", wrote.text());
        ten.wait_until("it sleeps", PATIENCE, || {
            ten.cli(&["ps", "-a"])
                .stdout
                .lines()
                .any(|line| line.starts_with("app:a ") && line.contains("sleeping"))
        });
        assert_eq!(ten.processes_of("app:a"), [], "{level}");
        assert_eq!(ten.get("a.app.localhost", &format!("/read?path={file}")).text(), "kept");
        let count = ten.get("a.app.localhost", "/count").text();
        assert_eq!(count, "2", "{level}: a new process, not {first}");
    }
}

#[test]
fn it_does_not_sleep_under_a_request() {
    let ten = Ten::with_config(&app("", "idle_timeout = 0.1")).start();
    // Far longer than the idle time: only the request in flight keeps it awake.
    let answer = ten.get("a.app.localhost", "/slow?ms=1500");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The reaper's moment is met again and again: each client waits about as long as the idle
/// time before its next request, a little shorter, a little longer.
#[test]
fn ten_thousand_requests_racing_the_reaper_never_fail() {
    const CLIENTS: u64 = 8;
    const ROUNDS: u64 = 1250;
    let ten = Ten::with_config(&app("", "idle_timeout = 0.004\nisolation = \"process\"")).start();
    let (ten, started) = (&ten, Instant::now());
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let host = format!("c{}.app.localhost", client % 4);
                let mut connection = ten.connect();
                for round in 0..ROUNDS {
                    let answer = connection
                        .send(&Request::get(&host, "/"))
                        .unwrap_or_else(|error| panic!("client {client} round {round}: {error}"));
                    assert_eq!(answer.status, 200, "client {client} round {round}: {answer:?}");
                    // A phase of the race, not a wait for anything: every pause is a case.
                    thread::sleep(Duration::from_micros(
                        3000 + (client * 397 + round * 131) % 3000,
                    ));
                }
            });
        }
    });
    let list = ten.cli_json(&["ps", "-a", "--json"]);
    let requests: u64 = list["instances"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|instance| instance["requests"].as_u64())
        .sum();
    assert_eq!(requests, CLIENTS * ROUNDS, "{list}");
    let log = ten.server_lines().len();
    println!("{requests} requests in {:?}, {log} log lines", started.elapsed());
}
