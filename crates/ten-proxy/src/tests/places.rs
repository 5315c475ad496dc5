//! Who is let in, and who has to leave for it.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn at_most(max_connections: usize) -> ProxySettings {
    ProxySettings { max_connections, ..ProxySettings::DEFAULT }
}

/// Until the connection is closed without a word.
async fn closed(client: &mut Wire) {
    assert_eq!(client.0.read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_leaves_in_the_middle_of_a_request() {
    let (address, _) = answering(OK).await;
    let world = World::allowing(at_most(2), vec![address]);
    world.fleet.set(Gate::Waking);
    let (mut first, mut second) = (world.client().await, world.client().await);
    first.write(format!("{GET}\r\n")).await;
    second.write(format!("{GET}\r\n{GET}\r\n")).await;
    world.fleet.waiting(2).await;
    let mut third = world.client().await;
    third.write(format!("{GET}\r\n")).await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_secs(20), third.0.peek(&mut byte)).await;
    assert!(early.is_err(), "served without a place");
    world.fleet.set(Gate::Open);
    first.until("ok").await.unwrap();
    second.until("ok").await.unwrap();
    second.until("ok").await.unwrap();
    // Now they are silent, and make room.
    third.until("ok").await.unwrap();
    closed(&mut first).await;
}

#[tokio::test(start_paused = true)]
async fn silent_connections_keep_nobody_out() {
    let (address, _) = answering(OK).await;
    let world = World::allowing(at_most(50), vec![address]);
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(world.client().await);
    }
    let start = tokio::time::Instant::now();
    let mut client = world.client().await;
    client.write(format!("{GET}\r\n")).await;
    client.until("ok").await.unwrap();
    // Much sooner than they would have been closed for their silence.
    assert!(start.elapsed() < ProxySettings::DEFAULT.head_timeout / 2, "{:?}", start.elapsed());
    closed(&mut silent[0]).await;
    client.write(format!("{GET}\r\n")).await;
    client.until("ok").await.unwrap();
}

