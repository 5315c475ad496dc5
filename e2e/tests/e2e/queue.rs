//! `max_concurrency`, `queue_limit`, `queue_timeout`: who waits, how long, and in which order.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::Signal,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use ten_testkit::{
    Ten,
    http::{Connection, Request, Response},
};

use crate::service::{PATIENCE, app};

const HOST: &str = "a.app.localhost";

fn start(args: &str, keys: &str) -> Ten {
    Ten::with_config(&app(args, keys)).start()
}

/// A request that is being served until its connection is dropped.
fn hold(ten: &Ten) -> Connection {
    let mut connection = ten.connect();
    let head = format!("GET /sse?count=100000 HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    connection.write(head.as_bytes()).expect("write");
    assert_eq!(connection.read_head().expect("a head").status, 200);
    connection
}

/// What kind of problem an answer tells of.
fn problem(answer: &Response) -> String {
    let text = answer.text();
    let told: serde_json::Value =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert!(answer.header("retry-after").is_some(), "{text}");
    told["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap_or_default().into()
}

#[test]
fn two_at_a_time_and_the_others_in_order_of_arrival() {
    // On one processor ten has one worker: who connects first is heard first.
    let allowed = sched_getaffinity(None).expect("processors");
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).expect("a processor"));
    sched_setaffinity(None, &one).expect("one processor");
    let ten = start("", "max_concurrency = 2");
    assert_eq!(ten.get(HOST, "/").status, 200);
    let request = format!("GET /crowd?ms=20 HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    let sent: Vec<_> = (0..50)
        .map(|_| {
            let mut connection = ten.connect();
            connection.write(request.as_bytes()).expect("write");
            connection
        })
        .collect();
    let answers: Vec<(u64, u64)> = sent
        .into_iter()
        .map(|mut connection| {
            let head = connection.read_head().expect("a head");
            assert_eq!(head.status, 200);
            let length =
                head.header("content-length").and_then(|l| l.parse().ok()).expect("length");
            let body = connection.read_exact(length).expect("a body");
            let text = String::from_utf8(body).expect("text");
            let (most, place) = text.split_once(' ').expect("two numbers");
            (most.parse().expect("most"), place.parse().expect("place"))
        })
        .collect();
    assert_eq!(answers.iter().map(|(most, _)| *most).max(), Some(2));
    // Two threads of the tenant's count them.
    for (sent, (_, place)) in (1u64..).zip(&answers) {
        assert!(sent.abs_diff(*place) <= 2, "sent as {sent}, served as {place}: {answers:?}");
    }
}

#[test]
fn a_wake_releases_no_more_than_may_be_inside() {
    let ten = start("--startup-delay-ms 200", "max_concurrency = 2");
    let answers = ten.burst(20, |_| Request::get(HOST, "/crowd?ms=10"));
    for answer in answers {
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200);
        assert!(["1 ", "2 "].iter().any(|most| answer.text().starts_with(most)), "{answer:?}");
    }
}

#[test]
fn more_than_queue_limit_are_refused() {
    for warm in [true, false] {
        let ten = start("--startup-delay-ms 300", "max_concurrency = 1\nqueue_limit = 3");
        if warm {
            assert_eq!(ten.get(HOST, "/").status, 200);
        }
        let answers = ten.burst(20, |_| Request::get(HOST, "/slow?ms=500"));
        let answers: Vec<_> =
            answers.into_iter().map(|answer| answer.expect("an answer")).collect();
        let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status == 200);
        // Asleep, it has no fewer places than awake.
        assert_eq!(served.len(), 1 + 3, "warm: {warm}");
        for answer in refused {
            assert_eq!((answer.status, problem(answer).as_str()), (503, "queue-full"));
        }
    }
}

#[test]
fn a_wait_ends_with_queue_timeout() {
    let ten = start("", "max_concurrency = 1\nqueue_timeout = 1");
    let _holder = hold(&ten);
    let before = Instant::now();
    let answer = ten.get(HOST, "/");
    assert_eq!((answer.status, problem(&answer).as_str()), (503, "busy"));
    assert!(before.elapsed() >= Duration::from_secs(1), "{:?}", before.elapsed());
}

#[test]
fn a_client_that_leaves_frees_its_place() {
    const TIMEOUT: Duration = Duration::from_secs(3);
    let ten = start("", "max_concurrency = 1\nqueue_limit = 1\nqueue_timeout = 3");
    let holder = hold(&ten);
    // Of two, one waits and the other is refused: then the first is known to wait.
    let (told, tell) = mpsc::channel();
    let asked = Instant::now();
    let streams: [TcpStream; 2] = std::array::from_fn(|which| {
        let mut stream = TcpStream::connect(ten.address()).expect("connect");
        write!(stream, "GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n").expect("write");
        let (reader, told) = (stream.try_clone().expect("clone"), told.clone());
        thread::spawn(move || {
            let mut line = String::new();
            // One of them is cut off.
            let _ = BufReader::new(reader).read_line(&mut line);
            let _ = told.send((which, line));
        });
        stream
    });
    let (refused, line) = tell.recv_timeout(PATIENCE).expect("an answer");
    assert!(line.contains("503"), "{line}");
    streams[1 - refused].shutdown(Shutdown::Both).expect("shutdown");
    // Whoever is told that it is busy had a place, and had it in time.
    ten.wait_until("the place is free", PATIENCE, || {
        let since = Instant::now();
        let busy = problem(&ten.get(HOST, "/")) == "busy";
        assert!(!busy || since.duration_since(asked) < TIMEOUT, "only its own timeout freed it");
        busy
    });
    drop(holder);
    ten.wait_until("it has room again", PATIENCE, || ten.get(HOST, "/").status == 200);
}

#[test]
fn who_waits_when_it_dies_is_answered_by_its_successor() {
    let config = format!("[settings]\nbackoff_base_ms = 10\n{}", app("", "max_concurrency = 1"));
    let ten = Ten::with_config(&config).start();
    let _holder = hold(&ten);
    let killed = ten.processes_of("app:a");
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let mut connection = ten.connect();
            let request = format!("GET /pid HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
            connection.write(request.as_bytes()).expect("write");
            connection
        })
        .collect();
    for process in &killed {
        ten.signal(process.pid, Signal::KILL);
    }
    for mut connection in waiting {
        assert_eq!(connection.read_head().expect("a head").status, 200);
    }
}
