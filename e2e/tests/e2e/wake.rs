//! A request for a sleeping instance gets its answer from that instance.

use std::collections::HashSet;

use ten_testkit::{Ten, http::Request};

use crate::service::{LEVELS, PATIENCE, app, named};

#[test]
fn a_thousand_requests_at_once_wake_one_process() {
    for level in LEVELS {
        let keys = format!("isolation = \"{level}\"");
        let ten = Ten::with_config(&app("--startup-delay-ms 100", &keys)).start();
        let answers = ten.burst(1000, |_| Request::get("a.app.localhost", "/pid"));
        let pids: HashSet<_> = answers
            .into_iter()
            .map(|answer| answer.expect("an answer"))
            .map(|answer| (answer.status, answer.text()))
            .collect();
        assert_eq!(pids.len(), 1, "{level}: {pids:?}");
        assert!(pids.iter().all(|(status, _)| *status == 200), "{level}: {pids:?}");
        assert_eq!(ten.get("a.app.localhost", "/count").text(), "1001", "{level}");
        let list = ten.cli_json(&["ps", "--json"]);
        assert_eq!(list["instances"].as_array().map(Vec::len), Some(1), "{list}");
    }
}

#[test]
fn each_way_to_listen_is_found() {
    for (listen, args) in [
        ("auto", "--listen port"),
        ("auto", "--listen socket"),
        ("port", "--listen port"),
        ("socket", "--listen socket"),
        ("activation", "--listen activation"),
    ] {
        for level in LEVELS {
            let keys = format!("listen = \"{listen}\"\nisolation = \"{level}\"");
            let ten = Ten::with_config(&app(args, &keys)).start();
            let answer = ten.get("a.app.localhost", "/");
            assert_eq!(answer.text(), "app:a", "{listen} {args} {level}");
        }
    }
}

/// By what connection it was found to accept, the request that woke it goes; where none did, or
/// its health is asked first, that one is closed.
#[test]
fn who_wakes_an_instance_gets_the_connection_that_found_it() {
    for level in LEVELS {
        let keys = format!("listen = \"socket\"\nisolation = \"{level}\"");
        let checked = format!("{keys}\nhealth = \"/health\"");
        let config = app("--listen socket", &keys) + &named("checked", "--listen socket", &checked);
        let ten = Ten::with_config(&config).start();
        let connections = |host: &str| ten.get(host, "/connections").text();
        assert_eq!(connections("woken.app.localhost"), "1", "{level}");
        assert_eq!(ten.cli(&["spawn", "app:spawned"]).code, Some(0), "{level}");
        assert_eq!(connections("spawned.app.localhost"), "2", "{level}");
        assert_eq!(connections("woken.checked.localhost"), "3", "{level}");
    }
}

#[test]
fn the_default_socket_is_private_in_namespaces_and_reachable_in_both_levels() {
    for level in LEVELS {
        let config = format!(
            "[service.defsock-{level}]\ncommand = \"@tenant --listen socket\"\nisolation = \"{level}\"\n"
        );
        let ten = Ten::with_config(&config).start();
        let host = format!("a.defsock-{level}.localhost");
        let env = ten.get(&host, "/env").text();
        let path = format!("SOCKET_PATH=/tmp/tenement/defsock-{level}-a.sock");
        assert!(env.contains(&path), "{env}");
        let shared = std::path::Path::new("/tmp/tenement").join(format!("defsock-{level}-a.sock"));
        assert_eq!(shared.exists(), level == "process", "{}", shared.display());
    }
}

#[test]
fn health_is_waited_for_and_a_worker_needs_no_listener() {
    let config = app("--startup-delay-ms 50", "health = \"/health\"")
        + "[service.worker]\ncommand = \"@tenant --listen none\"\nlisten = \"none\"\n\
           socket = \"{instance_dir}/s\"\n[instances]\nworker = [\"one\"]\n";
    let ten = Ten::with_config(&config).start();
    ten.wait_until("the configured worker runs", PATIENCE, || {
        !ten.processes_of("worker:one").is_empty()
    });
    assert_eq!(ten.get("one.worker.localhost", "/").status, 404, "a worker has no routes");
    assert_eq!(ten.get("a.app.localhost", "/").status, 200);
    let health = ten.cli(&["health", "app:a"]);
    assert!(health.stdout.contains("healthy"), "{health:?}");
}

