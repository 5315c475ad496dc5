//! WebSockets, with a library of their own on both sides: what RFC 6455 says, that an open one
//! keeps its instance awake, and how they end (FAULTS b11, c10).

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use ten_conformance::{python, script, service};
use ten_testkit::{Builder, Ten};

const HOST: &str = "a.ws.localhost";
const PATIENCE: Duration = Duration::from_secs(20);
/// What an end may take that nothing delays: far less than any timeout on the way.
const PROMPTLY: Duration = Duration::from_secs(3);

fn start(keys: &str) -> Ten {
    serving(keys).start()
}

fn serving(keys: &str) -> Builder {
    let command = format!("{} {{instance_dir}}", script("websockets_server"));
    let other = service("other", &script("websockets_other"), "");
    Ten::with_config(&format!("{}\n{other}", service("ws", &command, keys)))
}

/// One of the clients beside the tenants.
fn client(name: &str) -> Command {
    let script = script(name);
    let (_, path) = script.rsplit_once(' ').expect("an interpreter and a path");
    let mut command = python();
    command.arg(path);
    command
}

/// A client in a process of its own, which says what comes.
struct Listener {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Listener {
    fn open(ten: &Ten, path: &str) -> Self {
        let mut command = client("websockets_client");
        let secure = ten.certificate().exists();
        if secure {
            command.env("SSL_CERT_FILE", ten.certificate());
        }
        let scheme = if secure { "wss" } else { "ws" };
        let url = format!("{scheme}://{HOST}:{}{path}", ten.address().port());
        let mut child = command.arg(url).stdout(Stdio::piped()).spawn().expect("python starts");
        let said = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, said }
    }

    /// One that keeps its WebSocket open for as long as anybody lets it.
    fn held(ten: &Ten) -> Self {
        Self::held_by(ten).0
    }

    /// The same, and the process that holds the other end.
    fn held_by(ten: &Ten) -> (Self, String) {
        let mut listener = Self::open(ten, "/hold");
        let process = listener.line();
        (listener, process)
    }

    /// What it says next.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("text");
        line.trim_end().into()
    }

    /// Waits for the end, and says what the client saw of it.
    fn end(mut self) -> String {
        let line = self.line();
        assert!(self.child.wait().expect("our child").success());
        line
    }
}

/// What code had come on each WebSocket that was held, when the instance was told to stop. That is
/// the last that happens: on one that was only waited for, none had.
fn heard(ten: &Ten) -> Vec<String> {
    let path = ten.data_dir().join("ws/a/heard");
    fs::read_to_string(path).expect("it was told to stop").lines().map(String::from).collect()
}

#[test]
fn the_cases_of_the_rfc() {
    let ten = start("");
    // Awake, so that the cases find their sockets.
    assert_eq!(ten.get(HOST, "/refuse/404").status, 404);
    assert_eq!(ten.get("a.other.localhost", "/refuse").status, 200);
    let socket = |service: &str| ten.data_dir().join(service).join("a/s");
    let mut cases = client("websockets_cases");
    cases.arg(ten.address().port().to_string()).args([socket("ws"), socket("other")]);
    let output = cases.output().expect("python starts");
    let story = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{story}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_instance_sleeps_when_its_websocket_is_closed_and_not_before() {
    let ten = start("idle_timeout = 1");
    // The request to switch is what wakes it.
    assert_eq!(ten.processes_of("ws:a"), []);
    // Says its process id, and again after three idle times of silence.
    let mut listener = Listener::open(&ten, "/later/3000");
    let pid = listener.line();
    assert_eq!(listener.line(), pid);
    assert_eq!(listener.end(), "closed 1000");
    ten.wait_until("it sleeps", PATIENCE, || ten.processes_of("ws:a").is_empty());
}

#[test]
fn a_server_that_stops_says_goodbye_to_both_sides() {
    let mut ten = start("");
    let listeners: Vec<_> = (0..20).map(|_| Listener::held(&ten)).collect();
    ten.stop();
    for listener in listeners {
        assert_eq!(listener.end(), "closed 1001");
    }
    assert_eq!(heard(&ten), ["1001"; 20]);
}

#[test]
fn an_instance_that_crashes_ends_its_websockets() {
    let ten = start("");
    let listener = Listener::held(&ten);
    let processes = ten.processes_of("ws:a");
    let began = Instant::now();
    ten.signal(processes[0].pid, Signal::KILL);
    assert_eq!(listener.end(), "closed 1006");
    let took = began.elapsed();
    assert!(took < PROMPTLY, "ended only after {took:?}");
}

#[test]
fn an_instance_that_is_stopped_says_goodbye_to_its_websockets() {
    says_goodbye(&start("stop_timeout = 60"));
}

#[test]
fn so_it_does_over_tls() {
    says_goodbye(&serving("stop_timeout = 60").https(&[HOST]).start());
}

fn says_goodbye(ten: &Ten) {
    let listeners: Vec<_> = (0..3).map(|_| Listener::held(ten)).collect();
    assert_eq!(ten.cli(&["stop", "ws:a", "--keep-data"]).code, Some(0));
    assert_eq!(heard(ten), ["1001"; 3]);
    for listener in listeners {
        assert_eq!(listener.end(), "closed 1001");
    }
}

#[test]
fn who_comes_back_after_the_goodbye_of_a_restart_finds_the_next_process() {
    let ten = start("stop_timeout = 60");
    let (listener, before) = Listener::held_by(&ten);
    std::thread::scope(|scope| {
        let restart = scope.spawn(|| ten.cli(&["restart", "ws:a"]));
        assert_eq!(listener.end(), "closed 1001");
        let (_again, after) = Listener::held_by(&ten);
        assert_ne!(before, after);
        assert_eq!(restart.join().expect("the command").code, Some(0));
    });
    assert_eq!(heard(&ten), ["1001"]);
}
