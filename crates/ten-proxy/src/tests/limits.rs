//! What happens where something is full, missing or refused.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;
use crate::connect;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn each_refusal_has_its_answer() {
    let secs = Duration::from_secs;
    for (refusal, status, state, retry_after) in [
        (Refusal::Unknown, "404", "unknown", None),
        (Refusal::Asleep, "503", "asleep", Some("30")),
        (Refusal::NotReady { retry_after: secs(7) }, "503", "waking", Some("7")),
        (Refusal::NotReady { retry_after: Duration::from_millis(1) }, "503", "waking", Some("1")),
        (Refusal::Failed, "503", "failed", Some("30")),
        (Refusal::QueueFull, "503", "waking", Some("1")),
        (Refusal::TooManyRunning, "503", "asleep", Some("1")),
        (Refusal::ShuttingDown, "503", "unknown", Some("1")),
    ] {
        let world = World::before(vec![Address::Unix("/secret/path.sock".into())]);
        world.fleet.set(Gate::Refused(refusal));
        let answer = world.ask(format!("{GET}Connection: close\r\n\r\n")).await;
        assert_eq!(&answer[9..12], status, "{refusal:?}");
        assert_eq!(header(&answer, "x-ten-state"), Some(state), "{refusal:?}");
        assert_eq!(header(&answer, "retry-after"), retry_after, "{refusal:?}");
        assert!(answer.contains("\"type\":\"urn:tenement:problem:"), "{answer}");
        assert!(!answer.contains("secret"), "{answer}");
    }
}

#[tokio::test]
async fn a_missing_socket_says_nothing_of_its_path() {
    let world = World::before(vec![Address::Unix("/secret/path.sock".into())]);
    let answer = world.ask(format!("{GET}Connection: close\r\nAccept: text/html\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("<h1>Bad gateway</h1>"));
    assert!(!answer.contains("secret"), "{answer}");
}

/// Lowers the limit of its whole process, so it runs in one of its own.
#[test]
fn a_lack_of_descriptors_is_outlived() {
    let test = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "tests::limits::without_descriptors"])
        .output()
        .unwrap();
    assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stdout));
    assert!(String::from_utf8_lossy(&test.stdout).contains("1 passed"));
}

/// The clock moves only while the accept loop rests: a loop that spins would hang here.
#[tokio::test(start_paused = true)]
#[ignore = "run by a_lack_of_descriptors_is_outlived"]
async fn without_descriptors() {
    let world = World::before(vec![Address::Unix("/nowhere".into())]);
    world.fleet.set(Gate::Refused(Refusal::Asleep));
    let limit = getrlimit(Resource::Nofile);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limit }).unwrap();
    let mut client = Wire(socket.connect(world.proxy).await.unwrap());
    client.write(format!("{GET}\r\n")).await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_secs(3), client.0.peek(&mut byte)).await;
    assert!(early.is_err(), "accepted without a descriptor");
    setrlimit(Resource::Nofile, limit).unwrap();
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 503"));
}

/// 1,000 requests released at once meet a backlog of 5 in Python's socketserver.
#[tokio::test]
async fn a_full_backlog_of_a_unix_socket_is_waited_for() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, accept, bind, listen, socket};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    let lease = World::before(vec![Address::Unix(path)]).fleet.any().await;
    let files = Files::new(1);
    let first = connect::connect(&lease, &files).await.unwrap_or_else(|error| panic!("{error}"));
    let mut second = std::pin::pin!(connect::connect(&lease, &files));
    tokio::select! {
        biased;
        _ = &mut second => panic!("the backlog has room"),
        () = std::future::ready(()) => {}
    }
    accept(&listener).unwrap();
    soon(second).await.unwrap_or_else(|error| panic!("{error}"));
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn a_long_upload_is_no_slow_answer() {
    let (address, seen) = answering(OK).await;
    let world = World::with_timeout(vec![address], Some(Duration::from_secs(1)));
    let mut client = world.client().await;
    client.write(GET.replace("GET", "PUT") + "Content-Length: 6\r\n\r\n").await;
    for piece in ["a", "b", "c", "d", "e", "f"] {
        tokio::time::sleep(Duration::from_millis(900)).await;
        client.write(piece).await;
    }
    client.until("ok").await.unwrap();
    assert!(seen.lock().unwrap()[0].ends_with("abcdef"));
}

