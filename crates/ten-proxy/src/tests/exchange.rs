//! One request, one answer: routes, headers, methods, reuse of connections.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn connections_are_reused_on_both_sides() {
    let connections = watch::Sender::new(0);
    let count = connections.clone();
    let address = instance(move |mut wire| {
        count.send_modify(|n| *n += 1);
        async move {
            while wire.request().await.is_some() {
                wire.write(OK).await;
            }
        }
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    for _ in 0..5 {
        client.write(format!("{GET}\r\n")).await;
        assert!(client.request().await.unwrap().ends_with("ok"));
        world.fleet.in_use(0).await;
    }
    assert_eq!(*connections.borrow(), 1);
    assert_eq!(world.fleet.pooled(), 1);
}

#[tokio::test]
async fn a_connection_that_is_there_is_used_before_another_is_made() {
    let (ours, its) = UnixStream::pair().unwrap();
    its.set_nonblocking(true).unwrap();
    ours.set_nonblocking(true).unwrap();
    // Nobody listens where its instance is said to be.
    let world = World::before(vec![Address::Unix("/nowhere".into())]);
    world.fleet.give(ours);
    let mut its = tokio::net::UnixStream::from_std(its).unwrap();
    let answers = tokio::spawn(async move {
        for _ in 0..2 {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(its.read_u8().await.unwrap());
            }
            its.write_all(OK.as_bytes()).await.unwrap();
        }
    });
    let mut client = world.client().await;
    for _ in 0..2 {
        client.write(format!("{GET}\r\n")).await;
        assert!(client.request().await.unwrap().ends_with("ok"));
        world.fleet.in_use(0).await;
    }
    soon(answers).await.unwrap();
    assert_eq!((world.fleet.pooled(), world.fleet.unreachable()), (1, 0));
}

