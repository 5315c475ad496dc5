//! Each malformed or doubtful input reaches the instance as exactly zero or one request.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HOST: &str = "Host: a.api.example.com\r\n";

/// Sends `input` and reads until the proxy closes. Returns the answer and what the instance
/// saw as whole requests.
async fn send(input: &[u8]) -> (String, Vec<String>) {
    let (address, seen) = answering(OK).await;
    let world = World::before(vec![address]);
    let answer = world.ask(input).await;
    let seen = seen.lock().unwrap().clone();
    (answer, seen)
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("none")
}

async fn refused(input: impl AsRef<[u8]>, want: &str) {
    let input = input.as_ref();
    let (answer, seen) = send(input).await;
    let shown = String::from_utf8_lossy(&input[..input.len().min(200)]).into_owned();
    assert_eq!(status(&answer), want, "{shown:?} was answered {answer:?}");
    assert_eq!(seen.len(), 0, "{shown:?} reached the instance as {seen:?}");
    assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{shown:?}: {answer:?}");
}

/// One request, whatever follows it in `input`.
async fn once(input: impl AsRef<[u8]>) -> String {
    let (answer, seen) = send(input.as_ref()).await;
    assert_eq!(status(&answer), "200", "{answer:?}");
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen[0].clone()
}

#[tokio::test]
async fn lengths_and_encodings() {
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x10",
        "Content-Length: 010",
        "Content-Length: ",
        "Content-Length: 5 5",
        "Content-Length: 18446744073709551616",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: ",
    ] {
        refused(format!("POST / HTTP/1.1\r\n{HOST}{framing}\r\n\r\n0\r\n\r\n"), "400").await;
    }
    refused(format!("POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "400")
        .await;
}

#[tokio::test]
async fn the_two_largest_lengths_mean_something_else_to_hyper() {
    for length in [u64::MAX, u64::MAX - 1] {
        refused(format!("POST / HTTP/1.1\r\n{HOST}Content-Length: {length}\r\n\r\n"), "431").await;
    }
}

/// The module documentation of `check` promises these: resolved by hyper, one request each.
#[tokio::test]
async fn what_is_resolved_reaches_the_instance_once() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: b.api.example.com\r\n\r\n";
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        let seen =
            once(format!("POST / HTTP/1.1\r\n{HOST}{framing}\r\n\r\n0\r\n\r\n{smuggled}")).await;
        assert_eq!(header(&seen, "content-length"), None, "{seen}");
        assert_eq!(header(&seen, "transfer-encoding"), Some("chunked"), "{seen}");
    }
    let seen = once(format!(
        "POST / HTTP/1.1\r\n{HOST}Content-Length: 2\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi{smuggled}"
    ))
    .await;
    assert_eq!(seen.to_ascii_lowercase().matches("content-length").count(), 1);
    once(format!("GET / HTTP/1.1\nConnection: close\n{HOST}\r\n")).await;
    once(format!("\r\n\r\n{GET}Connection: close\r\n\r\n")).await;
}

#[tokio::test]
async fn chunks() {
    for chunks in [
        "0_2e\r\n",
        "0x2\r\nhi\r\n0\r\n\r\n",
        "\r\nhi\r\n",
        "11111111111111111\r\n",
        "-1\r\n",
        "2;a\rb\r\nhi\r\n0\r\n\r\n",
        "2\r\nhi\r\nXX",
        "2\r\nhiXX0\r\n\r\n",
        "2\nhi\n0\n\n",
        "2 2\r\nhi\r\n0\r\n\r\n",
        "2;a\nb\r\nhi\r\n0\r\n\r\n",
        "0\r\nbad\r\n\r\n",
    ] {
        refused(
            format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{chunks}"),
            "400",
        )
        .await;
    }
}

#[tokio::test]
async fn header_lines() {
    for line in [
        &b"X: a\0b"[..],
        b"X: a\rb",
        b"X: a\r\n b",
        b"X : a",
        b" X: a",
        b": a",
        b"no colon",
        b"X\x80: a",
        b"X\x01: a",
    ] {
        refused([GET.as_bytes(), line, b"\r\n\r\n"].concat(), "400").await;
    }
    refused(format!("{GET}{}\r\n", "X: a\r\n".repeat(101)), "431").await;
    refused(format!("{GET}X: {}\r\n\r\n", "a".repeat(70_000)), "431").await;
    refused(format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat(70_000)), "431").await;
}

#[tokio::test]
async fn request_lines() {
    for line in [
        "GET /",
        "GET / HTTP/1.2",
        "GET / HTTP/9.9",
        "GET  / HTTP/1.1",
        "G@T / HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "CONNECT a.api.example.com:80 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET * HTTP/1.1",
        "GET http://other.example.com/ HTTP/1.1",
        "GET http://127.0.0.1:80/ HTTP/1.1",
        "GET http://u@a.api.example.com/ HTTP/1.1",
        "GET ftp://a.api.example.com/ HTTP/1.1",
        "GET a.api.example.com:80 HTTP/1.1",
    ] {
        refused(format!("{line}\r\n{HOST}\r\n"), "400").await;
    }
    refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "none").await;
    let seen = once(format!(
        "GET http://A.api.example.com:80?q=1 HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"
    ))
    .await;
    assert!(seen.starts_with("GET /?q=1 HTTP/1.1\r\n"), "{seen}");
}

#[tokio::test]
async fn hosts() {
    for hosts in [
        "",
        "Host:\r\n",
        "Host: a.api.example.com\r\nHost: a.api.example.com\r\n",
        "Host: a.api.example.com, b.api.example.com\r\n",
        "Host: a/b\r\n",
        "Host: u@a.api.example.com\r\n",
        "Host: a.api.example.com:99999\r\n",
        "Host: a.api.example.com:x\r\n",
        "Host: b\u{fc}cher.example.com\r\n",
        "Host: a..example.com\r\n",
        "Host: [::1\r\n",
    ] {
        refused(format!("GET / HTTP/1.1\r\n{hosts}\r\n"), "400").await;
        refused(format!("GET / HTTP/1.0\r\n{hosts}\r\n"), "400").await;
    }
    let label = format!("Host: {}.api.example.com\r\n", "a".repeat(300));
    refused(format!("GET / HTTP/1.1\r\n{label}\r\n"), "400").await;
    for unknown in
        ["x.example.org", "10.0.0.1", "[::1]", "a.b.api.example.com", "_.api.example.com"]
    {
        refused(format!("GET / HTTP/1.1\r\nHost: {unknown}\r\nConnection: close\r\n\r\n"), "404")
            .await;
    }
    for same in
        ["A.API.Example.COM", "a.api.example.com.", "a.api.example.com:8080", "a--api.example.com"]
    {
        let seen =
            once(format!("GET / HTTP/1.1\r\nHost: {same}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(header(&seen, "host"), Some(same), "the Host passes unchanged");
    }
}
