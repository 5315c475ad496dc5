//! An instance that dies under a request (SPEC 8): another instance of its service answers, or
//! its own next process, where nobody can tell; else the client gets 502, and nobody else the
//! request.

use std::{thread, time::Duration};

use rustix::process::Signal;
use ten_conformance::service;
use ten_testkit::{Request, Response, Ten, tenant_binary};

const PATIENCE: Duration = Duration::from_secs(20);
/// The service's own host, whose requests go by weight.
const SERVICE: &str = "app.localhost";
/// How long an instance works on a request: long enough to find out which, and to kill it.
const WORK: &str = "/slow?ms=1500";
/// Longer than any case: who died stays dead.
const NEVER: &str = "backoff_base_ms = 600000\nbackoff_max_ms = 600000";
const AT_ONCE: &str = "backoff_base_ms = 0";

/// A server with these instances, all of which run.
fn start(ids: &[&str], settings: &str) -> Ten {
    let tenant = tenant_binary().display().to_string();
    let config = format!(
        "[settings]\n{settings}\n{}[instances]\napp = {ids:?}\n",
        service("app", &tenant, "")
    );
    let ten = Ten::with_config(&config).start();
    ten.wait_until("all run", PATIENCE, || {
        ids.iter().all(|id| state(&ten, id).as_deref() == Some("running"))
    });
    ten
}

/// What `ten ps` says of an instance.
fn told(ten: &Ten, id: &str) -> Option<serde_json::Value> {
    let list = ten.cli_json(&["ps", "-a", "--json"]);
    let instances = list["instances"].as_array().expect("a list");
    instances.iter().find(|it| it["instance"] == format!("app:{id}")).cloned()
}

fn state(ten: &Ten, id: &str) -> Option<String> {
    Some(told(ten, id)?["state"].as_str()?.to_owned())
}

fn in_flight(ten: &Ten, id: &str) -> u64 {
    told(ten, id).and_then(|it| it["in_flight"].as_u64()).expect("a number")
}

/// Kills the process of an instance outright.
fn kill(ten: &Ten, id: &str) {
    let processes = ten.processes_of(&format!("app:{id}"));
    ten.signal(processes.first().expect("it runs").pid, Signal::KILL);
}

/// Sends `count` requests at once, and kills, once all are under way, an instance that has some of
/// them. What was answered, who died, and how many it had.
fn die<'a>(
    ten: &Ten,
    ids: &[&'a str],
    request: &Request,
    count: usize,
) -> (Vec<Response>, &'a str, usize) {
    thread::scope(|scope| {
        let asking: Vec<_> = (0..count).map(|_| scope.spawn(|| ten.send(request))).collect();
        let all = || ids.iter().map(|id| in_flight(ten, id)).sum::<u64>() == count as u64;
        ten.wait_until("all are under way", PATIENCE, all);
        let dying = ids.iter().find(|id| in_flight(ten, id) > 0).expect("somebody has them");
        let lost = in_flight(ten, dying);
        kill(ten, dying);
        let answers = asking.into_iter().map(|it| it.join().expect("no panic").expect("an answer"));
        (answers.collect(), *dying, lost as usize)
    })
}

#[test]
fn another_instance_has_the_request() {
    for count in [1, 20] {
        let ten = start(&["a", "b"], NEVER);
        let (answers, dead, lost) = die(&ten, &["a", "b"], &Request::get(SERVICE, WORK), count);
        for answer in &answers {
            assert_eq!((answer.status, answer.text().as_str()), (200, "slow"), "{lost} of {count}");
        }
        assert_eq!(lost, count.div_ceil(2), "they go by weight");
        assert_eq!(state(&ten, dead).as_deref(), Some("backoff"), "nobody started it again");
        // What comes later does not notice.
        for _ in 0..10 {
            assert_eq!(ten.get(SERVICE, "/").status, 200);
        }
    }
}

#[test]
fn the_next_process_has_the_request() {
    let ten = start(&["a"], AT_ONCE);
    for host in [SERVICE, "a.app.localhost"] {
        let (answers, ..) = die(&ten, &["a"], &Request::get(host, WORK), 5);
        for answer in &answers {
            assert_eq!((answer.status, answer.text().as_str()), (200, "slow"), "{host}");
        }
    }
}

#[test]
fn what_changes_something_is_asked_of_nobody_else() {
    let put = format!("PUT {WORK} HTTP/1.1\r\nHost: {SERVICE}\r\nContent-Length: 4\r\n\r\nbody");
    for request in [
        Request::post(SERVICE, WORK, ""),
        Request::post(SERVICE, WORK, "body"),
        // It might be sent again, but nobody has kept its body.
        Request::raw(&put),
    ] {
        let ten = start(&["a", "b"], NEVER);
        let (answers, dead, _) = die(&ten, &["a", "b"], &request, 1);
        assert_eq!(answers[0].status, 502, "{request}");
        let alive = if dead == "a" { "b" } else { "a" };
        let count = ten.get(&format!("{alive}.app.localhost"), "/count").text();
        assert_eq!(count, "1", "{request}: this is the first request that {alive} has had");
    }
}
