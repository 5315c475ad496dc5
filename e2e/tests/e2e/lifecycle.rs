//! Crashes, limits and health, with real processes.

use ten_testkit::Ten;

use crate::service::{PATIENCE, app, once};

fn state(ten: &Ten, instance: &str) -> String {
    let list = ten.cli_json(&["ps", "-a", "--json"]);
    let all = list["instances"].as_array().cloned().unwrap_or_default();
    let found = all.into_iter().find(|i| i["instance"] == instance);
    found.map_or("unknown".into(), |i| i["state"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_crash_is_noticed_at_once_and_restarted() {
    let config = "[settings]\nbackoff_base_ms = 1\n".to_owned() + &app("", "");
    let ten = Ten::with_config(&config).start();
    ten.get("a.app.localhost", "/");
    assert_eq!(ten.send(&once("a.app.localhost", "/abort")).unwrap().status, 502);
    // No request is needed: the kernel says so.
    ten.wait_until("it runs again", PATIENCE, || {
        let list = ten.cli_json(&["ps", "--json"]);
        list["instances"][0]["restarts"] == 1 && list["instances"][0]["state"] == "running"
    });
    assert_eq!(ten.get("a.app.localhost", "/count").text(), "1");
}

#[test]
fn it_fails_after_max_restarts_and_answers_at_once() {
    let settings = "[settings]\nbackoff_base_ms = 1\nmax_restarts = 2\n";
    let ten = Ten::with_config(&(settings.to_owned() + &app("--exit-at-start 7", ""))).start();
    let spawned = ten.cli(&["spawn", "app:a"]);
    assert_eq!(spawned.code, Some(1), "{spawned:?}");
    assert!(spawned.stderr.contains("status 7"), "{spawned:?}");
    ten.wait_until("it has failed", PATIENCE, || state(&ten, "app:a") == "failed");
    let answer = ten.get("a.app.localhost", "/");
    assert_eq!((answer.status, answer.header("x-ten-state")), (503, Some("failed")));
    let health = ten.cli(&["health", "app:a"]);
    assert!(health.stdout.contains("status 7"), "{health:?}");
    // An instance that only requests have named is forgotten instead.
    ten.wait_until("the ghost is forgotten", PATIENCE, || {
        let answer = ten.get("ghost.app.localhost", "/");
        assert_eq!(answer.status, 503, "{}", answer.text());
        state(&ten, "app:ghost") == "unknown"
    });
    assert!(!ten.data_dir().join("app/ghost").exists(), "its empty folder is left");
}

#[test]
fn an_unhealthy_instance_is_restarted() {
    let settings = "[settings]\nbackoff_base_ms = 1\n";
    let keys = "health = \"/health\"\nhealth_interval = 0.1\nstartup_timeout = 5";
    let ten = Ten::with_config(&(settings.to_owned() + &app("", keys))).start();
    ten.get("a.app.localhost", "/health?set=500");
    ten.wait_until("it was restarted", PATIENCE, || {
        let list = ten.cli_json(&["ps", "--json"]);
        list["instances"][0]["restarts"] == 1 && list["instances"][0]["state"] == "running"
    });
    assert_eq!(ten.get("a.app.localhost", "/health").text(), "healthy");
}

#[test]
fn limits_on_demand_hold() {
    let config = app("", "max_instances = 1\nmax_known = 2")
        + &crate::service::named("quiet", "", "on_demand = \"known\"")
        + &crate::service::named("off", "", "on_demand = \"off\"");
    let ten = Ten::with_config(&config).start();
    assert_eq!(ten.get("a.app.localhost", "/").status, 200);
    assert_eq!(ten.get("b.app.localhost", "/").status, 503);
    assert_eq!(ten.get("x.quiet.localhost", "/").status, 404);
    for name in ["quiet:x", "off:x"] {
        assert_eq!(ten.cli(&["spawn", name]).code, Some(0), "{name}");
        assert_eq!(ten.cli(&["stop", name]).code, Some(0), "{name}");
    }
    assert_eq!(ten.get("x.quiet.localhost", "/").status, 200);
    let asleep = ten.get("x.off.localhost", "/");
    assert_eq!((asleep.status, asleep.header("x-ten-state")), (503, Some("asleep")));
}
