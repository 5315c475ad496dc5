//! How things end: clients that leave, timeouts of connections, the drain.

use super::*;
use crate::Drained;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_client_that_leaves_while_waiting_frees_its_place() {
    let world = World::before(vec![Address::Unix("/nowhere".into())]);
    world.fleet.set(Gate::Waking);
    let post = GET.replace("GET", "POST");
    for request in [
        format!("{GET}\r\n"),
        format!("{GET}\r\n{GET}\r\n"),
        format!("{GET}\r\nGET / HT"),
        format!("{GET}Connection: upgrade\r\nUpgrade: x\r\n\r\nearly"),
        format!("{post}Content-Length: 100\r\n\r\n"),
        format!("{post}Content-Length: 100\r\n\r\nhalf"),
        format!("{post}Content-Length: 4\r\n\r\nfull"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf"),
        format!("{post}Content-Length: 1000000\r\n\r\n{}", "x".repeat(50_000)),
    ] {
        let mut client = world.client().await;
        client.write(request).await;
        world.fleet.waiting(1).await;
        drop(client);
        world.fleet.waiting(0).await;
    }
    assert_eq!(world.fleet.given(), 0);
}

/// Nothing of its upload is read any more when it breaks off.
#[tokio::test(start_paused = true)]
async fn a_client_that_breaks_off_an_upload_that_nobody_reads() {
    let address = instance(|wire| async move {
        let _unread = wire;
        std::future::pending::<()>().await;
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    client.write(GET.replace("GET", "PUT") + "Content-Length: 1000000000\r\n\r\n").await;
    let piece = vec![b'x'; 1 << 16];
    // The clock moves only when nobody can do anything: then all buffers on the way are full.
    let second = Duration::from_secs(1);
    while tokio::time::timeout(second, client.0.write(&piece)).await.is_ok() {}
    world.fleet.in_use(1).await;
    rustix::net::sockopt::set_socket_linger(&client.0, Some(Duration::ZERO)).unwrap();
    drop(client);
    world.fleet.in_use(0).await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_use_of_its_instance() {
    let (left, mut gone) = watch::channel(0);
    let address = instance(move |mut wire| {
        let left = left.clone();
        async move {
            wire.head().await;
            let _ = wire.rest().await;
            left.send_modify(|n| *n += 1);
        }
    })
    .await;
    let world = World::before(vec![address]);
    for (request, n) in [
        (format!("{GET}\r\n"), 1),
        (GET.replace("GET", "POST") + "Content-Length: 100\r\n\r\nhalf", 2),
        (GET.replace("GET", "POST") + "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf", 3),
    ] {
        let mut client = world.client().await;
        client.write(request).await;
        world.fleet.in_use(1).await;
        drop(client);
        world.fleet.in_use(0).await;
        soon(gone.wait_for(|left| *left == n)).await.unwrap();
    }
}

/// An event stream may be silent for as long as it likes, and nothing that is written to the client
/// would show that it has left.
#[tokio::test]
async fn a_client_that_leaves_a_silent_answer_ends_the_use_of_its_instance() {
    let address = instance(|mut wire| async move {
        wire.head().await;
        wire.write("HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    let world = World::before(vec![address]);
    let post = GET.replace("GET", "POST");
    for request in [
        format!("{GET}\r\n"),
        format!("{GET}\r\n{GET}\r\n"),
        format!("{post}Content-Length: 100\r\n\r\nhalf"),
    ] {
        let mut client = world.client().await;
        client.write(request).await;
        client.until("data: 1\n\n").await.unwrap();
        world.fleet.in_use(1).await;
        drop(client);
        world.fleet.in_use(0).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_ten_itself_frees_its_place() {
    let world = World::before(vec![Address::Unix("/nowhere".into())]);
    let mut client = world.client().await;
    client.write("GET /never HTTP/1.1\r\nHost: example.com\r\n\r\n").await;
    let arrived = async {
        while world.places.networks() == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(arrived).await;
    drop(client);
    world.vacant().await;
}

/// Until the connection is closed, on a clock that only moves when all is idle.
async fn closed_after(client: &mut Wire) -> Duration {
    let start = tokio::time::Instant::now();
    let mut rest = Vec::new();
    client.0.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    start.elapsed()
}

/// Not by way of `soon`: its patience ends on the same clock.
async fn told_at_last(client: &mut Wire) -> String {
    let mut told = String::new();
    client.0.read_to_string(&mut told).await.unwrap();
    told
}

fn about(found: Duration, want: Duration) {
    assert!(found >= want && found < want + Duration::from_secs(1), "{found:?} for {want:?}");
}

#[tokio::test(start_paused = true)]
async fn silent_slow_and_idle_connections_are_closed() {
    let (address, _) = answering(OK).await;
    let world = World::before(vec![address]);
    let ProxySettings { head_timeout, idle_timeout, .. } = ProxySettings::DEFAULT;
    about(closed_after(&mut world.client().await).await, head_timeout);

    let mut slow = world.client().await;
    slow.write(format!("{GET}Accept: text/html\r\nX: ")).await;
    let start = tokio::time::Instant::now();
    let told = told_at_last(&mut slow).await;
    about(start.elapsed(), head_timeout);
    assert!(told.starts_with("HTTP/1.1 408 ") && told.contains("<!doctype html>"), "{told}");
    assert_eq!(header(&told, "connection"), Some("close"));

    let mut idle = world.client().await;
    idle.write(format!("{GET}\r\n")).await;
    idle.until("ok").await.unwrap();
    about(closed_after(&mut idle).await, idle_timeout);

    // An empty line announces nothing.
    let mut odd = world.client().await;
    odd.write(format!("{GET}\r\n")).await;
    odd.until("ok").await.unwrap();
    odd.write("\r\n").await;
    closed_after(&mut odd).await;

    let mut second = world.client().await;
    second.write(format!("{GET}\r\n")).await;
    second.until("ok").await.unwrap();
    second.write("GET / HTT").await;
    let start = tokio::time::Instant::now();
    assert!(told_at_last(&mut second).await.starts_with("HTTP/1.1 408 "));
    about(start.elapsed(), head_timeout);
}

#[tokio::test]
async fn a_drain_lets_requests_end_and_closes_the_idle() {
    let go = watch::Sender::new(false);
    let gone = go.clone();
    let address = instance(move |mut wire| {
        let mut go = gone.subscribe();
        async move {
            wire.request().await;
            wire.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
            go.wait_for(|go| *go).await.unwrap();
            wire.write("k").await;
        }
    })
    .await;
    let World { fleet, proxy, drain, .. } = World::before(vec![address]);
    let mut silent = Wire(TcpStream::connect(proxy).await.unwrap());
    let mut busy = Wire(TcpStream::connect(proxy).await.unwrap());
    busy.write(format!("{GET}\r\n")).await;
    busy.until("\r\n\r\no").await.unwrap();
    fleet.in_use(1).await;
    let drained = tokio::spawn(drain.drain(PATIENCE));
    assert_eq!(silent.rest().await, "");
    assert!(!drained.is_finished());
    go.send_replace(true);
    assert_eq!(busy.rest().await, "k");
    // The client closes when it has its answer, as clients do.
    drop((silent, busy));
    assert_eq!(soon(drained).await.unwrap(), Drained::Complete);
    assert!(TcpStream::connect(proxy).await.is_err());
}

#[tokio::test]
async fn serving_ends_with_its_listener() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = listener.try_clone().unwrap();
    let (_drain, signal) = crate::Drain::new();
    let fleet = Fleet::new(Protocol::Http1, vec![Address::Unix("/nowhere".into())], None);
    let (settings, pages) = (Arc::new(ProxySettings::DEFAULT), ErrorPages::default());
    let proxy = Proxy::new(fleet, Echo, Workers::here(), settings, pages, vec![]);
    let serving = tokio::spawn(async move { proxy.serve(listener, Door::Plain, signal).await });
    tokio::task::yield_now().await;
    rustix::net::shutdown(&other, rustix::net::Shutdown::Both).unwrap();
    soon(serving).await.unwrap().unwrap();
}

/// A head may come in pieces, and the drain begin between them.
#[tokio::test]
async fn a_drain_waits_for_the_requests_that_are_on_their_way() {
    let (address, _) = answering(OK).await;
    let World { proxy, drain, .. } = World::before(vec![address]);
    let connect = || async { Wire(TcpStream::connect(proxy).await.unwrap()) };
    let (mut fresh, mut begun, mut preface) = (connect().await, connect().await, connect().await);
    let (mut kept, mut kept_begun) = (connect().await, connect().await);
    for client in [&mut kept, &mut kept_begun] {
        client.write(format!("{GET}\r\n")).await;
        client.until("ok").await.unwrap();
    }
    begun.write("GET / HT").await;
    kept_begun.write("GET / HT").await;
    preface.write("P").await;
    let drained = tokio::spawn(drain.drain(PATIENCE));
    // Nobody accepts any more, so the drain has begun.
    soon(async { while TcpStream::connect(proxy).await.is_ok() {} }).await;
    let patch = format!("ATCH{}\r\n", &GET[3..]);
    let whole = format!("{GET}\r\n");
    let clients = [
        (&mut fresh, &*whole),
        (&mut begun, &whole[8..]),
        (&mut preface, &*patch),
        (&mut kept, &*whole),
        (&mut kept_begun, &whole[8..]),
    ];
    for (client, rest) in clients {
        client.write(rest).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{rest:?} {answer}");
        assert_eq!(header(&answer, "connection"), Some("close"));
    }
    drop((fresh, begun, preface, kept, kept_begun));
    assert_eq!(soon(drained).await.unwrap(), Drained::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_drain_cuts_off_what_does_not_end() {
    let address = instance(|mut wire| async move {
        let head = wire.head().await.unwrap();
        if header(&head, "upgrade").is_some() {
            wire.write(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
            )
            .await;
        }
        wire.head().await;
    })
    .await;
    let World { fleet, proxy, drain, .. } = World::before(vec![address]);
    let mut waiting = Wire(TcpStream::connect(proxy).await.unwrap());
    waiting.write(format!("{GET}\r\n")).await;
    let mut tunnel = Wire(TcpStream::connect(proxy).await.unwrap());
    tunnel.write(format!("{GET}Connection: upgrade\r\nUpgrade: x\r\n\r\n")).await;
    let mut head = [0; 12];
    tunnel.0.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    let within = Duration::from_secs(3);
    let start = tokio::time::Instant::now();
    assert_eq!(drain.drain(within).await, Drained::Cut);
    about(start.elapsed(), within);
    assert_eq!(waiting.rest().await, "");
    tunnel.rest().await;
    fleet.in_use(0).await;
}

/// To a client of HTTP/1.0 the end of the connection is the end of the answer, where that has no
/// length.
#[tokio::test]
async fn an_answer_that_breaks_off_has_no_clean_end() {
    let reset = Err(io::ErrorKind::ConnectionReset);
    for (length, head, ends) in [
        ("", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", reset),
        ("", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx", reset),
        ("10", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", Ok(0)),
        ("", "HTTP/1.1 200 OK\r\n\r\nhello", Ok(0)),
    ] {
        let address = instance(move |mut wire| async move {
            wire.head().await.unwrap();
            wire.write(head).await;
        })
        .await;
        let world = World::before(vec![address]);
        let mut client = world.client().await;
        client.write(GET.replace("HTTP/1.1", "HTTP/1.0") + "\r\n").await;
        let answer = client.head().await.unwrap();
        assert_eq!(header(&answer, "content-length").unwrap_or_default(), length);
        client.until("hello").await.unwrap();
        let end = soon(client.0.read(&mut [0; 9])).await;
        assert_eq!(end.map_err(|error| error.kind()), ends, "{head}");
    }
}
