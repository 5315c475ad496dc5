//! What people look at.

use anstream::adapter::strip_str;
use jiff::tz::TimeZone;
use ten_api::{Health, HealthReport, Instance, LogLine, State, Stream};

use super::*;

fn instance(name: &str, state: State) -> Instance {
    let (service, id) = name.split_once(':').unwrap();
    Instance {
        instance: name.to_owned(),
        service: service.to_owned(),
        id: id.to_owned(),
        state,
        health: Health::Unknown,
        pid: None,
        memory_bytes: None,
        cpu_ms: None,
        io_read_bytes: None,
        io_written_bytes: None,
        io_reads: None,
        io_writes: None,
        pids: None,
        storage_bytes: None,
        storage_limit_bytes: None,
        uptime_ms: None,
        idle_ms: None,
        restarts: 0,
        in_flight: 0,
        requests: 0,
        weight: 0,
        url: Some(format!("http://{id}.{service}.localhost:8080")),
        address: None,
        last_wake_ms: None,
        last_failure: None,
    }
}

fn running(name: &str) -> Instance {
    Instance {
        health: Health::Healthy,
        pid: Some(4711),
        memory_bytes: Some(64_500_000),
        uptime_ms: Some(312_000),
        idle_ms: Some(12_400),
        requests: 1234,
        weight: 100,
        address: Some("unix:/tmp/tenement/notes-alice.sock".to_owned()),
        last_wake_ms: Some(48),
        ..instance(name, State::Running)
    }
}

#[test]
fn spans_have_two_digits_of_meaning() {
    for (millis, shown) in [
        (0, "0ms"),
        (340, "340ms"),
        (12_999, "12s"),
        (60_000, "1m"),
        (312_000, "5m12s"),
        (11_100_000, "3h5m"),
        (1_051_200_000, "12d4h"),
    ] {
        assert_eq!(span(millis), shown);
    }
}

#[test]
fn the_table_is_aligned() {
    let crashed = Instance { restarts: 2, ..instance("api:prod", State::Backoff) };
    let list = [crashed, running("notes:alice"), instance("notes:bob", State::Sleeping)];
    let text = instances::list(&list, true, None);
    assert_eq!(
        strip_str(&text).to_string(),
        "\
INSTANCE     STATE     HEALTH    PID  UPTIME  IDLE  RESTARTS   MEM  REQS  WEIGHT  ADDRESS
api:prod     backoff   -           -       -     -         2     -     0       0  -
notes:alice  running   healthy  4711   5m12s   12s         0  62MB  1234     100  unix:/tmp/tenement/notes-alice.sock
notes:bob    sleeping  -           -       -     -         0     -     0       0  -
"
    );
}

#[test]
fn storage_is_shown_where_something_limits_it() {
    let limited = |used_mib: u64| Instance {
        storage_bytes: Some(used_mib << 20),
        storage_limit_bytes: Some(100 << 20),
        ..running("notes:alice")
    };
    let text = instances::list(&[limited(79), instance("notes:bob", State::Sleeping)], true, None);
    let lines: Vec<_> = text.lines().map(|line| strip_str(line).to_string()).collect();
    assert!(lines[0].contains("  MEM  STORAGE  REQS"), "{text}");
    assert!(lines[1].contains("  62MB     79MB  1234"), "{text}");
    let warned = instances::list(&[limited(80)], true, None);
    assert_ne!(warned.replace("80MB", "79MB"), instances::list(&[limited(79)], true, None));
}

#[test]
fn a_narrow_terminal_cuts_the_address_at_its_start() {
    let text = instances::list(&[running("notes:alice")], false, Some(100));
    let text = strip_str(&text).to_string();
    let last = text.lines().last().unwrap();
    assert!(last.ends_with("…t/notes-alice.sock"), "{text}");
    assert_eq!(last.chars().count(), 100, "{text}");
}

#[test]
fn what_does_not_fit_is_left_out_from_the_right() {
    let shown = |width| {
        let text = instances::list(&[running("notes:alice")], false, Some(width));
        let text = strip_str(&text).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        text.lines().next().unwrap().split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(shown(120), "ADDRESS");
    assert_eq!(shown(80), "WEIGHT");
    assert_eq!(shown(60), "RESTARTS");
    assert_eq!(shown(12), "INSTANCE");
}

#[test]
fn nothing_is_a_sentence() {
    let empty = instances::list(&[], false, Some(80));
    assert_eq!(empty, "nothing runs; a request or `ten spawn` starts an instance\n");
}

#[test]
fn a_spawned_instance_says_where_it_is() {
    let text = instances::spawned(&running("notes:alice"), true);
    assert_eq!(
        strip_str(&text).to_string(),
        "\
notes:alice is running (48 ms)
  url      http://alice.notes.localhost:8080
  address  unix:/tmp/tenement/notes-alice.sock
"
    );
}

#[test]
fn health_says_what_it_rests_on() {
    let text = instances::health(
        &HealthReport {
            instance: "api:prod".to_owned(),
            state: State::Running,
            health: Health::Degraded,
            checked_ms: Some(3_200),
            failures: 2,
            last_failure: Some("exit status 1".to_owned()),
        },
        &["boom".to_owned()],
    );
    assert_eq!(
        strip_str(&text).to_string(),
        "\
api:prod
  state     running
  health    degraded
  checked   3s ago
  failures  2 in a row
  last end  exit status 1
  it said last
    boom
"
    );
}

#[test]
fn log_lines_are_in_local_time_and_drive_no_terminal() {
    let line = LogLine {
        time: "2026-01-31T12:00:00.123Z".to_owned(),
        instance: "api:prod".to_owned(),
        stream: Stream::Stderr,
        text: "\x1b[2Jbye\tnow\u{9b}31m".to_owned(),
        continued: false,
    };
    let text = logs::line(&line, &TimeZone::fixed(jiff::tz::offset(1)));
    assert_eq!(
        strip_str(&text).to_string(),
        "2026-01-31 13:00:00.123 api:prod  ␛[2Jbye\tnow\u{fffd}31m\n"
    );
}
