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
        "Content-Length: 5,",
        "Content-Length: 5;",
        "Content-Length: 5\x01",
        "Content-Length: 5.0",
        "Content-Length: \u{665}",
        "Content-Length : 5",
        "Content-Length\t: 5",
        "Content_Length: 5",
        "Content-Length: 5\r\n\tTransfer-Encoding: chunked",
        "X: a\r\n Content-Length: 5",
        "X: a\rContent-Length: 5",
        "X: a\nContent-Length: 5",
        "Transfer_Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: chunked\x01",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding:\r\n chunked",
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

/// What hyper would resolve by itself, and somebody in front of us may resolve differently.
#[tokio::test]
async fn what_lenient_servers_tolerate() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: b.api.example.com\r\n\r\n";
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 18446744073709551615",
        "Content-Length: 9223372036854775808",
    ] {
        let post = format!("POST / HTTP/1.1\r\n{HOST}{framing}\r\n\r\n0\r\n\r\n{smuggled}");
        refused(post, "400").await;
    }
    refused(format!("GET / HTTP/1.1\n{HOST}\r\n"), "400").await;
    refused(format!("{GET}X: a\nY: b\r\n\r\n"), "400").await;
    refused(format!("{GET}\n"), "400").await;
    refused(format!("\r\n\r\n{GET}\r\n"), "400").await;
    refused(format!("\n{GET}\r\n"), "400").await;
    refused(format!(" {GET}\r\n"), "400").await;
    refused(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "400").await;
    once(format!("\r\n{GET}Connection: close\r\n\r\n")).await;
}

/// A refusal is one of ours, and comes after the answers before it.
#[tokio::test]
async fn a_refused_head_waits_for_its_turn() {
    let (address, seen) = answering(OK).await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    world.fleet.set(Gate::Waking);
    client.write(format!("{GET}\r\n{GET}X : 1\r\n\r\n{GET}\r\n")).await;
    world.fleet.waiting(1).await;
    world.fleet.set(Gate::Open);
    assert!(client.request().await.unwrap().ends_with("ok"));
    let refusal = client.rest().await;
    assert_eq!(status(&refusal), "400", "{refusal}");
    assert_eq!(header(&refusal, "x-ten-state"), Some("unknown"));
    assert_eq!(header(&refusal, "x-request-id").unwrap().len(), 32);
    assert_eq!(header(&refusal, "connection"), Some("close"));
    assert_eq!(refusal.matches("HTTP/1.1 ").count(), 1, "{refusal}");
    assert_eq!(seen.lock().unwrap().len(), 1);
}

/// However a head is cut into packets, it is the same head.
#[tokio::test]
async fn heads_that_come_byte_by_byte() {
    let (address, seen) = answering(OK).await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    let post = GET.replace("GET", "POST");
    for request in [
        format!("{GET}\r\n"),
        format!("\r\n{post}Content-Length: 2\r\n\r\nhi"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
    ] {
        for byte in request.as_bytes() {
            client.write([*byte]).await;
            tokio::task::yield_now().await;
        }
        assert!(client.request().await.unwrap().ends_with("ok"));
    }
    assert_eq!(seen.lock().unwrap().len(), 3);
    for byte in format!("{GET}Y : 1\r\n").as_bytes() {
        client.write([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(status(&client.rest().await), "400");
}

/// The part before the fault may have reached the instance; never as a whole request.
#[tokio::test]
async fn a_fault_behind_sound_chunks() {
    let (broken, mut seen) = watch::channel(0);
    let address = instance(move |mut wire| {
        let broken = broken.clone();
        async move {
            assert_eq!(wire.request().await, None);
            broken.send_modify(|n| *n += 1);
        }
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    let post = GET.replace("GET", "POST");
    client.write(format!("{post}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")).await;
    world.fleet.in_use(1).await;
    client.write(format!("0x2\r\nhi\r\n0\r\n\r\n{GET}\r\n")).await;
    let answer = client.rest().await;
    assert_eq!(status(&answer), "400");
    assert!(answer.contains("malformed-body"), "{answer}");
    soon(seen.wait_for(|n| *n == 1)).await.unwrap();
    world.fleet.in_use(0).await;
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
        "+5\r\nhello\r\n0\r\n\r\n",
        "00000000000000002\r\nhi\r\n0\r\n\r\n",
        "2 \r\nhi\r\n0\r\n\r\n",
        "2 ;a\r\nhi\r\n0\r\n\r\n",
        "2;a\0\r\nhi\r\n0\r\n\r\n",
        "2\r\nhi\r0\r\n\r\n",
        "2\r\nhi\n0\r\n\r\n",
        "0\r\n\n",
        "0\r\nX: a\rb\r\n\r\n",
        "0\r\nX : a\r\n\r\n",
        "0\r\nX: a\r\n b\r\n\r\n",
        "0\r\n: a\r\n\r\n",
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
    refused(format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat(70_000)), "414").await;
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
        "GET /a#b HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/2.0",
        "GET\t/ HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET ?q HTTP/1.1",
        "GET /\r HTTP/1.1",
        "GET / HTTP/1.1\r",
        " GET / HTTP/1.1",
    ] {
        refused(format!("{line}\r\n{HOST}\r\n"), "400").await;
    }
    refused("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "400").await;
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
