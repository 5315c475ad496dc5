//! Clients that speak HTTP/2, down to the frame.

mod heads;
mod sharing;

use h2::{
    Reason, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::StatusCode;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// The preface and empty SETTINGS (RFC 9113, section 3.4).
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PING: &[u8] = b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678";

/// A client with a connection that is driven.
async fn connect(world: &World) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Option<Reason>>) {
    let stream = TcpStream::connect(world.proxy).await.unwrap();
    // One stream that is not read must not close the window of the others.
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 20);
    let (client, connection) = builder.handshake(stream).await.unwrap();
    let driver = tokio::spawn(async move { connection.await.err().and_then(|e| e.reason()) });
    (client, driver)
}

fn get(uri: &str) -> Request<()> {
    Request::get(uri).body(()).unwrap()
}

async fn send(
    client: &mut SendRequest<Bytes>,
    request: Request<()>,
    end: bool,
) -> (ResponseFuture, SendStream<Bytes>) {
    soon(std::future::poll_fn(|cx| client.poll_ready(cx))).await.unwrap();
    client.send_request(request, end).unwrap()
}

async fn ask(client: &mut SendRequest<Bytes>, request: Request<()>) -> (StatusCode, String) {
    let (response, _) = send(client, request, true).await;
    let response = soon(response).await.unwrap();
    let status = response.status();
    (status, text(response.into_body()).await)
}

async fn text(mut body: RecvStream) -> String {
    let mut text = Vec::new();
    while let Some(piece) = soon(body.data()).await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).unwrap()
}

/// The type and payload of each frame up to the connection's end.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        frames.push((*kind, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    frames
}

/// What GOAWAY says, where there is one.
fn goaway(bytes: &[u8]) -> Option<Reason> {
    let (_, payload) = frames(bytes).into_iter().find(|(kind, _)| *kind == 7)?;
    Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()).into())
}

#[tokio::test]
async fn a_request_looks_to_the_instance_as_if_it_were_of_http_1() {
    let (address, seen) = answering(OK).await;
    let world = World::before(vec![address]);
    let (mut client, _) = connect(&world).await;
    let request = Request::get("http://a.api.example.com/x?y=1")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .header("x-forwarded-for", "6.6.6.6");
    assert_eq!(ask(&mut client, request.body(()).unwrap()).await, (StatusCode::OK, "ok".into()));
    let seen = seen.lock().unwrap().concat();
    assert!(seen.starts_with("GET /x?y=1 HTTP/1.1\r\n"), "{seen}");
    assert_eq!(header(&seen, "host"), Some("a.api.example.com"));
    assert_eq!(header(&seen, "cookie"), Some("a=1; b=2"));
    assert_eq!(header(&seen, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&seen, "x-forwarded-proto"), Some("http"));
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let (address, _) = answering(OK).await;
    let world = World::before(vec![address]);
    let (mut client, _) = connect(&world).await;
    let mut answers = Vec::new();
    for _ in 0..100 {
        answers.push(send(&mut client, get("http://a.api.example.com/"), true).await.0);
    }
    for answer in answers {
        assert_eq!(soon(answer).await.unwrap().status(), StatusCode::OK);
    }
    world.fleet.in_use(0).await;
}

