//! HTTP/2 without TLS, by prior knowledge (RFC 9113): what it says, case by case; clients that
//! flood, and clients that take their time; and clients that others wrote (FAULTS b10, c15).

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use ten_conformance::{Echo, HOST, python, service, strict::Rest};
use ten_testkit::{Checksum, Request, Ten, http, tenant_binary};

/// The instance of those who do nothing wrong.
const HEALTHY: &str = "b.up.localhost";
const PATIENCE: Duration = Duration::from_secs(20);
/// What a healthy client may have to wait, whatever others do.
const PROMPTLY: Duration = Duration::from_millis(500);
/// Most memory that attacks may cost the process that they reach.
const MAX_GROWTH_KB: u64 = 64 << 10;
/// Most lines that attacks may leave in the log.
const MAX_LINES: usize = 100;
/// The outcome of a flood that cost nothing, or that ended the connection.
const CALM: &str = "goaway ENHANCE_YOUR_CALM";
const BROKEN: &str = "goaway PROTOCOL_ERROR";

/// One of the clients in `clients`.
fn client(name: &str, ten: &Ten, host: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("clients/{name}.py"));
    let mut command = python();
    command.arg(path).arg(ten.address().to_string()).arg(host);
    command
}

/// What a program wrote that must succeed.
fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}\n{stderr}\n{stdout}");
    stdout
}

#[test]
fn the_rules_of_the_rfc() {
    let mut echo = Echo::start("", "");
    let told = said(&mut client("http2_rules", echo.ten(), HOST));
    let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
    for arrival in echo.settle() {
        assert!(!matches!(arrival.rest, Rest::Fault(_)), "no request: {arrival:?}");
        for request in arrival.requests {
            let case = request.header("x-case").expect("every case says its number");
            *arrived.entry(String::from_utf8_lossy(case).into()).or_default() += 1;
        }
    }
    assert!(told.lines().count() > 200, "{told}");
    for line in told.lines() {
        let (case, reached) = line.split_once(' ').expect("two words");
        let count = arrived.remove(case).unwrap_or(0);
        let fits = match reached {
            "yes" => count == 1,
            "no" => count == 0,
            _ => count <= 1,
        };
        assert!(fits, "case {case} reached the instance {count} times, but should it? {reached}");
    }
    assert!(arrived.is_empty(), "nobody sent these: {arrived:?}");
}

/// A server with an instance that is awake, one whose wake takes longer than any flood, and
/// little patience.
fn start() -> Ten {
    start_with("")
}

/// With these further settings.
fn start_with(settings: &str) -> Ten {
    let tenant = tenant_binary().display().to_string();
    let config = [
        "[settings.proxy]\nhead_timeout = 2\nbody_timeout = 1\nidle_timeout = 1\n".to_owned(),
        settings.to_owned(),
        service("up", &tenant, ""),
        service("asleep", &format!("{tenant} --startup-delay-ms 3000"), ""),
    ];
    let ten = Ten::with_config(&config.concat()).start();
    for host in ["a.up.localhost", HEALTHY] {
        assert_eq!(ten.get(host, "/").status, 200);
    }
    ten
}

