//! Which host leads where, and what bad ones leave behind: nothing.

use std::{collections::BTreeSet, fs, path::Path};

use ten_testkit::{Ten, http::Request};

use crate::service::{PATIENCE, app, named};

fn tree(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            found.insert(entry.path().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn bad_ids_are_refused_and_create_nothing() {
    let ten = Ten::with_config(&app("", "")).start();
    let before = tree(&ten.data_dir());
    let (long, endless) = ("a".repeat(64), "a".repeat(300));
    for (id, status) in [
        ("..", 400),
        ("a/../b", 400),
        ("%2e", 400),
        ("a b", 400),
        ("a@b", 400),
        ("a\\b", 400),
        (long.as_str(), 400),
        (endless.as_str(), 400),
        ("-a", 404),
        ("a-", 404),
        ("a--b", 404),
        ("a_b", 404),
        ("a.b", 404),
    ] {
        let answer = ten.get(&format!("{id}.app.localhost"), "/");
        assert_eq!(answer.status, status, "{id:?}: {}", answer.text());
        for leak in ["/tmp", "app", "No such file", "panicked"] {
            assert!(!answer.text().contains(leak), "{id:?} leaks {leak:?}: {}", answer.text());
        }
    }
    for id in ["..", "a/../b", "%2e", &long, "Prod", "a--b", ""] {
        let refused = ten.cli(&["spawn", &format!("app:{id}")]);
        assert!(matches!(refused.code, Some(1 | 2)), "{id:?}: {refused:?}");
        assert!(refused.stderr.contains("name") || refused.stderr.contains("id"), "{refused:?}");
    }
    assert_eq!(tree(&ten.data_dir()), before);
    assert_eq!(ten.cli_json(&["ps", "-a", "--json"])["instances"], serde_json::json!([]));
}

#[test]
fn equal_spellings_lead_to_one_instance() {
    let ten = Ten::with_config(&app("", "")).start();
    for host in [
        "prod.app.localhost",
        "PROD.App.LocalHost",
        "prod.app.localhost.",
        "prod--app.localhost",
        "prod.app.localhost:1234",
    ] {
        assert_eq!(ten.get(host, "/").text(), "app:prod", "{host}");
    }
    assert_eq!(ten.get("prod.app.localhost", "/count").text(), "6");
    assert!(ten.data_dir().join("app/prod").is_dir());
    assert_eq!(fs::read_dir(ten.data_dir().join("app")).unwrap().count(), 1);
}

#[test]
fn hosts_that_are_absent_doubled_or_foreign_lead_nowhere() {
    let ten = Ten::with_config(&app("", "")).start();
    for (head, status) in [
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.app.localhost\r\nHost: b.app.localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.app.localhost, b.app.localhost\r\n\r\n", 400),
        ("GET http://b.app.localhost/ HTTP/1.1\r\nHost: a.app.localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.app.localhost:99999\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: nope.localhost\r\n\r\n", 404),
        ("GET / HTTP/1.1\r\nHost: a.nope.localhost\r\n\r\n", 404),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 404),
        ("GET / HTTP/1.1\r\nHost: a.app.localhost.evil.example\r\n\r\n", 404),
        ("GET /api/instances HTTP/1.1\r\nHost: evil.example\r\n\r\n", 404),
        ("GET /api/instances HTTP/1.1\r\nHost: 10.1.2.3\r\n\r\n", 404),
        ("GET /api/instances HTTP/1.1\r\nHost: localhost\r\n\r\n", 401),
        ("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200),
    ] {
        let answer = ten.send(&Request::raw(head)).unwrap();
        assert_eq!(answer.status, status, "{head:?}: {}", answer.text());
    }
    assert_eq!(ten.processes_of("app:a"), []);
}

#[test]
fn routing_sends_hosts_and_paths_to_services() {
    let config = app("", "")
        + &named("admin-app", "", "")
        + &named("api", "", "")
        + "
[instances]
app = [\"v1\"]
admin-app = [\"v1\"]
api = [\"v1\", \"v2\"]
[routing]
default = \"app\"
[routing.subdomain]
admin = \"admin-app\"
[routing.path]
\"/api\" = \"api\"
";
    let ten = Ten::with_config(&config)
        .arg("--domain")
        .arg("example.test")
        .arg("--bind")
        .arg("127.0.0.1")
        .start();
    let text = |host: &str, path: &str| ten.get(host, path).text();
    assert_eq!(text("example.test", "/"), "app:v1");
    assert_eq!(text("admin.example.test", "/"), "admin-app:v1");
    assert_eq!(ten.get("example.test", "/api").status, 404, "the tenant's own 404");
    assert_eq!(text("example.test", "/apix"), "no such path");
    // Management is no longer at the domain, but where no tenant is.
    assert_eq!(ten.get("example.test", "/health").text(), "healthy", "the tenant's own");
    assert!(ten.get("localhost", "/health").text().contains("ok"));
    ten.wait_until("both run", PATIENCE, || {
        !ten.processes_of("api:v1").is_empty()
            && ten.cli(&["ps"]).stdout.matches("running").count() >= 4
    });
    // Weighted: both, in turn; a weight of 0 takes no part.
    let seen: BTreeSet<_> = (0..4).map(|_| text("api.example.test", "/")).collect();
    assert_eq!(seen, ["api:v1".to_owned(), "api:v2".to_owned()].into());
    assert_eq!(ten.cli(&["weight", "api:v1", "0"]).code, Some(0));
    let seen: BTreeSet<_> = (0..4).map(|_| text("api.example.test", "/")).collect();
    assert_eq!(seen, ["api:v2".to_owned()].into());
    // A customer's copy, named only by a request, never answers for the service.
    assert_eq!(text("customer.api.example.test", "/"), "api:customer");
    let seen: BTreeSet<_> = (0..4).map(|_| text("api.example.test", "/")).collect();
    assert_eq!(seen, ["api:v2".to_owned()].into());
}
