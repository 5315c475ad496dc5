//! Bounds on what a client may send, and on how long it may take (FAULTS c6, c11, c13).

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use ten_conformance::{Echo, HOST, Outcome, judge, memory, raw::WHOLE, service, strict};
use ten_testkit::{Connection, Request, Ten, tenant_binary};

/// How long a case waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n").into_bytes()
}

#[test]
fn heads_have_a_size() {
    let mut echo = Echo::start("", "");
    let lines = |count: usize| (0..count).map(|n| format!("x-{n}: {n}\r\n")).collect::<String>();
    let value = |length: usize| format!("X: {}\r\n", "x".repeat(length));
    let target = |length: usize| format!("/{}", "x".repeat(length));
    for (input, status) in [
        // With Host there are 101 of them.
        (get("/", &lines(100)), 431),
        (get("/", &lines(5_000)), 431),
        (get("/", &value(64 << 10)), 431),
        (get("/", &value(10 << 20)), 431),
        (get(&target(64 << 10), ""), 414),
        (get(&target(10 << 20), ""), 414),
    ] {
        let length = input.len();
        assert_eq!(judge(&mut echo, &input, WHOLE), Ok(Outcome::Refused(status)), "{length} bytes");
    }
    for input in [get("/", &lines(99)), get("/", &value(60_000)), get(&target(60_000), "")] {
        assert_eq!(
            judge(&mut echo, &input, WHOLE),
            Ok(Outcome::Forwarded),
            "{} bytes",
            input.len()
        );
    }
}

#[test]
fn heads_may_be_as_large_as_the_settings_say() {
    let settings = "[settings.proxy]\nmax_head_bytes = 1048576\nmax_headers = 1000";
    let mut echo = Echo::start(settings, "");
    let lines = |count: usize| (0..count).map(|n| format!("x-{n}: {n}\r\n")).collect::<String>();
    let value = |length: usize| format!("X: {}\r\n", "x".repeat(length));
    let passed = Outcome::Forwarded;
    for (input, outcome) in [
        // With Host there are 1,000 of them, and then one more.
        (get("/", &lines(999)), passed),
        (get("/", &lines(1_000)), Outcome::Refused(431)),
        (get("/", &value(1_000_000)), passed),
        (get("/", &(lines(990) + &value(1_000_000))), passed),
        (get("/", &value(1 << 20)), Outcome::Refused(431)),
    ] {
        assert_eq!(judge(&mut echo, &input, WHOLE), Ok(outcome), "{} bytes", input.len());
    }
}

#[test]
fn chunk_extensions_and_trailers_have_a_size() {
    let mut echo = Echo::start("", "");
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let many: String = (0..100_000).map(|n| format!("x-{n}: {n}\r\n")).collect();
    for body in [
        format!("2;{}\r\nab\r\n0\r\n\r\n", "x".repeat(1 << 20)),
        format!("1;{0}\r\na\r\n", "x".repeat(1_000)).repeat(1_000) + "0\r\n\r\n",
        format!("0\r\nt: {}\r\n\r\n", "x".repeat(1 << 20)),
        format!("0\r\n{many}\r\n"),
    ] {
        let (answer, arrivals) = echo.exchange(format!("{head}{body}").as_bytes(), WHOLE);
        let whole: usize = arrivals.iter().map(|arrival| arrival.requests.len()).sum();
        assert!(whole == 0 && answer.closed, "{}…: {arrivals:?}", &body[..20]);
        assert!(answer.statuses()[..] == [400], "{}…: {answer:?}", &body[..20]);
    }
}

