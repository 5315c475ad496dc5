//! The value of a Host, and whom it is for.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use proptest::{collection::vec, prelude::*, sample::select, strategy::ValueTree, test_runner};
use ten_domain::{Host, HostError, Protocol, Route, RouteError, RouteTable};

use super::cases;
use crate::tests::config;

/// Of what hosts are made, and of what they are not.
const PIECES: [&str; 48] = [
    "a",
    "A",
    "z9",
    "b-c",
    "-",
    "--",
    "---",
    "_",
    ".",
    "..",
    ":",
    ":80",
    ":080",
    ":0",
    ":65535",
    ":65536",
    ":+1",
    "[",
    "]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[fe80::1%25eth0]",
    "::1",
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "1.2.3",
    "@",
    "/",
    "\\",
    "%2e",
    "%00",
    "\0",
    "\r\n",
    " ",
    "\t",
    "?",
    "#",
    "*",
    "\u{130}",
    "\u{212a}",
    "\u{ff0e}",
    "xn--nxasmq6b",
    "api",
    "web",
    "admin",
    "localhost",
    "example.com",
];

fn text() -> impl Strategy<Value = String> {
    let long = (select(&PIECES[..]), 0..300_usize).prop_map(|(piece, times)| piece.repeat(times));
    let pieces = vec(select(&PIECES[..]), 0..8).prop_map(|pieces| pieces.concat());
    prop_oneof![4 => pieces, 1 => long, 1 => "\\PC{0,20}", 1 => "[a-zA-Z0-9.:_-]{0,300}"]
}

/// Names below and beside `example.com`.
fn name() -> impl Strategy<Value = String> {
    const LABELS: [&str; 16] = [
        "a",
        "A1",
        "a-b",
        "a--b",
        "-a",
        "a-",
        "api",
        "API",
        "web",
        "worker",
        "admin",
        "other",
        "example",
        "com",
        "localhost",
        "",
    ];
    let labels = vec((select(&LABELS[..]), select(&[".", "--"][..])), 0..4);
    let prefix = labels.prop_map(|labels| {
        labels.into_iter().map(|(label, end)| label.to_owned() + end).collect::<String>()
    });
    let domains =
        select(&["example.com", "EXAMPLE.com", "example.com.", "xexample.com", "com"][..]);
    (prefix, domains).prop_map(|(prefix, domain)| prefix + domain)
}

pub(super) fn table() -> RouteTable {
    let mut config = config(Protocol::Http1);
    let api = Arc::clone(&config.services["api"]);
    config.services.insert("web".parse().unwrap(), api);
    config.routing.subdomain.insert("admin".into(), "api".parse().unwrap());
    RouteTable::new("example.com", &config)
}

