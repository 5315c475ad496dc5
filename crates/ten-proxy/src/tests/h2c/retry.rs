//! Instances that refuse, break off, lie or are slow.

use super::*;

/// The instance says that it has not looked at a request: it gets it again, body and all.
#[tokio::test]
async fn a_refused_request_is_sent_again_over_another_connection() {
    let (seen, bodies) = watch::channel(Vec::new());
    let (address, connections) = h2_instance(Builder::new(), move |request, mut respond| {
        let seen = seen.clone();
        async move {
            let body = read(&mut request.into_body()).await.unwrap();
            let first = seen.borrow().is_empty();
            seen.send_modify(|all| all.push(body));
            match first {
                true => respond.send_reset(Reason::REFUSED_STREAM),
                false => answer(respond, 200, "ok"),
            }
        }
    })
    .await;
    let world = world(address);
    let answered = world.ask(post("Connection: close\r\nContent-Length: 2\r\n\r\nhi")).await;
    assert!(answered.contains("ok"), "{answered}");
    assert_eq!(*bodies.borrow(), [b"hi", b"hi"]);
    assert_eq!(*connections.borrow(), 2);
    assert_eq!(world.fleet.unreachable(), 1);
}

/// More of a body than is kept for that is gone once it was sent.
#[tokio::test]
async fn a_large_upload_is_not_sent_again() {
    let (address, connections) = h2_instance(Builder::new(), async |request, mut respond| {
        read(&mut request.into_body()).await.unwrap();
        respond.send_reset(Reason::REFUSED_STREAM);
    })
    .await;
    let size = 100 << 10;
    let large = format!("Content-Length: {size}\r\n\r\n{}", "x".repeat(size));
    // Each of them costs more than its one byte.
    let pieces =
        format!("Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", "1\r\nx\r\n".repeat(5000));
    let world = world(address);
    for (n, body) in [large, pieces].into_iter().enumerate() {
        let answered = world.ask(post("Connection: close\r\n") + &body).await;
        assert!(answered.starts_with("HTTP/1.1 502"), "{answered}");
        assert_eq!(*connections.borrow(), n + 1);
    }
}

#[tokio::test]
async fn refusing_has_an_end() {
    let (address, connections) = h2_instance(Builder::new(), async |_, mut respond| {
        respond.send_reset(Reason::REFUSED_STREAM);
    })
    .await;
    let world = world(address);
    let answered = world.ask(get("Connection: close\r\n")).await;
    assert!(answered.starts_with("HTTP/1.1 502"), "{answered}");
    assert_eq!(*connections.borrow(), 3);
}

/// A stream that is broken off was looked at, and the process lives: that is its answer.
#[tokio::test]
async fn a_reset_is_not_asked_again() {
    let requests = watch::Sender::new(0);
    let counted = requests.subscribe();
    let (address, connections) = h2_instance(Builder::new(), move |_, mut respond| {
        requests.send_modify(|n| *n += 1);
        async move { respond.send_reset(Reason::INTERNAL_ERROR) }
    })
    .await;
    let world = world(address);
    for n in 1..=2 {
        let answered = world.ask(get("Connection: close\r\n")).await;
        assert!(answered.starts_with("HTTP/1.1 502"), "{answered}");
        assert_eq!(*counted.borrow(), n);
    }
    assert_eq!(*connections.borrow(), 1);
}

/// The instance finishes what it has and takes no more on that connection.
#[tokio::test]
async fn a_goaway_lets_requests_end_and_sends_the_next_elsewhere() {
    let (connections, said) = (watch::Sender::new(0), watch::Sender::new(false));
    let (count, says) = (connections.clone(), said.clone());
    let go = watch::Sender::new(false);
    let gone = go.clone();
    let address = instance(move |wire| {
        count.send_modify(|n| *n += 1);
        let (says, mut go) = (says.clone(), gone.subscribe());
        async move {
            let mut connection = h2::server::handshake(wire.0).await.unwrap();
            let (_, respond) = connection.accept().await.unwrap().unwrap();
            connection.graceful_shutdown();
            says.send_replace(true);
            let answering = async {
                go.wait_for(|go| *go).await.unwrap();
                answer(respond, 200, "ok");
            };
            let (_, more) = tokio::join!(answering, connection.accept());
            assert!(more.is_none(), "one request per connection");
        }
    })
    .await;
    let world = world(address);
    let mut first = world.client().await;
    first.write(get("")).await;
    soon(said.subscribe().wait_for(|said| *said)).await.unwrap();
    // The GOAWAY goes out before the answer.
    go.send_replace(true);
    assert!(first.request().await.unwrap().contains("ok"));
    assert!(world.ask(get("Connection: close\r\n")).await.contains("ok"));
    assert_eq!(*connections.borrow(), 2);
}

