//! Instances that speak HTTP/2: what is said to them, what becomes of their answers, and that
//! requests that share a connection share nothing else.

mod ends;
mod retry;
mod sharing;

use std::time::Duration;

use h2::{
    Reason, RecvStream,
    client::SendRequest,
    server::{Builder, SendResponse},
};
use http::HeaderMap;

use super::*;

/// An instance that handles each request by `serve`, and how often it was connected to.
async fn h2_instance<F>(
    builder: Builder,
    serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + Sync + 'static,
) -> (Address, watch::Receiver<usize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let count = watch::Sender::new(0);
    let counted = count.subscribe();
    let address = instance(move |wire| {
        count.send_modify(|n| *n += 1);
        let (builder, serve) = (builder.clone(), serve.clone());
        async move {
            let mut connection = builder.handshake::<_, Bytes>(wire.0).await.unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(serve(request, respond));
            }
        }
    })
    .await;
    (address, counted)
}

fn world(address: Address) -> World {
    World::speaking(Protocol::H2c, vec![address], None)
}

fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
}

/// Answers with a head and a body.
fn answer(mut respond: SendResponse<Bytes>, status: u16, body: impl Into<Bytes>) {
    let head = Response::builder().status(status).body(()).unwrap();
    // The client may have left.
    if let Ok(mut stream) = respond.send_response(head, false) {
        let _ = stream.send_data(body.into(), true);
    }
}

/// Reads a body to its end or to where it breaks off.
async fn read(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut whole = Vec::new();
    while let Some(piece) = soon(body.data()).await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// A client that speaks HTTP/2 too.
async fn client(world: &World) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(world.proxy).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

fn to_a(method: &str) -> Request<()> {
    let uri = "http://a.api.example.com/";
    Request::builder().method(method).uri(uri).header("te", "trailers").body(()).unwrap()
}

fn get(more: &str) -> String {
    format!("{GET}{more}\r\n")
}

fn post(more: &str) -> String {
    GET.replace("GET", "POST") + more
}

#[tokio::test]
async fn a_request_of_http_1_becomes_one_of_http_2() {
    let seen = Arc::<Mutex<Vec<(Request<()>, String)>>>::default();
    let log = Arc::clone(&seen);
    let (address, _) = h2_instance(Builder::new(), move |request, respond| {
        let log = Arc::clone(&log);
        async move {
            let (head, mut body) = request.into_parts();
            let body = String::from_utf8(read(&mut body).await.unwrap()).unwrap();
            log.lock().unwrap().push((Request::from_parts(head, ()), body));
            answer(respond, 299, "ok");
        }
    })
    .await;
    let world = world(address);
    let mut client = world.client().await;
    for request in [
        get(
            "TE: gzip, trailers\r\nConnection: upgrade, x-own\r\nUpgrade: websocket\r\nX-Own: 1\r\n",
        ),
        post("Content-Length: 2\r\nExpect: 100-continue\r\n\r\nhi"),
        post("Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
    ] {
        client.write(request).await;
        let mut answer = client.request().await.unwrap();
        if answer.starts_with("HTTP/1.1 100") {
            answer = client.request().await.unwrap();
        }
        assert!(answer.starts_with("HTTP/1.1 299") && answer.contains("ok"), "{answer}");
    }
    let seen = seen.lock().unwrap();
    for (head, _) in &*seen {
        assert_eq!(head.uri(), "http://a.api.example.com/");
        for name in ["host", "connection", "upgrade", "x-own", "transfer-encoding"] {
            assert!(!head.headers().contains_key(name), "{name} in {head:?}");
        }
        assert_eq!(head.headers()["x-forwarded-host"], "a.api.example.com");
    }
    assert_eq!(seen[0].0.headers()["te"], "trailers");
    assert_eq!(seen[1].0.headers()["content-length"], "2");
    let bodies: Vec<_> = seen.iter().map(|(_, body)| &**body).collect();
    assert_eq!(bodies, ["", "hi", "hi"]);
}

#[tokio::test]
async fn answers_without_a_body_are_answers_without_a_body() {
    let (address, _) = h2_instance(Builder::new(), async |request, mut respond| {
        let head = match request.method().as_str() {
            "HEAD" => Response::builder().header("content-length", 1000),
            "PUT" => Response::builder().status(304).header("etag", "x"),
            _ => Response::builder().status(204),
        };
        respond.send_response(head.body(()).unwrap(), true).unwrap();
    })
    .await;
    let world = world(address);
    let mut client = world.client().await;
    for (method, name, want) in [
        ("HEAD", "content-length", Some("1000")),
        ("PUT", "etag", Some("x")),
        ("GET", "etag", None),
    ] {
        client.write(GET.replace("GET", method) + "\r\n").await;
        let head = client.head().await.unwrap();
        assert_eq!(header(&head, name), want, "{head}");
        assert_eq!(header(&head, "transfer-encoding"), None, "{head}");
    }
}

/// To a client of HTTP/1 it would be the next answer.
#[tokio::test]
async fn a_body_where_there_is_none_is_not_passed_on() {
    let (address, _) = h2_instance(Builder::new(), async |request, respond| {
        let status = request.headers()["x-status"].to_str().unwrap().parse().unwrap();
        answer(respond, status, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    })
    .await;
    let world = world(address);
    for (method, status) in [("GET", "204"), ("GET", "304"), ("HEAD", "200")] {
        let mut client = world.client().await;
        client.write(GET.replace("GET", method) + &format!("X-Status: {status}\r\n\r\n")).await;
        assert!(client.head().await.unwrap().starts_with(&format!("HTTP/1.1 {status}")));
        world.fleet.in_use(0).await;
        client.write(get("X-Status: 299\r\n")).await;
        let next = client.head().await.unwrap();
        assert!(next.starts_with("HTTP/1.1 299"), "after {method} {status}: {next}");
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let (address, _) = h2_instance(Builder::new(), async |request, mut respond| {
        let mut body = request.into_body();
        read(&mut body).await.unwrap();
        let sum = body.trailers().await.unwrap().unwrap()["x-sum"].clone();
        let head = Response::builder().header("trailer", "grpc-status").body(()).unwrap();
        let mut stream = respond.send_response(head, false).unwrap();
        stream.send_data("ok".into(), false).unwrap();
        stream
            .send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), sum)]))
            .unwrap();
    })
    .await;
    let world = world(address);
    let mut old = world.client().await;
    let body = "2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n";
    old.write(post("TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n") + body).await;
    let answered = old.request().await.unwrap();
    assert!(answered.ends_with("2\r\nok\r\n0\r\ngrpc-status: 7\r\n\r\n"), "{answered}");

    let (response, mut upload) = client(&world).await.send_request(to_a("POST"), false).unwrap();
    upload.send_data("hi".into(), false).unwrap();
    upload.send_trailers(trailers("x-sum", "8")).unwrap();
    let mut body = soon(response).await.unwrap().into_body();
    assert_eq!(read(&mut body).await.unwrap(), b"ok");
    assert_eq!(soon(body.trailers()).await.unwrap().unwrap()["grpc-status"], "8");
}