/// A number of kB in /proc/PID/status (proc(5)).
fn memory(ten: &Ten, field: &str) -> u64 {
    let front = ten.front().expect("the server runs");
    let status = fs::read_to_string(format!("/proc/{front}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    number.unwrap_or_else(|| panic!("no {field}: {status}"))
}

/// Runs a client while another one asks again and again. What the first said, and how long the
/// other had to wait at most.
fn beside_a_healthy_one(ten: &Ten, command: &mut Command) -> (String, Duration) {
    let (tell_end, end) = mpsc::channel::<()>();
    let address = ten.address();
    thread::scope(|scope| {
        let healthy = scope.spawn(move || {
            let mut worst = Duration::ZERO;
            while end.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
                let began = Instant::now();
                let answer = http::send(address, &Request::get(HEALTHY, "/"));
                assert_eq!(answer.expect("an answer").status, 200);
                worst = worst.max(began.elapsed());
            }
            worst
        });
        let told = said(command);
        drop(tell_end);
        (told, healthy.join().expect("the healthy client"))
    })
}

/// Runs floods one after the other. Each ends as it should, and none is felt by others.
fn endure(host: &str, floods: &[(&str, &[&str])]) {
    let ten = start();
    let before = memory(&ten, "VmRSS");
    for (name, expected) in floods {
        let mut flood = client("http2_floods", &ten, host);
        let (told, worst) = beside_a_healthy_one(&ten, flood.arg(name));
        let outcome = told.trim_end().strip_prefix(name).map(str::trim).unwrap_or_default();
        assert!(expected.contains(&outcome), "{name}: {outcome} where {expected:?} was expected");
        assert!(worst < PROMPTLY, "{name}: another client waited for {worst:?}");
        let growth = memory(&ten, "VmHWM").saturating_sub(before);
        assert!(growth < MAX_GROWTH_KB, "{name}: {growth} kB");
        let lines = ten.server_lines().len();
        assert!(lines < MAX_LINES, "{name}: {lines} lines in the log");
    }
}

#[test]
fn floods_of_requests() {
    let floods: [(_, &[_]); 4] = [
        ("rapid_reset", &[CALM]),
        ("rapid_reset_by_fault", &[BROKEN, CALM]),
        ("refused_streams", &[CALM, "reset REFUSED_STREAM"]),
        ("malformed_requests", &[CALM]),
    ];
    endure("a.up.localhost", &floods);
    endure("a.asleep.localhost", &floods);
}

#[test]
fn floods_of_frames() {
    let floods: [(_, &[_]); 14] = [
        ("continuation", &[CALM]),
        ("empty_continuation", &[CALM, BROKEN]),
        ("empty_data", &[CALM, BROKEN]),
        ("padded_data", &[CALM, BROKEN]),
        ("settings", &[BROKEN]),
        ("long_settings", &[BROKEN]),
        ("ping", &[BROKEN]),
        ("answers_to_no_ping", &[BROKEN]),
        ("answers_to_no_settings", &[BROKEN]),
        ("priority", &[BROKEN]),
        ("unknown_frames", &[BROKEN]),
        // These cost nothing but the reading of them.
        ("window_updates", &["200"]),
        ("window_updates_of_a_stream", &["408"]),
        ("tiny_data", &["200"]),
    ];
    endure("a.up.localhost", &floods[..13]);
    endure("a.asleep.localhost", &floods[13..]);
}

#[test]
fn the_settings_say_how_many_frames_are_too_many() {
    let strict = "max_useless_frames = 50\nuseless_frames_per_second = 1\n";
    for (settings, outcome) in [("", "200"), (strict, BROKEN)] {
        let ten = start_with(settings);
        let told = said(client("http2_floods", &ten, "a.up.localhost").arg("some_pings"));
        assert_eq!(told.trim_end(), format!("some_pings {outcome}"), "{settings}");
    }
}

#[test]
fn headers_that_grow() {
    endure("a.up.localhost", &[("bomb", &[CALM, "431"]), ("tables", &[CALM])]);
}

#[test]
fn answers_that_nobody_takes() {
    endure("a.up.localhost", &[("closed_windows", &["closed"])]);
    endure("a.up.localhost", &[("small_windows", &["closed"])]);
}

#[test]
fn slow_clients_are_given_up() {
    let ten = start();
    let mut slow = client("http2_slow", &ten, "a.up.localhost");
    let (told, worst) = beside_a_healthy_one(&ten, &mut slow);
    assert!(worst < PROMPTLY, "another client waited for {worst:?}\n{told}");
    assert_eq!(told.lines().count(), 12, "{told}");
    for line in told.lines() {
        let mut words = line.split(' ').skip(1);
        let seconds: f64 = words.next().and_then(|word| word.parse().ok()).expect("a number");
        let ended = words.all(|outcome| !matches!(outcome, "nothing" | "error" | "200"));
        assert!(ended && seconds < 6.0, "endured for too long: {line}\n{told}");
    }
}

#[test]
fn an_upload_that_stalls_keeps_nobody_awake() {
    let tenant = tenant_binary().display().to_string();
    let settings = "[settings.proxy]\nbody_timeout = 1\n";
    let ten =
        Ten::with_config(&(settings.to_owned() + &service("up", &tenant, "idle_timeout = 1")));
    let ten = ten.start();
    let mut slow = client("http2_slow", &ten, "a.up.localhost");
    let mut slow = slow.stdout(Stdio::null()).spawn().expect("python starts");
    let running = || !ten.processes_of("up:a").is_empty();
    ten.wait_until("an upload has begun", PATIENCE, running);
    ten.wait_until("the instance sleeps", Duration::from_secs(8), || !running());
    assert_eq!(slow.try_wait().expect("our child"), None, "the clients are still there");
    slow.kill().expect("our child");
    slow.wait().expect("our child");
}

#[test]
fn uploads_that_nobody_reads_give_their_room_back() {
    let ten = start();
    let told = said(&mut client("http2_uploads", &ten, "a.up.localhost"));
    assert_eq!(told.lines().count(), 7, "{told}");
    assert!(told.lines().all(|line| line.ends_with(" 200")), "{told}");
}

/// nghttp2's programs.
fn tool(name: &str, ten: &Ten, path: &str) -> Command {
    let mut command = Command::new(name);
    command.arg("--header=:authority: a.up.localhost");
    command.arg(format!("http://{}{path}", ten.address()));
    command
}

#[test]
fn ten_megabytes_each_way() {
    let ten = start();
    let down = tool("nghttp", &ten, "/stream?chunks=100&bytes=100000").output();
    let down = down.expect("nghttp starts");
    let direct = ten.get("a.up.localhost", "/stream?chunks=100&bytes=100000").body;
    assert_eq!(direct.len(), 10_000_000);
    assert_eq!(Checksum::of(&down.stdout), Checksum::of(&direct));
    let file = ten.data_dir().join("body");
    fs::write(&file, &direct).expect("written");
    let up = said(tool("nghttp", &ten, "/body").arg("--data").arg(&file));
    assert_eq!(up, Checksum::of(&direct).to_string());
}

#[test]
fn a_hundred_requests_at_once() {
    let ten = start();
    let mut load = tool("h2load", &ten, "/headers");
    let told = said(load.args(["--requests=5000", "--clients=4", "--max-concurrent-streams=100"]));
    let all = "5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed, 0 errored, 0 timeout";
    assert!(told.contains(all), "{told}");
}