proptest! {
    #![proptest_config(cases(50_000))]

    /// A name is what was written up to its port, in lower case, and nothing else.
    #[test]
    fn a_host_is_what_was_written(text in text()) {
        let lower = text.to_ascii_lowercase();
        let host = Host::parse(&text);
        prop_assert_eq!(&host, &Host::parse(&lower));
        match host {
            Ok(Host::Name(name)) => {
                let rest = lower.strip_prefix(&name).expect("a name is the beginning");
                let port = rest.strip_prefix('.').unwrap_or(rest);
                let digits = port.strip_prefix(':').unwrap_or("");
                let legal = port.is_empty() || digits.is_empty() || digits.parse::<u16>().is_ok();
                prop_assert!(legal && digits.bytes().all(|byte| byte.is_ascii_digit()), "{}", rest);
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
                prop_assert!(name.bytes().all(plain) && name.len() <= 253);
                prop_assert_eq!(Host::parse(&name), Ok(Host::Name(name.clone())));
            }
            Ok(Host::Ip(ip)) => {
                let mapped = matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
                prop_assert!(!mapped, "an IPv4 address has one spelling");
                let again = match ip {
                    IpAddr::V4(ip) => ip.to_string(),
                    IpAddr::V6(ip) => format!("[{ip}]:443"),
                };
                prop_assert_eq!(Host::parse(&again), Ok(Host::Ip(ip)));
            }
            Err(_) => {}
        }
    }

    /// An instance answers for its two names only, a service for its own, we for ours.
    #[test]
    fn each_route_has_its_names(text in prop_oneof![text(), name()], path in "[/a-z]{0,9}") {
        let Ok(host) = Host::parse(&text) else { return Ok(()) };
        let route = table().resolve(&host, &path, None, None);
        let Host::Name(name) = host else {
            prop_assert_eq!(route, Err(RouteError::Unknown));
            return Ok(());
        };
        match route {
            Ok(Route::Instance(instance)) => {
                let (id, service) = (instance.id.as_str(), instance.service.as_str());
                let names = [".", "--"].map(|sign| format!("{id}{sign}{service}.example.com"));
                prop_assert!(names.contains(&name), "{name} is not {names:?}");
                prop_assert!(["api", "web"].contains(&service));
            }
            Ok(Route::Service(service)) => {
                let names = ["api", "web"].map(|own| (format!("{own}.example.com"), own));
                let admin = ("admin.example.com".to_owned(), "api");
                let found = names.into_iter().chain([admin]).find(|(own, _)| *own == name);
                prop_assert_eq!(found.map(|(_, own)| own), Some(service.as_str()));
            }
            Ok(Route::Management) => {
                prop_assert!(["example.com", "localhost"].contains(&&*name), "{name} is ours");
            }
            Err(error) => prop_assert_eq!(error, RouteError::Unknown),
        }
    }

    /// Every id has both of its names, however they are written.
    #[test]
    fn each_instance_is_found(id in "[a-z0-9](-?[a-z0-9]){0,20}", upper in any::<bool>()) {
        for sign in [".", "--"] {
            let name = format!("{id}{sign}web.example.com");
            let name = if upper { name.to_ascii_uppercase() + ".:80" } else { name };
            let route = table().resolve(&Host::parse(&name).unwrap(), "/", None, None);
            let Ok(Route::Instance(instance)) = route else {
                return Err(TestCaseError::fail(format!("{name}: {route:?}")));
            };
            prop_assert_eq!((instance.id.as_str(), instance.service.as_str()), (&*id, "web"));
        }
    }

    /// A connection that was made for one name never serves another.
    #[test]
    fn the_name_of_the_connection_counts(text in name(), sni in name()) {
        let Ok(host @ Host::Name(_)) = Host::parse(&text) else { return Ok(()) };
        let route = table().resolve(&host, "/", Some(&sni), None);
        let same = matches!(&host, Host::Name(name) if name.eq_ignore_ascii_case(&sni));
        prop_assert_eq!(route == Err(RouteError::Misdirected), !same);
    }

    /// An address is ours where the connection has come to it, and nobody's else.
    #[test]
    fn an_address_is_ours_or_nobodys(bits in any::<u128>(), other in any::<u32>(), own in any::<bool>()) {
        let ip = IpAddr::V6(Ipv6Addr::from(bits)).to_canonical();
        let local = if own { ip } else { IpAddr::V4(other.into()) };
        let route = table().resolve(&Host::Ip(ip), "/", None, Some(local));
        prop_assert_eq!(route.is_ok(), ip == local);
    }
}

#[test]
fn the_generators_make_hosts_of_every_kind() {
    let mut runner = test_runner::TestRunner::deterministic();
    let mut routes = || {
        let text = prop_oneof![text(), name()].new_tree(&mut runner).unwrap().current();
        Host::parse(&text).map(|host| table().resolve(&host, "/", None, None))
    };
    let routes: Vec<_> = (0..2_000).map(|_| routes()).collect();
    let count = |of: fn(&Result<Result<Route, RouteError>, HostError>) -> bool| {
        routes.iter().filter(|route| of(route)).count()
    };
    assert!(count(|route| matches!(route, Ok(Ok(Route::Instance(_))))) > 5);
    assert!(count(|route| matches!(route, Ok(Ok(Route::Service(_))))) > 5);
    assert!(count(|route| matches!(route, Ok(Ok(Route::Management)))) > 5);
    assert!(count(|route| matches!(route, Ok(Err(RouteError::Unknown)))) > 100);
    assert!(count(|route| route.is_err()) > 100);
}