#[test]
fn a_start_in_vain_is_answered_503_with_retry_after_and_no_reason() {
    for (args, keys) in [
        ("--exit-at-start 3", "backoff_base_ms = 60000"),
        ("--listen wrong", "backoff_base_ms = 60000"),
    ] {
        let config = format!("[settings]\n{keys}\n") + &app(args, "startup_timeout = 1");
        let ten = Ten::with_config(&config).start();
        let answers = ten.burst(50, |_| Request::get("a.app.localhost", "/"));
        for answer in answers {
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, 503, "{args}");
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            assert_eq!(answer.header("x-ten-state"), Some("waking"), "{answer:?}");
            assert!(answer.header("x-request-id").is_some(), "{answer:?}");
            let text = answer.text();
            for secret in ["startup_timeout", "status 3", "/tmp", "pid"] {
                assert!(!text.contains(secret), "{args} leaks {secret}: {text}");
            }
        }
        let why = ten.cli(&["spawn", "app:a"]);
        assert_eq!(why.code, Some(1), "{why:?}");
        assert!(
            why.stderr.contains("status 3") || why.stderr.contains("did not accept"),
            "{why:?}"
        );
    }
}

/// Whoever takes the port first is not the instance, and gets none of its requests.
#[test]
fn a_stranger_on_its_port_is_not_taken_for_it() {
    let keys = "listen = \"port\"\nstartup_timeout = 2";
    let ten = Ten::with_config(&app("--startup-delay-ms 700", keys)).start();
    std::thread::scope(|scope| {
        let request = scope.spawn(|| ten.get("a.app.localhost", "/"));
        ten.wait_until("it has its port", PATIENCE, || !ten.processes_of("app:a").is_empty());
        let env = ten.processes_of("app:a").into_iter().flat_map(|process| process.env);
        let port: u16 = env
            .filter_map(|var| var.strip_prefix("PORT=").and_then(|port| port.parse().ok()))
            .next()
            .expect("PORT");
        let stranger = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        stranger.set_nonblocking(true).unwrap();
        let answer = request.join().unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        let met = stranger.accept().map(|(_, peer)| peer);
        assert!(met.is_err(), "the stranger was connected to: {met:?}");
    });
}

/// ten connects to instances with rights that tenants do not have.
#[test]
fn a_link_in_place_of_its_socket_leads_nowhere() {
    for level in LEVELS {
        for victim in ["{data_dir}/ten.sock", "{data_dir}/app/victim/s"] {
            let config = format!(
                "[service.evil]\ncommand = 'sh -c \"ln -s {victim} $SOCKET_PATH; sleep 60\"'\n\
                 socket = \"{{instance_dir}}/s\"\nlisten = \"socket\"\nstartup_timeout = 1\n\
                 isolation = \"{level}\"\n"
            ) + &app("--listen socket", "");
            let ten = Ten::with_config(&config).start();
            assert_eq!(ten.get("victim.app.localhost", "/").text(), "app:victim");
            let answer = ten.get("a.evil.localhost", "/api/instances");
            assert_eq!(answer.status, 503, "{level} {victim}: {}", answer.text());
        }
    }
}

#[test]
fn bodies_stream_both_ways() {
    let ten = Ten::with_config(&app("", "")).start();
    // Sent whole before the tenant exists: nothing of it may be lost in the wake.
    let body = vec![b'x'; 8 << 20];
    let answer = ten.send(&Request::post("a.app.localhost", "/body", body.clone())).unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(&body.len().to_string()), "{}", answer.text());
    let answer = ten.get("a.app.localhost", "/stream?chunks=100&bytes=10000");
    assert_eq!(answer.body.len(), 1_000_000);
    // An event arrives while its stream is still open.
    let mut connection = ten.connect();
    connection
        .write(b"GET /sse?count=2&ms=3600000 HTTP/1.1\r\nHost: a.app.localhost\r\n\r\n")
        .unwrap();
    assert_eq!(connection.read_head().unwrap().status, 200);
    let first = (0..3).map(|_| connection.read_line().unwrap()).collect::<String>();
    assert!(first.contains("data:"), "{first}");
}
