//! Proxies before ten: which of them are believed, and what.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LINE: &str = "PROXY TCP4 203.0.113.9 198.51.100.1 4711 80\r\n";
const CLOSE: &str = "Connection: close\r\n\r\n";

/// Clients of the tests, all of which are from 127.0.0.1, are trusted proxies.
fn trusting() -> ProxySettings {
    let trusted_proxies = vec!["127.0.0.1/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    ProxySettings { trusted_proxies, ..ProxySettings::DEFAULT }
}

fn with_proxy_protocol() -> ProxySettings {
    ProxySettings { proxy_protocol: true, ..trusting() }
}

/// What the instance was sent for `request`.
async fn sent(settings: ProxySettings, request: impl AsRef<[u8]>) -> String {
    let (address, seen) = answering(OK).await;
    let world = World::allowing(settings, vec![address]);
    let answer = world.ask(request).await;
    assert!(answer.ends_with("ok"), "{answer}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    seen[0].clone()
}

#[tokio::test]
async fn a_header_of_the_proxy_protocol_says_who_the_client_is() {
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([203, 0, 113, 9, 198, 51, 100, 1, 0x12, 0x67, 0, 80]);
    let request = format!("{GET}X-Forwarded-For: 192.0.2.7\r\n{CLOSE}");
    for header in [LINE.as_bytes(), &v2] {
        let request = [header, request.as_bytes()].concat();
        let seen = sent(with_proxy_protocol(), request).await;
        // The client itself is not trusted, so what it says is not believed.
        assert_eq!(header_of(&seen, "x-forwarded-for"), "203.0.113.9");
        assert!(header_of(&seen, "forwarded").starts_with("for=203.0.113.9;"));
    }
}

fn header_of<'a>(message: &'a str, name: &str) -> &'a str {
    header(message, name).unwrap_or_default()
}

