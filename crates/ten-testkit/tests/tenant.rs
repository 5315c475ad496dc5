//! The tenant does as it is told, and the client tells what it did: each checked with the
//! other, before either is trusted with a server in between.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use ten_testkit::{Checksum, Connection, Request, Response, http, process, wait_until};

const DEADLINE: Duration = Duration::from_secs(10);

struct Tenant {
    child: Child,
    address: Option<SocketAddr>,
    folder: tempfile::TempDir,
}

/// Started, and ready where it becomes ready.
fn tenant(args: &[&str]) -> Tenant {
    let folder = tempfile::TempDir::new().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tenant"))
        .args(args)
        .env("PORT", "0")
        .env("SOCKET_PATH", folder.path().join("app.sock"))
        .env("TENEMENT_INSTANCE", "api:a")
        .env("TESTED_IN", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let (say, hear) = std::sync::mpsc::channel();
    // Reads on for ever, so that later words do not meet a closed pipe.
    std::thread::spawn(move || said.for_each(|line| drop(say.send(line))));
    let mut address = None;
    while let Ok(line) = hear.recv_timeout(DEADLINE) {
        if let Some(found) = line.strip_prefix("tenant: listens on ") {
            address = Some(found.parse().unwrap());
        } else if line == "tenant: ready" {
            break;
        }
    }
    Tenant { child, address, folder }
}

impl Tenant {
    fn address(&self) -> SocketAddr {
        self.address.expect("it listens")
    }

    fn get(&self, path: &str) -> Response {
        self.send(&Request::get("a.api.localhost", path))
    }

    fn text(&self, path: &str) -> String {
        let response = self.get(path);
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        response.text()
    }

    fn send(&self, request: &Request) -> Response {
        http::send(self.address(), request).unwrap()
    }

    fn term(&self) {
        process::signal(self.child.id(), Signal::TERM).unwrap();
    }

    fn status(&mut self) -> ExitStatus {
        assert!(wait_until(DEADLINE, || self.child.try_wait().unwrap().is_some()), "ends");
        self.child.wait().unwrap()
    }

    fn family(&self) -> Vec<u32> {
        let marker = format!("TESTED_IN={}", self.folder.path().display());
        process::with_env(&[&marker]).into_iter().map(|process| process.pid).collect()
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        for pid in self.family() {
            let _ = process::signal(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

#[test]
fn says_what_it_sees() {
    let tenant = tenant(&[]);
    assert_eq!(tenant.text("/"), "api:a");
    assert_eq!(tenant.text("/pid"), tenant.child.id().to_string());
    assert!(tenant.text("/env").contains("TENEMENT_INSTANCE=api:a\n"));
    assert!(tenant.text("/fds").contains("0 "));
    assert!(tenant.text("/proc").lines().any(|pid| pid == tenant.child.id().to_string()));
    assert_eq!(tenant.text("/count"), "6");
    assert!(tenant.text("/headers").contains("host: a.api.localhost\n"));
    assert_eq!(tenant.get("/nowhere").status, 404);
}

#[test]
fn keeps_a_connection_alive() {
    let tenant = tenant(&[]);
    let mut connection = Connection::open(tenant.address()).unwrap();
    for want in ["1", "2", "3"] {
        let request = Request::get("a", "/count");
        assert_eq!(connection.send(&request).unwrap().text(), want);
    }
    // A body that the route does not read is not taken for the next request.
    let response = connection.send(&Request::post("a", "/count", "GET / HTTP/1.1\r\n\r\n"));
    assert_eq!(response.unwrap().text(), "4");
    assert_eq!(connection.send(&Request::get("a", "/count")).unwrap().text(), "5");
    let head = connection.send(&Request::new("HEAD", "a", "/count")).unwrap();
    assert_eq!((head.header("content-length"), head.text().as_str()), (Some("1"), ""));
    assert_eq!(connection.send(&Request::get("a", "/count")).unwrap().text(), "7");
}

#[test]
fn bodies_arrive_whole() {
    let tenant = tenant(&[]);
    let body: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
    let want = Checksum::of(&body).to_string();
    assert_eq!(tenant.send(&Request::post("a", "/body", body)).text(), want);
    let chunked = "POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\
                   expect: 100-continue\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: x\r\n\r\n";
    let want = Checksum::of(b"abcde").to_string();
    assert_eq!(tenant.send(&Request::raw(chunked)).text(), want);
}

#[test]
fn answers_in_chunks_and_events() {
    let tenant = tenant(&[]);
    assert_eq!(tenant.get("/stream?chunks=7&bytes=100000").body, vec![b'x'; 700_000]);
    let events = tenant.get("/sse?count=3&ms=1");
    assert_eq!(events.header("content-type"), Some("text/event-stream"));
    assert_eq!(events.text(), "data: 0\n\ndata: 1\n\ndata: 2\n\n");
}

#[test]
fn echoes_after_an_upgrade() {
    let tenant = tenant(&[]);
    let mut connection = Connection::open(tenant.address()).unwrap();
    let request = Request::get("a", "/ws").header("connection", "upgrade");
    let response = connection.send(&request.header("upgrade", "websocket")).unwrap();
    assert_eq!((response.status, response.header("upgrade")), (101, Some("websocket")));
    for bytes in [&b"hello"[..], b"\0\xff\r\n"] {
        connection.write(bytes).unwrap();
        assert_eq!(connection.read_exact(bytes.len()).unwrap(), bytes);
    }
}

#[test]
fn health_is_what_was_set() {
    let tenant = tenant(&[]);
    assert_eq!(tenant.get("/health").status, 200);
    tenant.text("/health?set=500");
    assert_eq!(tenant.get("/health").status, 500);
    tenant.text("/health?set=200");
    assert_eq!(tenant.get("/health").status, 200);
}

#[test]
fn files_and_signals_or_why_not() {
    let tenant = tenant(&[]);
    let file = tenant.folder.path().join("a note").display().to_string().replace(' ', "%20");
    assert_eq!(tenant.text(&format!("/write?path={file}&text=100%25+more")), "written");
    assert_eq!(tenant.text(&format!("/read?path={file}")), "100% more");
    let refused = tenant.get("/read?path=/nowhere/at/all");
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("No such file"), "{}", refused.text());
    assert_eq!(tenant.text(&format!("/signal?pid={}&sig=18", tenant.child.id())), "sent");
    assert_eq!(tenant.get("/signal?pid=999999999&sig=15").status, 403);
}

#[test]
fn a_burst_is_answered_in_full() {
    let tenant = tenant(&[]);
    let responses =
        http::burst(tenant.address(), 300, |i| Request::post("a", "/body", format!("number {i}")));
    for (i, response) in responses.into_iter().enumerate() {
        let want = Checksum::of(format!("number {i}").as_bytes()).to_string();
        assert_eq!(response.unwrap().text(), want);
    }
}

#[test]
fn ends_as_told() {
    let mut one = tenant(&[]);
    assert!(http::send(one.address(), &Request::get("a", "/exit?code=7")).is_err());
    assert_eq!(one.status().code(), Some(7));
    let mut one = tenant(&[]);
    assert!(http::send(one.address(), &Request::get("a", "/abort")).is_err());
    assert_eq!(one.status().code(), None);
    let mut one = tenant(&["--exit-at-start", "3"]);
    assert_eq!(one.status().code(), Some(3));
    let mut one = tenant(&["--crash-after-ms", "1"]);
    assert_eq!(one.status().code(), None);
    let mut one = tenant(&["--listen", "nonsense"]);
    assert_eq!(one.status().code(), Some(2));
}

#[test]
fn takes_sigterm_as_told() {
    let mut usual = tenant(&[]);
    usual.term();
    assert_eq!(usual.status().code(), None);

    let mut slow = tenant(&["--term-delay-ms", "50"]);
    let told = Instant::now();
    slow.term();
    assert_eq!(slow.status().code(), Some(0));
    assert!(told.elapsed() >= Duration::from_millis(50));

    let deaf = tenant(&["--ignore-term"]);
    deaf.term();
    assert_eq!(deaf.text("/"), "api:a");
}

#[test]
fn starts_late_as_told() {
    let started = Instant::now();
    let late = tenant(&["--startup-delay-ms", "100"]);
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert_eq!(late.text("/"), "api:a");
}

#[test]
fn listens_where_told() {
    let both = tenant(&["--listen", "port", "--listen", "socket"]);
    assert_eq!(both.text("/"), "api:a");
    assert!(both.folder.path().join("app.sock").exists());

    let silent = tenant(&["--listen", "none"]);
    assert_eq!(silent.address, None);
    assert!(process::is_alive(silent.child.id()));
    assert_eq!(tenant(&["--listen", "wrong"]).text("/"), "api:a");
}

#[test]
fn relatives_are_as_hard_to_end_as_they_say() {
    let tenant = tenant(&[]);
    let fork = |kind: &str| -> u32 { tenant.text(&format!("/fork?kind={kind}")).parse().unwrap() };
    let own = tenant.child.id();

    let child = fork("child");
    process::signal(child, Signal::TERM).unwrap();
    assert!(wait_until(DEADLINE, || !process::is_alive(child)));

    let stubborn = fork("stubborn");
    let setsid = fork("setsid");
    let daemon = fork("daemon");
    let stopped = fork("stopped");
    assert_ne!(process::read(daemon).unwrap().parent, own, "orphaned");
    assert!(wait_until(DEADLINE, || process::read(stopped).is_some_and(|p| p.state == 'T')));
    for pid in [stubborn, setsid, daemon, stopped] {
        process::signal(pid, Signal::TERM).unwrap();
    }
    let mut family = tenant.family();
    family.sort_unstable();
    let mut want = vec![own, stubborn, setsid, daemon, stopped];
    want.sort_unstable();
    assert_eq!(family, want);
    assert_eq!(tenant.get("/fork?kind=unheard").status, 403);
}