#[tokio::test]
async fn a_connection_that_a_request_does_not_need_is_closed() {
    let address = instance(async |mut wire| {
        while wire.request().await.is_some() {
            wire.write(OK).await;
        }
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    client.write(format!("{GET}\r\n")).await;
    client.request().await.unwrap();
    world.fleet.in_use(0).await;
    assert_eq!(world.fleet.pooled(), 1);
    let (ours, mut its) = UnixStream::pair().unwrap();
    its.set_nonblocking(true).unwrap();
    world.fleet.give(ours);
    client.write(format!("{GET}\r\n")).await;
    assert!(client.request().await.unwrap().ends_with("ok"));
    assert_eq!(std::io::Read::read(&mut its, &mut [0]).unwrap(), 0);
}

#[tokio::test]
async fn requests_pass_but_for_what_is_ours_to_say() {
    let (address, seen) = answering(OK).await;
    let world = World::before(vec![address]);
    world
        .ask(format!(
            "{GET}Connection: close, X-Private, content-length, authorization, x-forwarded-for\r\n\
             X-Private: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: gzip, trailers\r\n\
             Authorization: Bearer t\r\nCookie: c\r\nX-Own: kept\r\nProxy: http://evil\r\n\
             X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Port: 6\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\n\
             X-Real-IP: 6.6.6.6\r\nX-Request-Id: mine\r\n\r\n"
        ))
        .await;
    let seen = seen.lock().unwrap()[0].clone();
    for (name, want) in [
        ("host", Some("a.api.example.com")),
        ("authorization", Some("Bearer t")),
        ("cookie", Some("c")),
        ("x-own", Some("kept")),
        ("te", Some("trailers")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("a.api.example.com")),
        ("forwarded", Some("for=127.0.0.1;host=\"a.api.example.com\";proto=http")),
        ("connection", Some("TE")),
        ("keep-alive", None),
        ("proxy-connection", None),
        ("x-private", None),
        ("proxy", None),
        ("x_forwarded_for", None),
        ("x-forwarded-port", None),
        ("x-real-ip", None),
    ] {
        assert_eq!(header(&seen, name), want, "{name} in {seen}");
    }
    let id = header(&seen, "x-request-id").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
}

#[tokio::test]
async fn answers_pass_unchanged() {
    let (address, _) = answering(
        "HTTP/1.1 299 Strange\r\nDate: then\r\nServer: own\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
         Keep-Alive: 9\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let world = World::before(vec![address]);
    let answer = world.ask(format!("{GET}Connection: close\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 299 Strange\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok"));
    assert_eq!(answer.to_ascii_lowercase().matches("\r\ndate:").count(), 1);
    for (name, want) in [
        ("date", Some("then")),
        ("server", Some("own")),
        ("keep-alive", None),
        ("x-hop", None),
        ("x-ten-state", None),
        ("x-request-id", None),
    ] {
        assert_eq!(header(&answer, name), want, "{name} in {answer}");
    }
    assert!(answer.contains("a=1") && answer.contains("b=2"));
}

#[tokio::test]
async fn head_and_bodiless_answers() {
    let (address, _) = answering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    for _ in 0..2 {
        client.write(GET.replace("GET", "HEAD") + "\r\n").await;
        assert_eq!(header(&client.head().await.unwrap(), "content-length"), Some("1000"));
    }
    for answer in
        ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"]
    {
        let (address, seen) = answering(answer).await;
        let world = World::before(vec![address]);
        let mut client = world.client().await;
        for _ in 0..2 {
            client.write(format!("{GET}\r\n")).await;
            assert!(client.head().await.unwrap().starts_with(&answer[..16]));
            world.fleet.in_use(0).await;
        }
        assert_eq!(seen.lock().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn http_1_0_on_either_side() {
    let address = instance(|mut wire| async move {
        wire.request().await;
        wire.write("HTTP/1.0 200 OK\r\n\r\nto the end").await;
    })
    .await;
    let world = World::before(vec![address]);
    let answer = world.ask(GET.replace("1.1", "1.0") + "\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK") && answer.ends_with("\r\n\r\nto the end"));
    let mut client = world.client().await;
    client.write(format!("{GET}\r\n")).await;
    let answer = client.request().await.unwrap();
    assert!(answer.starts_with("HTTP/1.1") && answer.contains("to the end"), "{answer}");
}

/// Whatever else is said of a connection (RFC 9112, section 9.3).
#[tokio::test]
async fn close_counts_more_than_keep_alive() {
    let (address, _) = answering(
        "HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let world = World::before(vec![address]);
    let get = GET.replace("1.1", "1.0");
    let answer = world.ask(format!("{get}Connection: keep-alive, close\r\n\r\n")).await;
    assert!(answer.ends_with("ok"), "{answer}");
    assert_eq!(header(&answer, "connection"), Some("close"));
    assert_eq!(world.fleet.pooled(), 0);
}

#[tokio::test]
async fn a_get_keeps_its_chunked_body_and_its_trailers() {
    let (address, seen) = answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n",
    )
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    client
        .write(format!(
            "{GET}TE: trailers\r\nTrailer: X-In\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-In: 1\r\n\r\n"
        ))
        .await;
    let answer = client.request().await.unwrap();
    assert!(answer.ends_with("2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"), "{answer}");
    let seen = seen.lock().unwrap()[0].clone();
    assert!(seen.ends_with("3\r\nabc\r\n0\r\nX-In: 1\r\n\r\n"), "{seen}");
}

#[tokio::test]
async fn the_management_surface_and_unknown_hosts() {
    let (address, seen) = answering(OK).await;
    let world = World::before(vec![address]);
    for host in ["example.com", "localhost", "127.0.0.1"] {
        let answer = world
            .ask(format!("GET /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
            .await;
        assert!(answer.ends_with("management /x 127.0.0.1"), "{answer}");
        assert!(header(&answer, "x-request-id").is_some());
    }
    let get = "GET /x HTTP/1.1\r\nHost: other.org\r\nConnection: close\r\n";
    let answer = world.ask(format!("{get}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 404"));
    assert_eq!(header(&answer, "x-ten-state"), Some("unknown"));
    assert_eq!(header(&answer, "content-type"), Some("application/problem+json"));
    assert!(header(&answer, "x-request-id").is_some());
    let answer = world.ask(format!("{get}Accept: text/html,*/*\r\n\r\n")).await;
    assert_eq!(header(&answer, "content-type"), Some("text/html; charset=utf-8"));
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn unix_sockets_at_short_and_long_paths() {
    let folder = tempfile::tempdir().unwrap();
    for depth in [0, 4] {
        let mut path = folder.path().to_owned();
        path.extend(std::iter::repeat_n("a".repeat(50), depth));
        std::fs::create_dir_all(&path).unwrap();
        let open = std::fs::File::open(&path).unwrap();
        use std::os::fd::AsRawFd;
        let short = format!("/proc/self/fd/{}/s.sock", open.as_raw_fd());
        let listener = tokio::net::UnixListener::bind(short).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4];
            stream.read_exact(&mut head).await.unwrap();
            stream.write_all(OK.as_bytes()).await.unwrap();
        });
        let world = World::before(vec![Address::Unix(path.join("s.sock"))]);
        let mut client = world.client().await;
        client.write(format!("{GET}\r\n")).await;
        assert!(client.request().await.unwrap().ends_with("ok"));
    }
}

#[tokio::test]
async fn a_private_address_is_reached_from_a_socket_of_the_leases_network() {
    let from = watch::Sender::new(None);
    let seen = from.clone();
    let address = instance(move |mut wire| {
        seen.send_replace(Some(wire.0.peer_addr().unwrap().ip()));
        async move {
            while wire.request().await.is_some() {
                wire.write(OK).await;
            }
        }
    })
    .await;
    let Address::Tcp(port) = address else { unreachable!() };
    let world = World::before(vec![Address::Private(port)]);
    let mut client = world.client().await;
    client.write(format!("{GET}\r\n")).await;
    assert!(client.request().await.unwrap().ends_with("ok"));
    assert_eq!(*from.borrow(), Some(ELSEWHERE.ip()));
}

/// On several threads, so that connections go back to the pool and out again in every order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once() {
    let (address, seen) = answering(OK).await;
    let world = Arc::new(World::before(vec![address]));
    world.fleet.set(Gate::Waking);
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let mut client = world.client().await;
                for _ in 0..20 {
                    client.write(format!("{GET}\r\n")).await;
                    assert!(client.request().await.unwrap().ends_with("\r\n\r\nok"));
                }
            })
        })
        .collect();
    world.fleet.waiting(100).await;
    world.fleet.set(Gate::Open);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(seen.lock().unwrap().len(), 2000);
    world.fleet.in_use(0).await;
}
