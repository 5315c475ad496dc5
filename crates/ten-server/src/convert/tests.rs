//! What callers get to see.

use std::{path::PathBuf, str::FromStr};

use ten_domain::Address;
use ten_kernel::Usage;

use super::*;

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

fn view(state: State) -> InstanceView {
    InstanceView {
        name: name("api:prod"),
        state,
        pid: Some(42),
        usage: Usage::default(),
        storage: None,
        storage_limit: None,
        uptime: Some(Duration::from_millis(1500)),
        idle: None,
        restarts: 1,
        in_flight: 2,
        requests: 3,
        weight: Weight::FULL,
        address: Some(Address::Unix(PathBuf::from("/run/a.sock"))),
        health_failures: 1,
        health_checked: Some(Duration::from_secs(3)),
        last_failure: None,
        last_wake: Some(Duration::from_micros(1999)),
    }
}

#[test]
fn urls_leave_out_the_usual_port() {
    for (scheme, port, want) in [
        ("http", 80, "http://prod.api.example.com"),
        ("http", 8080, "http://prod.api.example.com:8080"),
        ("https", 443, "https://prod.api.example.com"),
        ("https", 80, "https://prod.api.example.com:80"),
    ] {
        let site = Site { scheme, domain: "example.com".to_owned(), port };
        assert_eq!(site.url(&name("api:prod")), want);
    }
}

#[test]
fn health_is_unknown_unless_it_runs() {
    for (given, shown, verdict) in [
        (State::Sleeping, api::State::Sleeping, api::Health::Unknown),
        (State::Running(Health::Degraded), api::State::Running, api::Health::Degraded),
        (State::Failed, api::State::Failed, api::Health::Unknown),
    ] {
        let report = health(view(given));
        assert_eq!((report.state, report.health), (shown, verdict));
        assert_eq!((report.failures, report.checked_ms), (1, Some(3000)));
    }
}

#[test]
fn names_are_refused_with_their_rule() {
    for (service, id, detail) in [
        ("api", "..", "\"..\" contains '.'; a name has only a-z, 0-9 and '-'"),
        ("api", "Prod", "\"Prod\" contains 'P'; a name has only a-z, 0-9 and '-'"),
        ("", "prod", "\"\" is empty; a name has 1 to 63 characters"),
    ] {
        let problem = instance_name(service, id).unwrap_err();
        assert_eq!((problem.kind, problem.status), (ProblemType::BadName, 400));
        assert_eq!(problem.detail, detail);
    }
}

#[test]
fn every_denial_has_a_status_and_a_way_out() {
    let (service, instance) = (name("api:prod").service, name("api:prod"));
    let all = [
        (Denied::UnknownService(service.clone()), 404),
        (Denied::UnknownInstance(instance.clone()), 404),
        (Denied::TooManyRunning { service: service.clone(), limit: 3 }, 409),
        (Denied::TooManyFiles { limit: 3 }, 409),
        (Denied::TooManyKnown { service, limit: 3 }, 409),
        (Denied::NotStarted { instance: instance.clone(), reason: "exit 1".into() }, 502),
        (Denied::Superseded(instance), 409),
        (Denied::NoRoom("no room".into()), 507),
        (Denied::NotStored { reason: "no room".into(), full: true }, 507),
        (Denied::NotStored { reason: "an I/O error".into(), full: false }, 500),
        (Denied::ShuttingDown, 503),
    ];
    for (reason, status) in all {
        let problem = denied(reason.clone());
        assert_eq!(problem.status, status, "{reason:?}");
        assert_eq!(problem.detail, reason.to_string());
        assert!(problem.hint.is_some(), "{reason:?}");
    }
}

#[test]
fn log_queries_are_checked() {
    let ask = |change: fn(&mut api::LogQuery)| {
        let mut wire = api::LogQuery::default();
        change(&mut wire);
        query(wire)
    };
    assert_eq!(ask(|_| {}).unwrap().limit, DEFAULT_LINES);
    let since = ask(|q| q.since = Some("2026-01-31T12:00:00+01:00".into())).unwrap().since;
    assert_eq!(since, Some(Timestamp::from_str("2026-01-31T11:00:00Z").unwrap()));
    for bad in [
        ask(|q| q.since = Some("5m".into())),
        ask(|q| q.limit = Some(MAX_LINES + 1)),
        ask(|q| q.id = Some("..".into())),
    ] {
        assert_eq!(bad.unwrap_err().status, 400);
    }
}
