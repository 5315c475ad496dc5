//! One process, and connections to it from several workers.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A proxy with two workers, whose clients they serve in turn.
fn two_workers(address: Address, max_requests: u32) -> World {
    let mut fleet = Fleet::new(Protocol::Http1, vec![address], None);
    Arc::get_mut(&mut fleet.0).unwrap().max_requests = max_requests;
    let (settings, pages) = (ProxySettings::DEFAULT, ErrorPages::default());
    World::served_by(Workers::two_here(), Door::Plain, fleet, settings, pages, vec![])
}

/// A server with one thread that waits in each connection for its next request.
async fn one_at_a_time() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let mut wire = Wire(listener.accept().await.unwrap().0);
            while let Ok(true) = wire.0.read_u8().await.map(|byte| byte == b'G') {
                wire.head().await;
                wire.write(OK).await;
            }
        }
    });
    Address::Tcp(address)
}

#[tokio::test]
async fn idle_connections_make_way_where_a_process_serves_one_at_a_time() {
    let world = two_workers(one_at_a_time().await, u32::MAX);
    let (mut first, mut second) = (world.client().await, world.client().await);
    for _ in 0..2 {
        for client in [&mut first, &mut second] {
            client.write(format!("{GET}\r\n")).await;
            assert!(client.request().await.unwrap().ends_with("ok"));
        }
    }
    // Both at once, on both workers: who comes second has its turn.
    first.write(format!("{GET}\r\n")).await;
    second.write(format!("{GET}\r\n")).await;
    assert!(first.request().await.unwrap().ends_with("ok"));
    assert!(second.request().await.unwrap().ends_with("ok"));
}

#[tokio::test]
async fn idle_connections_end() {
    let (ended, mut end) = watch::channel(false);
    let address = instance(move |mut wire| {
        let ended = ended.clone();
        async move {
            wire.request().await;
            wire.write(OK).await;
            wire.rest().await;
            ended.send_replace(true);
        }
    })
    .await;
    let world = two_workers(address, u32::MAX);
    let mut client = world.client().await;
    client.write(format!("{GET}\r\n")).await;
    assert!(client.request().await.unwrap().ends_with("ok"));
    world.fleet.in_use(0).await;
    assert_eq!(world.fleet.pooled(), 1);
    soon(end.wait_for(|ended| *ended)).await.unwrap();
    assert_eq!(world.fleet.pooled(), 0);
}

#[tokio::test]
async fn there_are_no_more_connections_than_requests_may_be() {
    for (max_requests, kept) in [(1, 0), (2, 1), (u32::MAX, 1)] {
        let (address, _) = answering(OK).await;
        let world = two_workers(address, max_requests);
        let (mut first, mut second) = (world.client().await, world.client().await);
        for client in [&mut first, &mut second] {
            client.write(format!("{GET}\r\n")).await;
            assert!(client.request().await.unwrap().ends_with("ok"));
            world.fleet.in_use(0).await;
        }
        let pooled = [0, 1].map(|worker| world.fleet.pooled_by(worker));
        assert_eq!(pooled, [kept, 1], "{max_requests}");
    }
}