#[tokio::test]
async fn what_names_two_hosts_or_none_is_refused() {
    let (address, seen) = answering(OK).await;
    let world = World::before(vec![address]);
    let (mut client, _) = connect(&world).await;
    let two = Request::get("http://a.api.example.com/").header("host", "b.api.example.com");
    assert_eq!(ask(&mut client, two.body(()).unwrap()).await.0, StatusCode::BAD_REQUEST);
    let same = Request::get("http://a.api.example.com/").header("host", "A.api.example.com:80");
    assert_eq!(ask(&mut client, same.body(()).unwrap()).await.0, StatusCode::OK);
    for bad in ["http://user@a.api.example.com/", "http://a..b/"] {
        assert_eq!(ask(&mut client, get(bad)).await.0, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(ask(&mut client, get("http://other.com/")).await.0, StatusCode::NOT_FOUND);
    for name in ["content-length", "content_length", "transfer_encoding"] {
        let two = Request::post("http://a.api.example.com/").header("content-length", "5");
        let two = two.header(name, "5").body(()).unwrap();
        let (response, mut body) = send(&mut client, two, false).await;
        body.send_data("hello".into(), true).unwrap();
        assert_eq!(soon(response).await.unwrap().status(), StatusCode::BAD_REQUEST, "{name}");
    }
    let odd = get("ftp://a.api.example.com/");
    assert_eq!(ask(&mut client, odd).await.0, StatusCode::BAD_REQUEST);
    let many = (0..101).fold(Request::get("http://a.api.example.com/"), |r, _| r.header("x", "y"));
    let many = ask(&mut client, many.body(()).unwrap()).await.0;
    assert_eq!(many, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let connect = Request::builder().method("CONNECT").uri("a.api.example.com:80");
    assert_eq!(ask(&mut client, connect.body(()).unwrap()).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn bodies_and_trailers_pass_both_ways() {
    let (address, seen) = answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
         2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n",
    )
    .await;
    let world = World::before(vec![address]);
    let (mut client, _) = connect(&world).await;
    let post = Request::post("http://a.api.example.com/").header("te", "trailers");
    let (response, mut body) = send(&mut client, post.body(()).unwrap(), false).await;
    body.send_data("hello".into(), false).unwrap();
    body.send_trailers([("x-in".parse().unwrap(), "1".parse().unwrap())].into_iter().collect())
        .unwrap();
    let mut response = soon(response).await.unwrap();
    let piece = soon(response.body_mut().data()).await.unwrap().unwrap();
    assert_eq!(piece, "ok");
    let trailers = soon(response.body_mut().trailers()).await.unwrap().unwrap();
    assert_eq!(trailers["x-sum"], "7");
    let seen = seen.lock().unwrap().concat();
    assert!(seen.contains("5\r\nhello\r\n0\r\n"), "{seen}");
}

#[tokio::test]
async fn a_stream_that_is_reset_gives_its_lease_back() {
    let address = instance(|mut wire| async move {
        wire.head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let world = World::before(vec![address]);
    let (mut client, _) = connect(&world).await;
    let (response, mut body) = send(&mut client, get("http://a.api.example.com/"), false).await;
    world.fleet.in_use(1).await;
    body.send_reset(Reason::CANCEL);
    drop((response, body));
    world.fleet.in_use(0).await;

    world.fleet.set(Gate::Waking);
    let (response, mut body) = send(&mut client, get("http://a.api.example.com/"), false).await;
    world.fleet.waiting(1).await;
    body.send_reset(Reason::CANCEL);
    drop(response);
    world.fleet.waiting(0).await;
}

/// How long clients may be silent or let an answer stand.
const SHORT: Duration = Duration::from_millis(300);

fn impatient() -> ProxySettings {
    ProxySettings {
        body_timeout: SHORT,
        idle_timeout: SHORT,
        min_body_rate: 0,
        ..ProxySettings::DEFAULT
    }
}

/// An instance that answers `/large` with more than any window has room for, `/begun` with a part
/// of its answer, and all else at once.
async fn generous() -> Address {
    instance(|mut wire| async move {
        while let Some(head) = wire.head().await {
            if !head.contains("/large") && !head.contains("/begun") {
                wire.write(OK).await;
                continue;
            }
            wire.write("HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\nx").await;
            if head.contains("/large") {
                wire.write("x".repeat(8_999_999)).await;
            }
            std::future::pending::<()>().await;
        }
    })
    .await
}

#[tokio::test]
async fn an_answer_that_is_not_taken_holds_no_instance() {
    let world = World::allowing(impatient(), vec![generous().await]);
    let (mut client, driver) = connect(&world).await;
    let began = tokio::time::Instant::now();
    let (response, _) = send(&mut client, get("http://a.api.example.com/large"), true).await;
    // Its window is never opened.
    let _body = soon(response).await.unwrap().into_body();
    world.fleet.in_use(0).await;
    assert!(began.elapsed() >= SHORT, "cut after {:?}", began.elapsed());
    // Nothing else is under way, so the connection is of no use.
    soon(driver).await.unwrap();
}

#[tokio::test]
async fn one_that_is_not_taken_is_cut_beside_others_that_are() {
    let world = World::allowing(impatient(), vec![generous().await]);
    let (mut client, driver) = connect(&world).await;
    let (response, _) = send(&mut client, get("http://a.api.example.com/begun"), true).await;
    let mut begun = soon(response).await.unwrap().into_body();
    assert_eq!(soon(begun.data()).await.unwrap().unwrap(), "x");
    let (response, _) = send(&mut client, get("http://a.api.example.com/large"), true).await;
    let _untaken = soon(response).await.unwrap().into_body();
    world.fleet.in_use(2).await;
    // The one that waits for its instance stays.
    world.fleet.in_use(1).await;
    let small = ask(&mut client, get("http://a.api.example.com/small")).await;
    assert_eq!(small, (StatusCode::OK, "ok".into()));
    assert!(!driver.is_finished());
}

#[tokio::test]
async fn an_upload_that_stands_still_holds_no_instance() {
    let address = instance(|mut wire| async move {
        let head = wire.head().await.unwrap();
        if head.contains("/talk") {
            wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        }
        wire.rest().await;
    })
    .await;
    let world = World::allowing(impatient(), vec![address]);
    let (mut client, _) = connect(&world).await;
    let post = Request::post("http://a.api.example.com/").body(()).unwrap();
    let (response, mut body) = send(&mut client, post, false).await;
    body.send_data("x".into(), false).unwrap();
    assert_eq!(soon(response).await.unwrap().status(), StatusCode::REQUEST_TIMEOUT);
    world.fleet.in_use(0).await;

    // Once the instance answers, the pauses are theirs.
    let post = Request::post("http://a.api.example.com/talk").body(()).unwrap();
    let (response, _talk) = send(&mut client, post, false).await;
    let answer = soon(response).await.unwrap();
    let mut in_use = world.fleet.0.in_use.subscribe();
    let ended = tokio::time::timeout(2 * SHORT, in_use.wait_for(|n| *n == 0)).await;
    assert!(ended.is_err(), "{:?}", answer.status());
}

#[tokio::test]
async fn a_silent_connection_ends() {
    let world = World::allowing(impatient(), vec![generous().await]);
    let (mut client, driver) = connect(&world).await;
    ask(&mut client, get("http://a.api.example.com/")).await;
    let began = tokio::time::Instant::now();
    assert_eq!(soon(driver).await.unwrap(), None, "no goodbye");
    assert!(began.elapsed() + Duration::from_millis(50) >= SHORT);
}

/// Of a connection that is ended for its silence, a request may be on its way.
#[tokio::test]
async fn a_request_that_crosses_the_goodbye_is_answered() {
    let address = instance(|mut wire| async move {
        wire.head().await;
        // Longer than a connection has for its last words.
        let _ = tokio::time::timeout(Duration::from_millis(2500), wire.head()).await;
        wire.write(OK).await;
    })
    .await;
    let world = World::allowing(impatient(), vec![address]);
    let mut client = world.client().await;
    client.write(HELLO).await;
    let mut said = Vec::new();
    // The head of GOAWAY.
    while !said.ends_with(b"\0\0\x08\x07\0") {
        said.push(soon(client.0.read_u8()).await.unwrap());
    }
    // GET, http, the path / and an authority (RFC 7541, appendix A).
    let head = [&b"\x82\x86\x84\x41\x11"[..], b"a.api.example.com"].concat();
    client.write([&b"\0\0\x16\x01\x05\0\0\0\x01"[..], &head].concat()).await;
    let answer = client.rest().await;
    assert!(answer.ends_with("ok"), "{answer:?}");
}

#[tokio::test]
async fn a_drain_says_goaway_and_lets_what_is_under_way_end() {
    let address = instance(|mut wire| async move {
        wire.head().await;
        wire.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
        wire.head().await;
    })
    .await;
    let world = World::before(vec![address]);
    let (mut client, driver) = connect(&world).await;
    let (response, _) = send(&mut client, get("http://a.api.example.com/"), true).await;
    let mut body = soon(response).await.unwrap().into_body();
    assert_eq!(soon(body.data()).await.unwrap().unwrap(), "o");
    let drained = tokio::spawn(world.drain.drain(Duration::from_millis(300)));
    // No new request once it was said.
    soon(async {
        while client.clone().ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!driver.is_finished());
    assert_eq!(soon(drained).await.unwrap(), crate::Drained::Cut);
}

/// What was answered is taken slowly, and the drain waits for that.
#[tokio::test]
async fn a_drain_waits_for_answers_to_be_taken() {
    const SIZE: usize = 60_000;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    let (address, _) = answering((head + &"x".repeat(SIZE)).leak()).await;
    let world = World::before(vec![address]);
    let socket = TcpSocket::new_v4().unwrap();
    // So that they wait on our side.
    socket.set_recv_buffer_size(32 << 10).unwrap();
    let stream = socket.connect(world.proxy).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 24).initial_window_size(1 << 20);
    let (mut client, mut connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    let ask = |client: &mut SendRequest<Bytes>| {
        client.send_request(get("http://a.api.example.com/"), true).unwrap().0
    };
    let mut answers: Vec<_> = (0..100).map(|_| ask(&mut client)).collect();
    // All are asked for, and then nothing is read for longer than a connection has for its last
    // words.
    let mut first = answers.remove(0);
    soon(std::future::poll_fn(|cx| {
        let _ = std::pin::Pin::new(&mut connection).poll(cx);
        std::pin::Pin::new(&mut first).poll(cx)
    }))
    .await
    .unwrap();
    world.fleet.in_use(0).await;
    let mut drained = tokio::spawn(world.drain.drain(PATIENCE));
    let early = tokio::time::timeout(Duration::from_millis(2500), &mut drained).await;
    assert!(early.is_err(), "{early:?}");
    let driver = tokio::spawn(connection);
    for answer in answers {
        assert_eq!(text(soon(answer).await.unwrap().into_body()).await.len(), SIZE);
    }
    drop((client, first));
    soon(driver).await.unwrap().unwrap();
    assert_eq!(soon(drained).await.unwrap(), crate::Drained::Complete);
}

/// Requests that share a connection count like connections, but for the first.
#[tokio::test]
async fn an_address_has_no_more_requests_than_places() {
    let (address, _) = answering(OK).await;
    let settings = ProxySettings { max_connections_per_ip: 3, ..ProxySettings::DEFAULT };
    let world = World::allowing(settings, vec![address]);
    world.fleet.set(Gate::Waking);
    let (mut client, _) = connect(&world).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(send(&mut client, get("http://a.api.example.com/"), true).await.0);
    }
    world.fleet.waiting(3).await;
    let refused = ask(&mut client, get("http://a.api.example.com/")).await;
    assert_eq!(refused.0, StatusCode::TOO_MANY_REQUESTS);
    world.fleet.set(Gate::Open);
    for answer in waiting {
        assert_eq!(soon(answer).await.unwrap().status(), StatusCode::OK);
    }
    world.fleet.in_use(0).await;
    assert_eq!(ask(&mut client, get("http://a.api.example.com/")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn floods_end_with_goaway() {
    let empty_data = b"\0\0\0\0\0\0\0\0\x01";
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    for flood in [PING, settings.as_slice(), empty_data] {
        let (address, _) = answering(OK).await;
        let world = World::before(vec![address]);
        let mut client = world.client().await;
        client.write(HELLO).await;
        let (mut reader, mut writer) = client.0.into_split();
        let flood = flood.repeat(5_000);
        let writing = tokio::spawn(async move {
            // Refused in the middle.
            let _ = writer.write_all(&flood).await;
            writer
        });
        let mut said = Vec::new();
        let _ = soon(reader.read_to_end(&mut said)).await;
        assert!(goaway(&said).is_some(), "{:?}", frames(&said).last());
        drop(writing.await.unwrap());
    }
}

#[tokio::test]
async fn resets_without_end_are_a_flood() {
    let (address, _) = answering(OK).await;
    let world = World::before(vec![address]);
    world.fleet.set(Gate::Waking);
    let (client, driver) = connect(&world).await;
    let mut sent = 0;
    soon(async {
        while !driver.is_finished() && sent < 100_000 {
            let Ok(mut ready) = client.clone().ready().await else { break };
            let Ok((_, mut body)) = ready.send_request(get("http://a.api.example.com/"), false)
            else {
                break;
            };
            body.send_reset(Reason::CANCEL);
            sent += 1;
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(sent < 100_000);
    assert!(soon(driver).await.unwrap().is_some());
    world.fleet.waiting(0).await;
}