/// Each message is answered before the next is sent, so neither side may wait for an end.
#[tokio::test]
async fn both_ways_at_the_same_time() {
    let (address, _) = h2_instance(Builder::new(), async |request, mut respond| {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        let mut body = request.into_body();
        while let Some(piece) = body.data().await {
            stream.send_data(piece.unwrap(), false).unwrap();
        }
        stream.send_trailers(trailers("grpc-status", "0")).unwrap();
    })
    .await;
    let world = world(address);
    let (response, mut upload) = client(&world).await.send_request(to_a("POST"), false).unwrap();
    let mut body = soon(response).await.unwrap().into_body();
    for message in ["one", "two", "three"] {
        upload.send_data(message.into(), false).unwrap();
        assert_eq!(soon(body.data()).await.unwrap().unwrap(), message);
    }
    upload.send_data(Bytes::new(), true).unwrap();
    assert!(soon(body.data()).await.is_none());
    assert_eq!(soon(body.trailers()).await.unwrap().unwrap()["grpc-status"], "0");
    world.fleet.in_use(0).await;
}

#[tokio::test]
async fn informational_answers_are_not_the_answer() {
    let (address, _) = h2_instance(Builder::new(), async |_, mut respond| {
        for status in [100, 103, 103] {
            let head = Response::builder().status(status).body(()).unwrap();
            respond.send_informational(head).unwrap();
        }
        answer(respond, 200, "ok");
    })
    .await;
    let answered = world(address).ask(get("Connection: close\r\n")).await;
    let hint = "HTTP/1.1 103 \r\n\r\n";
    let answered = answered.strip_prefix(&hint.repeat(2)).expect(&answered);
    assert!(answered.starts_with("HTTP/1.1 200") && answered.contains("ok"), "{answered}");
}

/// HTTP/2 has none (RFC 9113, section 8.6); passed on, it would be the client's answer.
#[tokio::test]
async fn a_101_is_no_answer() {
    let (address, _) = h2_instance(Builder::new(), async |_, mut respond| {
        let head = Response::builder().status(101).header("x", "y").body(()).unwrap();
        respond.send_informational(head).unwrap();
        answer(respond, 200, "ok");
    })
    .await;
    let answered = world(address).ask(get("Connection: close\r\n")).await;
    assert!(answered.starts_with("HTTP/1.1 502 "), "{answered}");
}

/// What the client may send ahead of its reader is bounded, and nothing of it is lost.
#[tokio::test]
async fn an_upload_is_held_back_by_its_reader() {
    const SIZE: usize = 64 << 20;
    let go = watch::Sender::new(false);
    let gone = go.clone();
    let (address, _) = h2_instance(Builder::new(), move |request, respond| {
        let mut go = gone.subscribe();
        async move {
            go.wait_for(|go| *go).await.unwrap();
            let body = read(&mut request.into_body()).await.unwrap();
            answer(respond, 200, body.len().to_string());
        }
    })
    .await;
    let world = world(address);
    let mut client = world.client().await;
    client.write(post(&format!("Content-Length: {SIZE}\r\n\r\n"))).await;
    world.fleet.in_use(1).await;
    streaming::held_back(&mut client, SIZE, || go.send_modify(|go| *go = true)).await;
    assert!(client.request().await.unwrap().contains(&SIZE.to_string()));
}
