use std::{sync::Arc, time::Duration};

use super::*;
use crate::*;

fn service(name: &str, listen: Listen) -> (ServiceName, Arc<ServiceSpec>) {
    let name: ServiceName = name.parse().unwrap();
    let spec = ServiceSpec { listen, ..ServiceSpec::plain(name.as_str()) };
    (name, Arc::new(spec))
}

fn config(routing: Routing) -> Config {
    Config {
        folder: "/".into(),
        settings: Settings {
            data_dir: "/d".into(),
            admin_host: Some("ten.example.com".into()),
            backoff: Backoff { base: Duration::ZERO, max: Duration::ZERO },
            crash_limit: CrashLimit { max_restarts: 0, window: Duration::ZERO },
            trash_retention: Duration::from_secs(60),
            proxy: ProxySettings::DEFAULT,
            tls: None,
        },
        services: [
            service("api", Listen::Auto),
            service("admin-service", Listen::Auto),
            service("worker", Listen::None),
        ]
        .into(),
        instances: vec![],
        routing,
    }
}

fn routed() -> Routing {
    let to = |name: &str| name.parse::<ServiceName>().unwrap();
    Routing {
        default: Some(to("api")),
        subdomain: [("admin".into(), to("admin-service"))].into(),
        path: [("/api".into(), to("api")), ("/api/admin".into(), to("admin-service"))].into(),
    }
}

/// The outcome as one word: `api:prod`, `api`, `management`, `unknown`, `misdirected`.
fn at(table: &RouteTable, host: &str, path: &str) -> String {
    let local = Some("10.0.0.1".parse().unwrap());
    match table.resolve(&Host::parse(host).unwrap(), path, None, local) {
        Ok(Route::Instance(name)) => name.to_string(),
        Ok(Route::Service(name)) => name.to_string(),
        Ok(Route::Management) => "management".into(),
        Err(RouteError::Unknown) => "unknown".into(),
        Err(RouteError::Misdirected) => "misdirected".into(),
    }
}

#[test]
fn instances_have_two_spellings() {
    let table = RouteTable::new("example.com", &config(Routing::default()));
    for (host, want) in [
        ("prod.api.example.com", "api:prod"),
        ("prod--api.example.com", "api:prod"),
        ("PROD.Api.Example.Com.", "api:prod"),
        ("prod.nope.example.com", "unknown"),
        ("prod--nope.example.com", "unknown"),
        ("a.prod.api.example.com", "unknown"),
        ("a--b.api.example.com", "unknown"),
        ("a---api.example.com", "unknown"),
        ("-a.api.example.com", "unknown"),
        ("a_b.api.example.com", "unknown"),
        ("one.worker.example.com", "unknown"),
        ("worker.example.com", "unknown"),
        ("prod.api.other.com", "unknown"),
        ("prod.api.notexample.com", "unknown"),
        ("api.example.com", "api"),
        ("nope.example.com", "unknown"),
    ] {
        assert_eq!(at(&table, host, "/"), want, "{host}");
    }
}

#[test]
fn management_has_its_own_hosts() {
    let bare = RouteTable::new("example.com", &config(Routing::default()));
    let routed = RouteTable::new("example.com", &config(routed()));
    for (host, without, with) in [
        ("example.com", "management", "api"),
        ("localhost", "management", "management"),
        ("ten.example.com", "management", "management"),
        ("10.0.0.1", "management", "management"),
        ("10.0.0.2", "unknown", "unknown"),
        ("admin.example.com", "unknown", "admin-service"),
    ] {
        assert_eq!(at(&bare, host, "/"), without, "{host} without routing");
        assert_eq!(at(&routed, host, "/"), with, "{host} with routing");
    }
}

#[test]
fn the_longest_prefix_wins_on_whole_segments() {
    let table = RouteTable::new("example.com", &config(routed()));
    for (path, want) in [
        ("/api", "api"),
        ("/api/admin", "admin-service"),
        ("/api/admin/x", "admin-service"),
        ("/api/administrator", "api"),
        ("/apix", "api"),
    ] {
        assert_eq!(at(&table, "example.com", path), want, "{path}");
    }
    let only_paths = Routing { default: None, ..routed() };
    let table = RouteTable::new("example.com", &config(only_paths));
    assert_eq!(at(&table, "example.com", "/apix"), "unknown");
    assert_eq!(at(&table, "example.com", "/"), "unknown");
}

#[test]
fn tenants_take_the_domain_even_where_it_is_localhost() {
    let table = RouteTable::new("localhost", &config(routed()));
    assert_eq!(at(&table, "localhost", "/"), "api");
    assert_eq!(at(&table, "prod.api.localhost", "/"), "api:prod");
}

#[test]
fn a_connection_made_for_another_name_is_misdirected() {
    let table = RouteTable::new("example.com", &config(Routing::default()));
    let host = Host::parse("prod.api.example.com").unwrap();
    let with = |sni| table.resolve(&host, "/", Some(sni), None);
    assert_eq!(with("other.api.example.com"), Err(RouteError::Misdirected));
    assert!(with("PROD.api.example.com").is_ok());
}
