//! Real servers as tenants: uvicorn, gunicorn (on a Unix socket), Python's own, which serves one
//! connection at a time, Node, and the tenant of the testkit.

use std::{collections::BTreeSet, env, path::Path, time::Duration};

use ten_conformance::{raw, script, service};
use ten_testkit::{Checksum, Request, Response, Ten, tenant_binary};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server with one service, `name`, that sleeps after a second.
fn start(name: &str, command: &str) -> (Ten, String) {
    let keys = "idle_timeout = 1\nstartup_timeout = 30";
    (Ten::with_config(&service(name, command, keys)).start(), format!("a.{name}.localhost"))
}

fn ask(ten: &Ten, request: &Request) -> Response {
    let response = ten.send(request).unwrap_or_else(|error| panic!("{request}: {error}"));
    assert_eq!(response.status, 200, "{request}: {}", response.text());
    response
}

/// Bytes that are not all the same.
fn five_megabytes() -> Vec<u8> {
    (0..5_u32 << 20).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

/// `body` in chunks of many sizes.
fn chunked(body: &[u8]) -> Vec<u8> {
    let (mut rest, mut size, mut chunks) = (body, 1, Vec::new());
    while !rest.is_empty() {
        let (chunk, more) = rest.split_at(size.min(rest.len()));
        chunks.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
        (rest, size) = (more, size * 3 % 70_001);
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    chunks
}

/// What every one of them must do.
fn serves(name: &str, command: &str) {
    let (ten, host) = start(name, command);
    let host = host.as_str();
    assert_eq!(ask(&ten, &Request::get(host, "/")).text(), "hello");
    bodies_come_back(&ten, host);
    head_has_no_body(&ten, host);
    one_connection_carries_many(&ten, host);
    a_stream_flows(&ten, host);
    large_headers_pass(&ten, host);
    let instance = format!("{name}:a");
    ten.wait_until("it sleeps", PATIENCE, || ten.processes_of(&instance).is_empty());
    assert_eq!(ask(&ten, &Request::get(host, "/")).text(), "hello");
}

fn bodies_come_back(ten: &Ten, host: &str) {
    let body = five_megabytes();
    let answer = ask(ten, &Request::post(host, "/echo", body.clone()));
    assert!(answer.body == body, "{} bytes came back, or others", answer.body.len());
    assert_eq!(answer.header("x-length"), Some("5242880"));
    let head = "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let head = format!("POST /echo HTTP/1.1\r\nHost: {host}\r\n{head}");
    let sent = [head.as_bytes(), &chunked(&body)].concat();
    let answer = raw::exchange(ten.address(), &sent, raw::WHOLE, PATIENCE);
    assert_eq!(answer.statuses().first(), Some(&200));
    assert!(answer.body() == body, "{} bytes came back, or others", answer.body().len());
}

fn head_has_no_body(ten: &Ten, host: &str) {
    let mut client = ten.connect();
    for _ in 0..2 {
        let answer = client.send(&Request::new("HEAD", host, "/")).expect("an answer");
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("5")));
    }
    let answer = client.send(&Request::get(host, "/")).expect("an answer");
    assert_eq!(answer.text(), "hello");
}

fn one_connection_carries_many(ten: &Ten, host: &str) {
    let mut client = ten.connect();
    let mut ask = || client.send(&Request::get(host, "/connection")).expect("an answer").text();
    let connections: BTreeSet<String> = (0..20).map(|_| ask()).collect();
    assert_eq!(connections.len(), 1, "to the instance: {connections:?}");
}

fn a_stream_flows(ten: &Ten, host: &str) {
    let mut client = ten.connect();
    let head = format!("GET /stream HTTP/1.1\r\nHost: {host}\r\n\r\n");
    client.write(head.as_bytes()).expect("the server reads");
    assert_eq!(client.read_head().expect("an answer").status, 200);
    assert_eq!(client.read_line().expect("a size"), "6");
    assert_eq!(client.read_line().expect("a chunk"), "first");
    // The rest is made when this has been asked for.
    ask(ten, &Request::get(host, "/go"));
    assert_eq!(client.read_exact(2).expect("the end of a chunk"), b"\r\n");
    assert_eq!(client.read_line().expect("a size"), "5");
    assert_eq!(client.read_line().expect("a chunk"), "last");
}

fn large_headers_pass(ten: &Ten, host: &str) {
    let request = Request::get(host, "/large").header("x-large", "x".repeat(6_000));
    let answer = ask(ten, &request);
    assert_eq!(answer.text(), "6000");
    assert_eq!(answer.header("x-large").map(str::len), Some(6_000));
}

#[test]
fn uvicorn_is_served() {
    serves("uvicorn", &script("asgi"));
}

#[test]
fn gunicorn_is_served() {
    serves("gunicorn", &script("wsgi"));
}

/// It waits in an idle connection while clients wait on others.
#[test]
fn a_server_of_one_connection_at_a_time_is_served() {
    for keys in ["", "max_concurrency = 1\n"] {
        let keys = format!("{keys}request_timeout = 10\nstartup_timeout = 30");
        let command = script("one_at_a_time");
        let ten = Ten::with_config(&service("single", &command, &keys)).start();
        let mut clients: Vec<_> = (0..8).map(|_| ten.connect()).collect();
        for _ in 0..2 {
            for client in &mut clients {
                let answer = client.send(&Request::get("a.single.localhost", "/"));
                assert_eq!(answer.expect("an answer").status, 200, "{keys}");
            }
        }
    }
}

fn node() -> String {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join("node")).find(|p| p.is_file());
    let node = found.expect("node is in PATH: cargo xtask test installs it");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tenants/node.js");
    format!("{} {}", node.display(), script.display())
}

#[test]
fn node_is_served() {
    serves("node", &node());
}

#[test]
fn ranges_pass() {
    let (ten, host) = start("ranges", &node());
    let whole = ask(&ten, &Request::get(&host, "/file"));
    assert_eq!(
        (whole.header("accept-ranges"), whole.text().as_str()),
        (Some("bytes"), "0123456789")
    );
    let range = Request::get(&host, "/file").header("range", "bytes=2-4");
    let part = ten.send(&range).expect("an answer");
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
}

#[test]
fn a_plain_binary_is_served() {
    let (ten, host) = start("plain", &tenant_binary().display().to_string());
    let body = five_megabytes();
    let mut sum = Checksum::default();
    sum.add(&body);
    let answer = ask(&ten, &Request::post(&host, "/body", body.clone()));
    assert_eq!(answer.text(), sum.to_string());
    let mut client = ten.connect();
    let head = format!("POST /body HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.write(&[head.as_bytes(), &chunked(&body)].concat()).expect("the server reads");
    let answer = client.read_head().expect("an answer");
    let length = answer.header("content-length").and_then(|length| length.parse().ok());
    let text = client.read_exact(length.expect("a length")).expect("a body");
    assert_eq!(String::from_utf8_lossy(&text), sum.to_string());
}