/// Writes a byte every time that nothing has come for a moment, until the server closes.
/// Returns what came, and when the end did.
fn drip(ten: &Ten, start: &[u8], byte: u8) -> (String, Duration) {
    let mut stream = TcpStream::connect(ten.address()).expect("the server accepts");
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
    let began = Instant::now();
    stream.write_all(start).expect("the server reads");
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    while began.elapsed() < PATIENCE {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if stream.write_all(&[byte]).is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    (String::from_utf8_lossy(&text).into_owned(), began.elapsed())
}

#[test]
fn a_head_that_drips_is_given_up_at_its_deadline() {
    let echo = Echo::start("[settings.proxy]\nhead_timeout = 2", "");
    for start in [
        "GET /".to_owned(),
        "G".into(),
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX: "),
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n"),
    ] {
        let (answer, took) = drip(echo.ten(), start.as_bytes(), b'x');
        assert!(answer.starts_with("HTTP/1.1 408 "), "{start:?}: {answer}");
        let kept = took > Duration::from_millis(1_500) && took < Duration::from_secs(6);
        assert!(kept, "{start:?} was endured for {took:?}");
    }
}

#[test]
fn silence_is_given_up_at_its_deadline() {
    let echo = Echo::start("[settings.proxy]\nhead_timeout = 2\nidle_timeout = 1", "");
    let mut stream = TcpStream::connect(echo.ten().address()).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let began = Instant::now();
    assert_eq!(stream.read(&mut [0; 1]).ok(), Some(0), "an end");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let mut kept = Connection::open(echo.ten().address()).expect("the server accepts");
    assert_eq!(kept.send(&Request::get(HOST, "/")).expect("an answer").status, 200);
    let began = Instant::now();
    assert!(kept.read_line().is_err(), "an end");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[test]
fn a_body_that_never_comes_is_given_up() {
    let mut echo = Echo::start("[settings.proxy]\nbody_timeout = 1", "");
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nab");
    let mut stream = TcpStream::connect(echo.ten().address()).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(head.as_bytes()).expect("the server reads");
    let mut text = Vec::new();
    let began = Instant::now();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408 "), "{text}");
    let whole: usize = echo.settle().iter().map(|arrival| arrival.requests.len()).sum();
    assert_eq!(whole, 0);
}

#[test]
fn continue_is_said_once_the_body_is_wanted() {
    let echo = Echo::start("", "");
    let expect = |path: &str, more: &str| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\n");
        format!("{head}{more}\r\n")
    };
    // The backend answers once it has the body, and says nothing before that.
    let mut client = Connection::open(echo.ten().address()).expect("the server accepts");
    client.write(expect("/", "Content-Length: 5\r\n").as_bytes()).expect("written");
    assert_eq!(client.read_head().expect("an answer").status, 100);
    client.write(b"hello").expect("written");
    assert_eq!(client.read_head().expect("an answer").status, 200);
}

#[test]
fn an_early_refusal_ends_a_body_of_a_gigabyte() {
    let echo = Echo::start("", "");
    for head in [
        // Nobody's host, and a Host that is none.
        "POST / HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 1073741824\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nHost: a b\r\nContent-Length: 1073741824\r\n\r\n".into(),
        "POST / HTTP/1.1\r\nHost: nobody.example\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n"
            .into(),
    ] {
        let stream = TcpStream::connect(echo.ten().address()).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        (&stream).write_all(head.as_bytes()).expect("the server reads");
        let began = Instant::now();
        let sent = thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let (mut sent, piece) = (0_u64, vec![0; 1 << 20]);
                while sent < 1 << 30 && (&stream).write_all(&piece).is_ok() {
                    sent += 1 << 20;
                }
                sent
            });
            let mut text = [0; 12];
            (&stream).read_exact(&mut text).expect("an answer before the body's end");
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(text == "HTTP/1.1 404" || text == "HTTP/1.1 400", "{text}");
            let _ = (&stream).read_to_end(&mut Vec::new());
            sender.join().expect("the body")
        });
        assert!(sent < 1 << 29, "{sent} bytes were taken after the answer");
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    }
}

#[test]
fn a_client_that_leaves_during_a_wake_leaves_an_instance_that_can_sleep() {
    let tenant = ten_testkit::tenant_binary().display().to_string();
    let config = service("slow", &format!("{tenant} --startup-delay-ms 500"), "idle_timeout = 1");
    let ten = Ten::with_config(&config).start();
    let (heads, host) = (["GET /", "POST /body"], "a.slow.localhost");
    for head in heads {
        let mut stream = TcpStream::connect(ten.address()).expect("the server accepts");
        let text = format!("{head} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\nabc");
        stream.write_all(text.as_bytes()).expect("the server reads");
        let running = || !ten.processes_of("slow:a").is_empty();
        ten.wait_until("the wake has begun", PATIENCE, running);
        drop(stream);
        ten.wait_until("the instance sleeps again", PATIENCE, || !running());
    }
    assert_eq!(ten.get(host, "/").status, 200);
}

