//! gRPC from end to end: the reference implementation on both sides, ten in between; by prior knowledge,
//! and over TLS by ALPN.

use std::{path::Path, time::Duration};

use ten_conformance::{python, script, service};
use ten_testkit::{Builder, Ten};

const HOST: &str = "a.grpc.localhost";
/// In this order: `deadline` and `cancellation` count the calls that the server saw cancelled.
const CASES: [&str; 12] = [
    "unary",
    "server_streaming",
    "client_streaming",
    "bidirectional",
    "large",
    "metadata",
    "error_with_details",
    "unknown_method",
    "deadline",
    "cancellation",
    "many_at_once",
    "unary",
];

fn serving(keys: &str) -> Builder {
    let keys = format!("protocol = \"h2c\"\n{keys}");
    Ten::with_config(&service("grpc", &script("grpc_server"), &keys))
}

fn start(keys: &str) -> Ten {
    serving(keys).start()
}

/// Runs cases of `tenants/grpc_client.py` one after the other, on one connection.
fn call(ten: &Ten, cases: &[&str]) {
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tenants/grpc_client.py");
    let address = ten.address().to_string();
    let mut python = python();
    if ten.certificate().exists() {
        python.env("TRUSTED", ten.certificate());
    }
    let done = python.arg(client).args([&address, HOST]).args(cases).output();
    let done = done.expect("the client runs");
    let (told, error) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "after {told:?}:\n{error}\n{}", ten.server_lines().join("\n"));
    assert_eq!(told.lines().collect::<Vec<_>>(), cases);
}

#[test]
fn every_kind_of_call_over_a_unix_socket() {
    call(&start("listen = \"socket\""), &CASES);
}

#[test]
fn every_kind_of_call_over_tcp() {
    call(&start("listen = \"port\""), &CASES);
}

#[test]
fn every_kind_of_call_over_tls() {
    call(&serving("").https(&[HOST]).start(), &CASES);
}

/// Nothing of a stream is lost, and nothing else on its connection, while the server starts.
#[test]
fn small_messages_wait_for_a_server_that_starts() {
    call(&start("env = { START_DELAY = \"2\" }"), &["small_messages", "unary"]);
}

#[test]
fn a_call_wakes_a_sleeping_server() {
    let ten = start("idle_timeout = 1");
    for _ in 0..2 {
        assert_eq!(ten.processes_of("grpc:a").len(), 0);
        call(&ten, &["unary"]);
        ten.wait_until("it sleeps", Duration::from_secs(20), || {
            ten.processes_of("grpc:a").is_empty()
        });
    }
}
