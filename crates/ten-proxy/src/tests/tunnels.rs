//! Upgrades: a tunnel after the instance's 101, and only then.

use super::*;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n";

#[tokio::test]
async fn bytes_pass_both_ways_until_both_sides_ended() {
    let address = instance(|mut wire| async move {
        let head = wire.head().await.unwrap();
        assert_eq!(header(&head, "upgrade"), Some("websocket"));
        assert_eq!(header(&head, "connection"), Some("upgrade"));
        assert_eq!(header(&head, "sec-websocket-key"), Some("k"));
        // The first bytes of the new protocol come with the head of the old.
        wire.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-A: 1\r\n\r\nhello ").await;
        let (mut reader, mut writer) = wire.0.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        // The client has ended; this side says one more thing.
        writer.write_all(b"bye").await.unwrap();
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    client.write(format!("{GET}{UPGRADE}\r\nearly ")).await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(header(&head, "upgrade"), Some("websocket"));
    assert_eq!(header(&head, "x-a"), Some("1"));
    client.until("hello early ").await.unwrap();
    world.fleet.in_use(1).await;
    client.write("ping").await;
    client.until("ping").await.unwrap();
    client.0.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "bye");
    world.fleet.in_use(0).await;
}

/// The instance ends first; what the client still says must reach it.
#[tokio::test]
async fn half_closed_from_the_instance() {
    let (said, mut heard) = watch::channel(String::new());
    let address = instance(move |mut wire| {
        let said = said.clone();
        async move {
            wire.head().await.unwrap();
            wire.write(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
            )
            .await;
            wire.0.shutdown().await.unwrap();
            said.send_replace(wire.rest().await);
        }
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    client.write(format!("{GET}{UPGRADE}\r\n")).await;
    client.head().await.unwrap();
    assert_eq!(client.rest().await, "");
    client.write("last words").await;
    client.0.shutdown().await.unwrap();
    soon(heard.wait_for(|said| said == "last words")).await.unwrap();
    world.fleet.in_use(0).await;
}

#[tokio::test]
async fn a_refused_upgrade_is_an_answer_like_any_other() {
    let (address, seen) = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    client.write(format!("{GET}{UPGRADE}\r\n{GET}\r\n")).await;
    for _ in 0..2 {
        assert!(client.request().await.unwrap().ends_with("ok"));
    }
    assert_eq!(seen.lock().unwrap().len(), 2);
    world.fleet.in_use(0).await;
}

/// Requests inside of an h2c tunnel would pass unseen.
#[tokio::test]
async fn no_tunnel_for_http_2_nor_unnominated_nor_with_a_body() {
    for upgrade in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n",
    ] {
        let (address, seen) = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let world = World::before(vec![address]);
        let mut client = world.client().await;
        let body = if upgrade.contains("Length") { "hi" } else { "" };
        client.write(format!("{GET}{upgrade}\r\n{body}")).await;
        assert!(client.request().await.unwrap().ends_with("ok"));
        let seen = seen.lock().unwrap()[0].clone();
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(header(&seen, name), None, "{seen}");
        }
    }
}