/// Not by way of `soon` in what follows: its patience ends on the clock that is tested.
#[tokio::test(start_paused = true)]
async fn an_upload_that_stands_still_is_given_up() {
    let address = instance(|mut wire| async move {
        let mut rest = Vec::new();
        let _ = wire.0.read_to_end(&mut rest).await;
    })
    .await;
    let world = World::before(vec![address]);
    let post = GET.replace("GET", "POST");
    for body in
        ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
    {
        let mut client = world.client().await;
        let start = tokio::time::Instant::now();
        client.write(format!("{post}{body}")).await;
        let mut answer = String::new();
        client.0.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert_eq!(header(&answer, "connection"), Some("close"));
        assert!(start.elapsed() >= BODY_TIMEOUT && start.elapsed() < BODY_TIMEOUT * 2);
        world.fleet.in_use(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_is_given_up() {
    const SIZE: usize = 256 << 20;
    let address = instance(|mut wire| async move {
        wire.head().await;
        wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")).await;
        let piece = vec![b'x'; 1 << 20];
        while wire.0.write_all(&piece).await.is_ok() {}
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    client.write(format!("{GET}\r\n")).await;
    client.head().await.unwrap();
    let start = tokio::time::Instant::now();
    world.fleet.0.in_use.subscribe().wait_for(|n| *n == 0).await.unwrap();
    assert!(start.elapsed() >= BODY_TIMEOUT && start.elapsed() < BODY_TIMEOUT * 2);
    assert!(client.rest().await.len() < SIZE);
}

/// Only the client's silence counts: an instance may take its time to wake, to read, to answer.
#[tokio::test(start_paused = true)]
async fn the_time_that_an_instance_takes_is_its_own() {
    let address = instance(|mut wire| async move {
        tokio::time::sleep(BODY_TIMEOUT * 2).await;
        wire.request().await.unwrap();
        wire.write("HTTP/1.1 200 OK\r\n\r\nfirst ").await;
        tokio::time::sleep(BODY_TIMEOUT * 2).await;
        wire.write("second").await;
    })
    .await;
    let world = World::before(vec![address]);
    world.fleet.set(Gate::Waking);
    let mut client = world.client().await;
    let post = GET.replace("GET", "POST");
    client.write(format!("{post}Connection: close\r\nContent-Length: 2\r\n\r\nhi")).await;
    world.fleet.waiting(1).await;
    tokio::time::sleep(BODY_TIMEOUT * 2).await;
    world.fleet.set(Gate::Open);
    let mut answer = String::new();
    client.0.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("first ") && answer.contains("second"), "{answer}");
}

/// The instance cannot answer what it has not been sent: that is no fault of its.
#[tokio::test(start_paused = true)]
async fn a_client_that_stands_still_is_not_an_instance_that_does() {
    let limit = Some(Duration::from_secs(5));
    for (sent, status) in [("", "408"), ("some", "408"), ("all of it!", "504")] {
        let address = instance(|mut wire| async move {
            let _ = tokio::io::copy(&mut wire.0, &mut tokio::io::sink()).await;
        })
        .await;
        let world = World::with_timeout(vec![address], limit);
        let mut client = world.client().await;
        let post = GET.replace("GET", "POST");
        client.write(format!("{post}Content-Length: 10\r\n\r\n{sent}")).await;
        let mut answer = String::new();
        client.0.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.get(9..12), Some(status), "{sent}: {answer}");
    }
}

/// Nor is one that takes no more of a request: its client waits for nothing but the answer.
#[tokio::test(start_paused = true)]
async fn an_instance_that_takes_no_more_is_slow_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let limit = Duration::from_secs(2);
    let world = World::with_timeout(vec![Address::Unix(path)], Some(limit));
    let mut client = world.client().await;
    let post = GET.replace("GET", "POST");
    client.write(format!("{post}Content-Length: 100\r\n\r\nhalf")).await;
    let (mut instance, _) = listener.accept().await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"half") {
        instance.read_buf(&mut got).await.unwrap();
    }
    rustix::net::shutdown(&instance, rustix::net::Shutdown::Read).unwrap();
    client.write("more").await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 504"));
    world.fleet.in_use(0).await;
}
