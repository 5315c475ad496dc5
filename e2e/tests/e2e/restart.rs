//! What is known survives the server.

use ten_testkit::Ten;

use crate::service::{PATIENCE, app};

#[test]
fn known_instances_and_weights_survive_and_configured_ones_are_spawned() {
    let config = app("", "") + "[instances]\napp = [\"always\"]\n";
    let mut ten = Ten::with_config(&config).start();
    ten.get("alice.app.localhost", "/");
    assert_eq!(ten.cli(&["spawn", "app:prod"]).code, Some(0));
    assert_eq!(ten.cli(&["weight", "app:prod", "30"]).code, Some(0));
    assert_eq!(ten.cli(&["spawn", "app:gone"]).code, Some(0));
    assert_eq!(ten.cli(&["rm", "app:gone"]).code, Some(0));
    ten.stop();
    ten.start();
    ten.wait_until("the configured one runs", PATIENCE, || {
        !ten.processes_of("app:always").is_empty()
    });
    let list = ten.cli_json(&["ps", "-a", "--json"]);
    let seen: Vec<(String, u64)> = list["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| (i["instance"].as_str().unwrap().to_owned(), i["weight"].as_u64().unwrap()))
        .collect();
    let want = [("app:alice", 0), ("app:always", 100), ("app:prod", 30)];
    assert_eq!(seen, want.map(|(name, weight)| (name.to_owned(), weight)));
    assert!(ten.processes_of("app:alice").is_empty(), "it sleeps until someone asks");
    assert_eq!(ten.get("alice.app.localhost", "/").text(), "app:alice");
}

#[test]
fn a_restart_under_load_fails_no_request() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let ten = Ten::with_config(&app("", "")).start();
    ten.get("a.app.localhost", "/");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let answer = ten.get("a.app.localhost", "/");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        }
        for round in 0..10 {
            let restarted = ten.cli(&["restart", "app:a"]);
            assert_eq!(restarted.code, Some(0), "round {round}: {restarted:?}");
        }
        over.store(true, Ordering::Relaxed);
    });
}