#[test]
fn a_client_that_leaves_during_an_upload_counts_no_more() {
    let (tell, told) = mpsc::channel();
    let tenant = ten_testkit::tenant_binary().display().to_string();
    let ten = Ten::with_config(&service("up", &tenant, "idle_timeout = 1")).start();
    assert_eq!(ten.get("a.up.localhost", "/").status, 200);
    let mut stream = TcpStream::connect(ten.address()).expect("the server accepts");
    let text = "POST /body HTTP/1.1\r\nHost: a.up.localhost\r\nContent-Length: 99999\r\n\r\nabc";
    stream.write_all(text.as_bytes()).expect("the server reads");
    let address = ten.address();
    thread::spawn(move || {
        // As long as this one uploads, the instance is in use: two of its idle times.
        let mut waiting = Connection::open(address).expect("the server accepts");
        let answer = waiting.send(&Request::get("a.up.localhost", "/slow?ms=2000"));
        tell.send(answer.expect("an answer").status).expect("somebody waits");
    });
    assert_eq!(told.recv_timeout(PATIENCE), Ok(200));
    assert!(!ten.processes_of("up:a").is_empty());
    drop(stream);
    let asleep = || ten.processes_of("up:a").is_empty();
    ten.wait_until("the instance sleeps", PATIENCE, asleep);
}

#[test]
fn a_client_that_only_asks_is_not_read_for_ever() {
    let mut echo = Echo::start("", "");
    let before = memory::resident_kib(echo.ten());
    let mut stream = TcpStream::connect(echo.ten().address()).expect("the server accepts");
    stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a socket");
    let (requests, mut sent) = (get("/pipelined", "").repeat(1_000), 0);
    while sent < 64 << 20 && stream.write_all(&requests).is_ok() {
        sent += requests.len();
    }
    assert!(sent < 64 << 20, "{sent} bytes of requests were taken, and no answer read");
    let growth = memory::resident_kib(echo.ten()).saturating_sub(before);
    assert!(growth < 32 << 10, "{growth} KiB more");
    drop(stream);
    let arrivals = echo.settle();
    let whole: usize = arrivals.iter().map(|arrival| arrival.requests.len()).sum();
    assert!(whole > 0 && arrivals.iter().all(|a| a.rest == strict::Rest::Nothing), "{whole}");
}

/// Where open files are few, connections to instances that nobody uses make room for others.
#[test]
fn few_open_files_are_shared() {
    const CLIENTS: usize = 150;
    const INSTANCES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let tenant = format!("{} --listen socket", tenant_binary().display());
    let mut ten = Ten::with_config(&service("up", &tenant, "")).prepare();
    let ours = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1024), maximum: Some(1024) }).unwrap();
    ten.start();
    // As many as before, where we may; and otherwise those are enough.
    let _ = setrlimit(Resource::Nofile, ours);
    let address = ten.address();
    for id in INSTANCES {
        assert_eq!(ten.get(&format!("{id}.up.localhost"), "/").status, 200);
    }
    let together = &Barrier::new(CLIENTS);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(move || {
                let mut client = Connection::open(address).unwrap();
                // All of them are with the same one, and then with the next.
                let answers = INSTANCES.map(|id| {
                    together.wait();
                    let request = Request::get(&format!("{id}.up.localhost"), "/slow?ms=100");
                    client.send(&request).map_err(|error| error.to_string())
                });
                let answers = answers.map(|answer| answer.map(|it| (it.status, it.text())));
                assert!(answers.iter().all(|it| matches!(it, Ok((200, _)))), "{answers:?}");
            });
        }
    });
    // And further instances start.
    for id in ["g", "h", "i"] {
        assert_eq!(ten.get(&format!("{id}.up.localhost"), "/").status, 200);
    }
}