/// The server's side of HTTP/2 in bytes, up to the first request: what then?
async fn up_to_a_request(wire: &mut Wire) {
    let mut preface = [0; 24];
    soon(wire.0.read_exact(&mut preface)).await.unwrap();
    wire.write([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    loop {
        let mut head = [0; 9];
        soon(wire.0.read_exact(&mut head)).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        soon(wire.0.read_exact(&mut payload)).await.unwrap();
        match (head[3], head[4] & 1) {
            (1, _) => return,
            (4, 0) => wire.write([0, 0, 0, 4, 1, 0, 0, 0, 0]).await,
            (6, 0) => wire.write([&[0, 0, 8, 6, 1, 0, 0, 0, 0][..], &payload].concat()).await,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_connection_that_ends_under_a_request() {
    const GOAWAY_BEFORE_ALL: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (end, request, times) in [
        (&GOAWAY_BEFORE_ALL[..], get("Connection: close\r\n"), 3),
        (&GOAWAY_BEFORE_ALL[..], post("Connection: close\r\nContent-Length: 2\r\n\r\nhi"), 3),
        (&[][..], get("Connection: close\r\n"), 2),
        (&[][..], post("Connection: close\r\nContent-Length: 2\r\n\r\nhi"), 1),
    ] {
        let count = watch::Sender::new(0);
        let counted = count.subscribe();
        let address = instance(move |mut wire| {
            count.send_modify(|n| *n += 1);
            async move {
                up_to_a_request(&mut wire).await;
                wire.write(end).await;
            }
        })
        .await;
        let answered = world(address).ask(&request).await;
        assert!(answered.starts_with("HTTP/1.1 502"), "{answered}");
        assert_eq!(*counted.borrow(), times, "{end:?} for {request}");
    }
}

#[tokio::test]
async fn what_is_not_http_2_is_a_502() {
    for nonsense in ["HTTP/1.1 400 Bad Request\r\n\r\n", "\0\0\x04\x08\0\0\0\0\0\0\0\0\0"] {
        let address = instance(move |mut wire| async move {
            wire.write(nonsense).await;
            wire.rest().await;
        })
        .await;
        let world = world(address);
        let answered = world.ask(get("Connection: close\r\n")).await;
        assert!(answered.starts_with("HTTP/1.1 502"), "{answered}");
        assert_eq!(world.fleet.given(), 1);
    }
}

#[tokio::test]
async fn heads_and_lengths_that_cannot_be() {
    let (address, connections) = h2_instance(Builder::new(), async |request, mut respond| {
        let head = match request.method().as_str() {
            "GET" => Response::builder().header("x", "a".repeat(100 << 10)),
            _ => Response::builder().header("content-length", 10),
        };
        let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
        if read(&mut request.into_body()).await.is_ok() {
            stream.send_data("half".into(), true).unwrap();
        }
    })
    .await;
    let world = world(address);
    let answered = world.ask(get("Connection: close\r\n")).await;
    assert!(answered.starts_with("HTTP/1.1 502"), "{answered}");
    let mut client = world.client().await;
    client.write(post("Content-Length: 2\r\n\r\n")).await;
    assert_eq!(header(&client.head().await.unwrap(), "content-length"), Some("10"));
    client.write("hi").await;
    assert!("half".starts_with(&client.rest().await), "cut short for the client too");
    world.fleet.in_use(0).await;
    assert_eq!(*connections.borrow(), 1, "what one stream does is of that stream");
}

/// The clock stands still until nothing is left to do.
#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_a_504_and_its_stream_is_reset() {
    let (reset, mut was_reset) = watch::channel(0);
    let (address, connections) = h2_instance(Builder::new(), move |_, mut respond| {
        let reset = reset.clone();
        async move {
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
            assert_eq!(reason, Reason::CANCEL);
            reset.send_modify(|n| *n += 1);
        }
    })
    .await;
    let limit = Some(Duration::from_secs(60));
    let world = World::speaking(Protocol::H2c, vec![address], limit);
    for n in 1..=2 {
        let mut client = world.client().await;
        client.write(get("Connection: close\r\n")).await;
        let mut answered = String::new();
        client.0.read_to_string(&mut answered).await.unwrap();
        assert!(answered.starts_with("HTTP/1.1 504"), "{answered}");
        was_reset.wait_for(|reset| *reset == n).await.unwrap();
    }
    assert_eq!(*connections.borrow(), 1);
}