#[tokio::test]
async fn a_header_comes_in_any_pieces_and_before_any_version() {
    let (address, _) = answering(OK).await;
    let world = World::allowing(with_proxy_protocol(), vec![address]);
    let mut client = world.client().await;
    client.0.set_nodelay(true).unwrap();
    for byte in format!("{LINE}{GET}{CLOSE}").bytes() {
        client.write([byte]).await;
        tokio::task::yield_now().await;
    }
    assert!(client.rest().await.ends_with("ok"));

    let mut client = world.client().await;
    client.write(format!("{LINE}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).await;
    // The head of a SETTINGS frame (RFC 9113, section 6.5): its type and no flags.
    let mut head = [0; 9];
    soon(client.0.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[3..5], [4, 0]);
}

#[tokio::test]
async fn a_proxy_that_asks_for_itself_is_itself() {
    for (header, forwarded_for) in [
        (&b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0"[..], "192.0.2.7, 127.0.0.1"),
        // Of somebody unknown nothing is believed.
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ] {
        let request = format!("{GET}X-Forwarded-For: 192.0.2.7\r\n{CLOSE}");
        let seen = sent(with_proxy_protocol(), [header, request.as_bytes()].concat()).await;
        assert_eq!(header_of(&seen, "x-forwarded-for"), forwarded_for);
    }
}

#[tokio::test]
async fn a_trusted_peer_without_a_header_is_refused() {
    let (address, seen) = answering(OK).await;
    let world = World::allowing(with_proxy_protocol(), vec![address]);
    assert_eq!(world.ask(format!("{GET}{CLOSE}")).await, "");
    assert_eq!(world.ask(format!("PROXY TCP4 a b 1 2\r\n{GET}{CLOSE}")).await, "");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_header_is_waited_for_as_long_as_for_a_head() {
    let world = World::allowing(with_proxy_protocol(), vec![Address::Unix("/nowhere".into())]);
    let mut client = world.client().await;
    client.write("PROXY TCP4 ").await;
    let start = tokio::time::Instant::now();
    assert_eq!(client.0.read(&mut [0]).await.unwrap(), 0);
    let head_timeout = ProxySettings::DEFAULT.head_timeout;
    assert!(start.elapsed() >= head_timeout && start.elapsed() < head_timeout * 2);
}

#[tokio::test]
async fn a_header_from_anybody_else_is_a_malformed_request() {
    let (address, seen) = answering(OK).await;
    let stranger = ProxySettings { trusted_proxies: vec![], ..with_proxy_protocol() };
    for settings in [stranger, trusting()] {
        let world = World::allowing(settings, vec![address.clone()]);
        for header in [LINE.as_bytes(), b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0"] {
            let request = [header, GET.as_bytes(), CLOSE.as_bytes()].concat();
            let answer = world.ask(request).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        }
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn connections_behind_a_proxy_count_for_their_clients() {
    let (address, _) = answering(OK).await;
    let settings = ProxySettings { max_connections_per_ip: 1, ..with_proxy_protocol() };
    let world = World::allowing(settings, vec![address]);
    let mut first = world.client().await;
    first.write(format!("{LINE}{GET}\r\n")).await;
    first.until("ok").await.unwrap();
    assert_eq!(world.ask(format!("{LINE}{GET}{CLOSE}")).await, "");
    let other = LINE.replace("203.0.113.9", "203.0.113.10");
    assert!(world.ask(format!("{other}{GET}{CLOSE}")).await.ends_with("ok"));
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let said = "X-Forwarded-For: 198.51.100.1, 203.0.113.9, 10.0.0.2\r\n\
                X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n\
                Forwarded: for=203.0.113.9;proto=https\r\nX-Request-Id: abc-1\r\n";
    let seen = sent(trusting(), format!("{GET}{said}X_Forwarded_For: 1\r\n{CLOSE}")).await;
    let of = |name| header_of(&seen, name);
    assert_eq!(of("x-forwarded-for"), "198.51.100.1, 203.0.113.9, 10.0.0.2, 127.0.0.1");
    assert_eq!(of("x-forwarded-proto"), "https");
    assert_eq!(of("x-forwarded-host"), "shop.example");
    assert_eq!(of("x-request-id"), "abc-1");
    assert_eq!(of("host"), "a.api.example.com");
    let own = "for=127.0.0.1;host=\"a.api.example.com\";proto=http";
    assert_eq!(of("forwarded"), format!("for=203.0.113.9;proto=https, {own}"));
    assert_eq!(of("x_forwarded_for"), "");
}

/// Most proxies write `X-Forwarded-*` alone, and an instance may read `Forwarded`.
#[tokio::test]
async fn what_a_trusted_proxy_says_one_way_is_said_the_other_way_too() {
    let said = "X-Forwarded-For: 2001:db8::9\r\nX-Forwarded-Proto: https\r\n";
    let seen = sent(trusting(), format!("{GET}{said}{CLOSE}")).await;
    let own = "for=127.0.0.1;host=\"a.api.example.com\";proto=http";
    let want = format!("for=\"[2001:db8::9]\";proto=\"https\", {own}");
    assert_eq!(header_of(&seen, "forwarded"), want);
}

#[tokio::test]
async fn each_request_of_a_trusted_proxy_has_its_own_client() {
    let world = World::allowing(trusting(), vec![Address::Unix("/nowhere".into())]);
    let mut proxy = world.client().await;
    for (said, client) in [
        ("X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"),
        ("X-Forwarded-For: 203.0.113.9, 10.1.1.1\r\n", "203.0.113.9"),
        ("X-Forwarded-For: nonsense\r\n", "127.0.0.1"),
        ("", "127.0.0.1"),
    ] {
        let end = format!("management / {client}");
        proxy.write(format!("GET / HTTP/1.1\r\nHost: example.com\r\n{said}\r\n")).await;
        assert!(proxy.until(&end).await.is_some(), "{said}");
    }
}

#[tokio::test]
async fn strangers_are_not_believed() {
    let said = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
                X-Forwarded-Host: shop.example\r\nForwarded: for=203.0.113.9\r\n\
                X-Request-Id: abc-1\r\n";
    let seen = sent(ProxySettings::DEFAULT, format!("{GET}{said}{CLOSE}")).await;
    let of = |name| header_of(&seen, name);
    assert_eq!(of("x-forwarded-for"), "127.0.0.1");
    assert_eq!(of("x-forwarded-proto"), "http");
    assert_eq!(of("x-forwarded-host"), "a.api.example.com");
    assert!(of("forwarded").starts_with("for=127.0.0.1;"));
    assert_ne!(of("x-request-id"), "abc-1");
}

#[tokio::test]
async fn where_a_request_goes_only_its_host_says() {
    let world = World::allowing(trusting(), vec![Address::Unix("/nowhere".into())]);
    let request = "GET / HTTP/1.1\r\nHost: unknown.example\r\n\
                   X-Forwarded-Host: a.api.example.com\r\nX-Request-Id: abc-2\r\n";
    let answer = world.ask(format!("{request}{CLOSE}")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert_eq!(header(&answer, "x-request-id"), Some("abc-2"));
}
