//! The management API over the network: only with a token.

use ten_testkit::{Ten, http::Request};

use crate::service::app;

fn token(ten: &Ten) -> String {
    let made = ten.cli(&["token-gen"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let line = made.stdout.lines().find(|line| line.starts_with("  ten_"));
    line.expect("the token, alone on a line").trim().to_owned()
}

#[test]
fn tokens_open_it_and_nothing_else_does() {
    let ten = Ten::with_config(&app("", "")).start();
    let good = token(&ten);
    let status = |authorization: Option<&str>| {
        let mut request = Request::get("localhost", "/api/instances");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        ten.send(&request).unwrap().status
    };
    assert_eq!(status(Some(&format!("Bearer {good}"))), 200);
    let other = if good.ends_with('x') { 'y' } else { 'x' };
    let wrong = format!("Bearer {}{other}", &good[..good.len() - 1]);
    for bad in [None, Some("Bearer "), Some("Bearer ten_nope"), Some(&wrong), Some("Basic eA==")] {
        assert_eq!(status(bad), 401, "{bad:?}");
    }
    let saved = std::fs::read_to_string(ten.data_dir().join("api_token")).unwrap();
    assert_eq!(saved.trim(), good);
}

#[test]
fn the_cli_works_over_http_with_a_token() {
    let ten = Ten::with_config(&app("", "")).start();
    let (good, server) = (token(&ten), format!("http://{}", ten.address()));
    let far = |args: &[&str]| {
        let all = [&["--server", &server, "--token", &good], args].concat();
        ten.cli(&all)
    };
    assert_eq!(far(&["spawn", "app:a"]).code, Some(0));
    assert!(far(&["ps"]).stdout.contains("app:a"));
    assert_eq!(far(&["rm", "app:a"]).code, Some(0));
    let refused = ten.cli(&["--server", &server, "--token", "ten_nope", "ps"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let nobody = ten.cli(&["--server", "http://127.0.0.1:1", "--token", &good, "ps"]);
    assert_eq!(nobody.code, Some(3), "{nobody:?}");
}

#[test]
fn errors_are_problem_documents() {
    let ten = Ten::with_config(&app("", "")).start();
    let bearer = format!("Bearer {}", token(&ten));
    for (method, path, body, status) in [
        ("GET", "/api/instances/app/nobody", "", 404),
        ("POST", "/api/instances", "{\"service\":\"nope\",\"id\":\"a\"}", 404),
        ("POST", "/api/instances", "{\"service\":\"app\",\"id\":\"..\"}", 400),
        ("POST", "/api/instances", "{", 400),
        ("GET", "/api/nothing", "", 404),
    ] {
        let mut request = Request::post("localhost", path, body).header("authorization", &bearer);
        if method == "GET" {
            request = Request::get("localhost", path).header("authorization", &bearer);
        }
        let answer = ten.send(&request.header("content-type", "application/json")).unwrap();
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(problem["type"].as_str().is_some_and(|t| t.contains(':')), "{problem}");
    }
}
