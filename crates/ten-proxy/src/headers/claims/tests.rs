//! Whom a list of addresses leads to, and what is not believed.

use http::HeaderMap;
use proptest::prelude::*;

use super::*;

const PEER: &str = "10.0.0.1";

fn claims(lines: &[(&'static str, &str)]) -> Claims {
    let trusted_proxies = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).into();
    let settings = ProxySettings { trusted_proxies, ..ProxySettings::DEFAULT };
    let fields =
        Fields::of(lines.iter().map(|(name, value)| (name.as_bytes(), trim(value.as_bytes()))));
    Claims::of(PEER.parse().unwrap(), &fields, &settings)
}

/// The client and the list passed on, for `lines` of X-Forwarded-For.
fn of(lines: &[&str]) -> (String, String) {
    let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
    let claims = claims(&lines);
    let list = claims.hops.unwrap_or_default();
    (claims.client.to_string(), list)
}

#[test]
fn the_client_is_the_last_that_is_not_trusted() {
    for (lines, client, list) in [
        (&[][..], PEER, ""),
        (&[""], PEER, ""),
        (&["203.0.113.9"], "203.0.113.9", "203.0.113.9"),
        (&["198.51.100.1, 203.0.113.9"], "203.0.113.9", "198.51.100.1, 203.0.113.9"),
        (&["203.0.113.9,10.0.0.2 ,\t10.0.0.3"], "203.0.113.9", "203.0.113.9, 10.0.0.2, 10.0.0.3"),
        (&["203.0.113.9", "10.0.0.2"], "203.0.113.9", "203.0.113.9, 10.0.0.2"),
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3", "10.0.0.3, 10.0.0.2"),
        (&["2001:db8::1, fd00::1"], "2001:db8::1", "2001:db8::1, fd00::1"),
        (
            &["[2001:db8::1]:80, 203.0.113.9:80, ::ffff:10.0.0.2"],
            "203.0.113.9",
            "[2001:db8::1]:80, 203.0.113.9:80, ::ffff:10.0.0.2",
        ),
        (&["[2001:db8::1]"], "2001:db8::1", "[2001:db8::1]"),
    ] {
        assert_eq!(of(lines), (client.to_owned(), list.to_owned()), "{lines:?}");
    }
}

#[test]
fn nonsense_hides_nobody() {
    for (lines, client, list) in [
        (&["nonsense, 203.0.113.9"][..], "203.0.113.9", "203.0.113.9"),
        (&["198.51.100.1, unknown, 203.0.113.9, 10.0.0.2"], "203.0.113.9", "203.0.113.9, 10.0.0.2"),
        (&["203.0.113.9, nonsense"], PEER, ""),
        (&["203.0.113.9,"], PEER, ""),
        (&["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2", "10.0.0.2"),
        (&["203.0.113.9, 010.0.0.2"], PEER, ""),
    ] {
        assert_eq!(of(lines), (client.to_owned(), list.to_owned()), "{lines:?}");
    }
    let long = vec!["198.51.100.1"; 1000].join(", ") + ", 203.0.113.9";
    let (client, list) = of(&[&long]);
    assert_eq!(client, "203.0.113.9");
    assert_eq!(list.split(", ").count(), MAX_HOPS);
}

#[test]
fn ids_hosts_and_schemes_are_taken_over_if_sound() {
    let id = |value: &str| claims(&[("x-request-id", value)]).id.is_some();
    assert!(id("7f9c-2a_b.c:d/e+f=@") && id(&"a".repeat(MAX_ID)));
    assert!(!id("") && !id("a b") && !id("a\"b") && !id("a,b") && !id(&"a".repeat(MAX_ID + 1)));
    let host = |value: &str| claims(&[("x-forwarded-host", value)]).host.is_some();
    assert!(host("shop.example.com") && host("shop.example.com:8443") && host("[2001:db8::1]"));
    assert!(!host("a.example, b.example") && !host("a/b") && !host("") && !host("a@b"));
    let proto = |value: &str| claims(&[("x-forwarded-proto", value)]).proto.is_some();
    assert!(proto("http") && proto("https") && proto("wss"));
    assert!(!proto("https,http") && !proto("") && !proto("javascript"));
    let twice = [("x-request-id", "a"), ("x-request-id", "b")];
    assert!(claims(&twice).id.is_none());
}

#[test]
fn forwarded_is_taken_over_if_sound() {
    let taken = |value: &str| claims(&[("forwarded", value)]).forwarded.is_some();
    for value in [
        "for=192.0.2.1",
        "for=192.0.2.1;proto=https, for=\"[2001:db8::1]:80\" ; host=\"a;b\"",
        "For=\"_a\\\"b\",for=unknown",
        "for=192.0.2.1:80",
    ] {
        assert!(taken(value), "{value}");
    }
    for value in
        ["", "for", "for=", "for=\"a", "for=\"a\\\"", "for=a b", "=a", "for=a,,for=b", "for=a;"]
    {
        assert!(!taken(value), "{value}");
    }
    assert!(!taken(&format!("for={}", "a".repeat(MAX_FORWARDED))));
    let both = claims(&[("forwarded", "for=a"), ("forwarded", "for=b")]);
    assert_eq!(both.forwarded.as_deref(), Some("for=a, for=b"));
}

/// A listener for both families names its clients of IPv4 so.
#[test]
fn an_ipv4_client_is_the_same_in_ipv6() {
    let mapped = Origin::peer("::ffff:192.0.2.1".parse().unwrap());
    assert_eq!(mapped.address.to_string(), "192.0.2.1");
}

#[test]
fn what_is_said_stands_before_what_is_known() {
    let said = claims(&[
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "a/b"),
        ("forwarded", "for=203.0.113.9"),
    ]);
    let (peer, mut headers) = (Peer::new(format!("{PEER}:1").parse().unwrap()), HeaderMap::new());
    let origin = Origin { address: said.client, claims: Some(Box::new(said)) };
    origin.write(&peer, Some(b"own.example"), &mut headers);
    assert_eq!(headers["x-forwarded-for"], "203.0.113.9, 10.0.0.1");
    assert_eq!(headers["x-forwarded-host"], "own.example");
    assert_eq!(headers["x-forwarded-proto"], "https");
    let own = "for=10.0.0.1;host=\"own.example\";proto=http";
    assert_eq!(headers["forwarded"], format!("for=203.0.113.9, {own}"));
}

proptest! {
    /// Whatever a client writes before it, the address that a trusted proxy adds is the client.
    #[test]
    fn what_clients_write_changes_nothing(forged in "[ -~\t]{0,80}") {
        let lines = [forged.as_str(), "203.0.113.9, 10.0.0.2"];
        prop_assert_eq!(of(&lines).0, "203.0.113.9");
        let line = format!("{forged},203.0.113.9");
        prop_assert_eq!(of(&[&line]).0, "203.0.113.9");
    }
}
