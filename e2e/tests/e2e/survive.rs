//! What dies of ten takes no tenant with it.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use rustix::process::Signal;
use ten_testkit::{Ten, http, http::Request, process};

use crate::service::{PATIENCE, app, once};

#[test]
fn killing_the_front_under_load_loses_no_tenant_and_refuses_no_connection() {
    let ten = Ten::with_config(&app("", "")).start();
    let hosts: Vec<String> = (0..5).map(|i| format!("t{i}.app.localhost")).collect();
    let pids = || -> Vec<u32> {
        let of = |i| ten.processes_of(&format!("app:t{i}")).into_iter().map(|p| p.pid);
        (0..5).flat_map(of).collect()
    };
    hosts.iter().for_each(|host| assert_eq!(ten.get(host, "/").status, 200));
    let before = pids();
    let (over, refused, served) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match http::Connection::open(ten.address()) {
                        // A request in flight dies with the front; a connection is never refused.
                        Ok(mut connection) => {
                            if connection
                                .send(&Request::get(host, "/"))
                                .is_ok_and(|a| a.status == 200)
                            {
                                served.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        Err(_) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            });
        }
        for _ in 0..5 {
            let front = ten.front().expect("a front");
            let so_far = served.load(Ordering::Relaxed);
            ten.wait_until("it serves", PATIENCE, || served.load(Ordering::Relaxed) > so_far + 50);
            ten.signal(front, Signal::KILL);
            ten.wait_until("another front", PATIENCE, || {
                ten.front().is_some_and(|next| next != front)
            });
        }
        let so_far = served.load(Ordering::Relaxed);
        ten.wait_until("it serves", PATIENCE, || served.load(Ordering::Relaxed) > so_far + 50);
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(refused.into_inner(), 0, "connections were refused");
    assert_eq!(pids(), before, "tenants were lost or started again");
    let list = ten.cli_json(&["ps", "--json"]);
    let restarts = list["instances"].as_array().unwrap().iter().map(|i| i["restarts"].clone());
    assert!(restarts.into_iter().all(|restarts| restarts == 0), "{list}");
}

#[test]
fn a_new_front_still_sees_tenants_end_and_hears_what_they_say() {
    let ten = Ten::with_config(&app("", "restart = \"never\"")).start();
    ten.get("a.app.localhost", "/");
    let front = ten.front().unwrap();
    ten.signal(front, Signal::KILL);
    ten.wait_until("another front", PATIENCE, || ten.front().is_some_and(|next| next != front));
    assert_eq!(ten.get("a.app.localhost", "/flood?lines=3").status, 200);
    ten.wait_until("its lines", PATIENCE, || {
        ten.cli(&["logs", "app:a"]).stdout.lines().count() >= 3
    });
    assert_eq!(ten.send(&once("a.app.localhost", "/abort")).unwrap().status, 502);
    ten.wait_until("it is seen asleep", PATIENCE, || {
        ten.cli(&["ps", "-a"]).stdout.contains("sleeping")
    });
}

#[test]
fn after_the_warden_is_killed_nobody_runs_twice_on_one_folder() {
    let mut ten = Ten::with_config(&app("", "")).start();
    let first = ten.get("a.app.localhost", "/count").text();
    assert_eq!(first, "1");
    let before: Vec<u32> = ten.processes_of("app:a").iter().map(|p| p.pid).collect();
    ten.kill_warden();
    ten.start();
    assert_eq!(ten.get("a.app.localhost", "/").status, 200);
    let both = before.iter().filter(|pid| process::is_alive(**pid)).count();
    let now = ten.processes_of("app:a").len();
    assert!(both == 0 || now == before.len(), "{both} old processes beside {now} new ones");
}

#[test]
fn a_tenant_that_dies_between_requests_costs_none() {
    let config = "[settings]\nbackoff_base_ms = 10\nbackoff_max_ms = 20\nmax_restarts = 1000\n"
        .to_owned()
        + &app("", "");
    let ten = Ten::with_config(&config).start();
    let mut connection = ten.connect();
    for round in 0..30 {
        assert_eq!(connection.send(&Request::get("a.app.localhost", "/")).unwrap().status, 200);
        for process in ten.processes_of("app:a") {
            // It may be on its way out with its parent already.
            let _ = process::signal(process.pid, Signal::KILL);
        }
        let answer = connection.send(&Request::get("a.app.localhost", "/"));
        let answer = answer.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
    }
}