#[tokio::test]
async fn idle_connections_of_http_2_keep_nobody_out() {
    const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let (address, _) = answering(OK).await;
    let world = World::allowing(at_most(2), vec![address]);
    let mut idle = (world.client().await, world.client().await);
    for client in [&mut idle.0, &mut idle.1] {
        client.write(HELLO).await;
        // Its SETTINGS: it is served.
        soon(client.0.read_u8()).await.unwrap();
    }
    let mut client = world.client().await;
    client.write(format!("{GET}\r\n")).await;
    client.until("ok").await.unwrap();
    // Told to leave, they end; and with a word.
    let said = idle.0.rest().await;
    assert!(said.contains("\0\0\x08\x07\0"), "no GOAWAY: {said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_a_silence_too() {
    let (address, _) = answering(OK).await;
    let world = World::allowing(at_most(1), vec![address]);
    let mut slow = world.client().await;
    slow.write("GET / HTT").await;
    let mut client = world.client().await;
    client.write(format!("{GET}\r\n")).await;
    client.until("ok").await.unwrap();
    closed(&mut slow).await;
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_no_more() {
    let (address, _) = answering(OK).await;
    let settings = ProxySettings { max_connections_per_ip: 2, ..ProxySettings::DEFAULT };
    let world = World::allowing(settings, vec![address]);
    let mut served = Vec::new();
    for _ in 0..2 {
        let mut client = world.client().await;
        client.write(format!("{GET}\r\n")).await;
        client.until("ok").await.unwrap();
        served.push(client);
    }
    for _ in 0..3 {
        soon(closed(&mut world.client().await)).await;
    }
    assert_eq!(world.places.networks(), 1);
    for mut client in served {
        client.write(GET.to_owned() + "Connection: close\r\n\r\n").await;
        assert!(client.rest().await.ends_with("ok"));
    }
    world.vacant().await;
    assert!(world.ask(GET.to_owned() + "Connection: close\r\n\r\n").await.ends_with("ok"));
}

#[tokio::test]
async fn connections_of_trusted_proxies_are_not_counted() {
    let (address, _) = answering(OK).await;
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let settings =
        ProxySettings { max_connections_per_ip: 1, trusted_proxies, ..ProxySettings::DEFAULT };
    let world = World::allowing(settings, vec![address]);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = world.client().await;
        client.write(format!("{GET}\r\n")).await;
        client.until("ok").await.unwrap();
        clients.push(client);
    }
    assert_eq!(world.places.networks(), 0);
}

#[tokio::test]
async fn heads_are_as_long_as_the_settings_say() {
    let (address, _) = answering(OK).await;
    let settings =
        ProxySettings { max_head_bytes: 128 << 10, max_headers: 150, ..ProxySettings::DEFAULT };
    let wide = World::allowing(settings, vec![address.clone()]);
    let settings =
        ProxySettings { max_head_bytes: 1 << 10, max_headers: 5, ..ProxySettings::DEFAULT };
    let narrow = World::allowing(settings, vec![address]);
    let end = "Connection: close\r\n\r\n";
    let long = format!("{GET}A: {}\r\n{end}", "a".repeat(100 << 10));
    let many = format!("{GET}{}{end}", "A: b\r\n".repeat(140));
    let some = format!("{GET}{}{end}", "A: b\r\n".repeat(5));
    for request in [&long, &many] {
        let answer = wide.ask(request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    for request in [&long, &many, &some] {
        let answer = narrow.ask(request).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert!(narrow.ask(format!("{GET}{end}")).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn a_head_takes_no_longer_than_the_settings_say() {
    let (address, _) = answering(OK).await;
    let head_timeout = Duration::from_secs(3);
    let idle_timeout = Duration::from_secs(5);
    let settings = ProxySettings { head_timeout, idle_timeout, ..ProxySettings::DEFAULT };
    let world = World::allowing(settings, vec![address]);
    let start = tokio::time::Instant::now();
    let mut slow = world.client().await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_secs(2), slow.0.peek(&mut byte)).await;
    assert!(early.is_err(), "closed too early");
    slow.write("GET / HTTP/1.1\r\nHost: ").await;
    assert!(slow.rest().await.starts_with("HTTP/1.1 408 "));
    let took = start.elapsed();
    assert!(took >= head_timeout && took < Duration::from_secs(4), "{took:?}");
    let mut idle = world.client().await;
    idle.write(format!("{GET}\r\n")).await;
    idle.until("ok").await.unwrap();
    let start = tokio::time::Instant::now();
    closed(&mut idle).await;
    let took = start.elapsed();
    assert!(took >= idle_timeout && took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upload_in_drips_is_given_up() {
    let address = instance(|mut wire| async move {
        let mut rest = Vec::new();
        let _ = wire.0.read_to_end(&mut rest).await;
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    client.write(GET.replace("GET", "POST") + "Content-Length: 100\r\n\r\n").await;
    let start = tokio::time::Instant::now();
    let mut byte = [0];
    while tokio::time::timeout(Duration::from_secs(59), client.0.peek(&mut byte)).await.is_err() {
        client.write("x").await;
    }
    assert!(start.elapsed() < Duration::from_secs(65), "{:?}", start.elapsed());
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 408"));
    world.fleet.in_use(0).await;
}

/// Who was dismissed and does not go is one of those that keep others out, and no more than that.
#[tokio::test]
async fn one_that_does_not_leave_keeps_nobody_from_leaving() {
    const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // Windows as large as can be (RFC 9113, sections 6.5.2 and 6.9.1), of a client that reads nothing.
    const WIDE: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff";
    const WIDER: &[u8] = b"\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0";
    const SIZE: usize = 60_000;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    let (address, _) = answering((head + &"x".repeat(SIZE)).leak()).await;
    // No silence ends by itself.
    let settings = ProxySettings {
        max_connections: 110,
        head_timeout: PATIENCE * 10,
        body_timeout: PATIENCE * 10,
        ..ProxySettings::DEFAULT
    };
    let world = World::allowing(settings, vec![address]);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stuck = Wire(socket.connect(world.proxy).await.unwrap());
    let mut asked = [HELLO, WIDE, WIDER].concat();
    for number in 0..100u32 {
        // GET, http, the path / and an authority (RFC 7541, appendix A).
        let block = [&b"\x82\x86\x84\x41\x11"[..], b"a.api.example.com"].concat();
        asked.extend([0, 0, block.len() as u8, 1, 5]);
        asked.extend((2 * number + 1).to_be_bytes());
        asked.extend(block);
    }
    stuck.write(asked).await;
    soon(async {
        while world.fleet.given() < 100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.fleet.in_use(0).await;
    let mut silent = Vec::new();
    for _ in 0..109 {
        silent.push(world.client().await);
    }
    let mut newcomers = Vec::new();
    for _ in 0..40 {
        let mut client = world.client().await;
        client.write(format!("{GET}\r\n")).await;
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
        newcomers.push(client);
    }
}
