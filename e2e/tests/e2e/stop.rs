//! After a stop, nothing of a tenant is left, however it behaved.

use std::{
    thread,
    time::{Duration, Instant},
};

use ten_testkit::{Request, Ten, http, process};

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
        ten.wait_until("it is in flight", PATIENCE, || {
            let list = ten.cli_json(&["ps", "--json"]);
            list["instances"][0]["in_flight"] == 1
        });
        assert_eq!(ten.cli(&["stop", "app:a"]).code, Some(0));
        let answer = slow.join().expect("the request");
        assert_eq!((answer.status, answer.text().as_str()), (200, "slow"));
    });
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
