//! What is whole and what is cut, and what becomes of the connection to the instance then.

use std::sync::mpsc;

use super::{
    access_log::{next, observed},
    *,
};
use crate::Exchange;

/// The exchange of one request to an instance that answers like this, and how many connections
/// are kept after it.
async fn told(answer: &'static str) -> (Exchange, usize) {
    let (address, _) = answering(answer).await;
    let (world, told): (World, mpsc::Receiver<Exchange>) = observed(Protocol::Http1, vec![address]);
    let mut client = world.client().await;
    client.write(format!("{GET}TE: trailers\r\n\r\n")).await;
    client.request().await.unwrap();
    let exchange = next(&told).await;
    world.fleet.in_use(0).await;
    let pooled = async {
        while world.fleet.pooled() == 0 {
            tokio::task::yield_now().await;
        }
        world.fleet.pooled()
    };
    (exchange, soon(pooled).await)
}

#[tokio::test]
async fn an_answer_ends_with_its_trailers() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
    ] {
        let (exchange, pooled) = told(answer).await;
        assert!(!exchange.cut, "{answer}");
        assert_eq!(pooled, 1, "{answer}");
    }
}

/// Nothing may reach the instance after its use has ended.
#[tokio::test]
async fn an_upload_ends_with_an_answer_that_cannot_be_passed_on() {
    let (ended, mut end) = watch::channel(false);
    let address = instance(move |mut wire| {
        let ended = ended.clone();
        async move {
            wire.head().await;
            wire.write("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok").await;
            wire.rest().await;
            ended.send_replace(true);
        }
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    let post = GET.replace("GET", "POST");
    client.write(format!("{post}Content-Length: 1000000\r\n\r\nbegun")).await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 502"));
    soon(end.wait_for(|ended| *ended)).await.unwrap();
    world.fleet.in_use(0).await;
}

/// The last of an upload that was answered early may be in nobody's hands but ours, and stay
/// there. From which size on depends on the kernel's buffers.
#[tokio::test]
async fn a_connection_whose_upload_is_not_read_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut kept, mut closed) = (0, 0);
    for size in (100_000..500_000).step_by(25_000) {
        let path = folder.path().join(size.to_string());
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let world = World::before(vec![Address::Unix(path)]);
        let mut client = world.client().await;
        let post = GET.replace("GET", "POST");
        client.write(format!("{post}Content-Length: {size}\r\n\r\n{}", "x".repeat(size))).await;
        let (mut instance, _) = soon(listener.accept()).await.unwrap();
        instance.read_u8().await.unwrap();
        instance.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
        drop(client);
        world.fleet.in_use(0).await;
        let is_kept = async {
            while world.fleet.pooled() == 0 {
                tokio::task::yield_now().await;
            }
        };
        // Of all that may be there, its end is what is waited for.
        let is_closed = instance.ready(tokio::io::Interest::PRIORITY);
        soon(async {
            tokio::select! {
                () = is_kept => kept += 1,
                end = is_closed => { end.unwrap(); closed += 1 }
            }
        })
        .await;
    }
    assert!(kept > 0 && closed > 0, "{kept} kept, {closed} closed");
}

/// Some clients would wait for the body that it announces, and take the next answer for it.
#[tokio::test]
async fn an_answer_that_can_have_no_body_announces_none() {
    let (address, _) = answering("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n").await;
    let world = World::before(vec![address]);
    let answer = world.ask(format!("{GET}Connection: close\r\n\r\n")).await;
    assert_eq!(header(&answer, "content-length"), None, "{answer}");
}

/// A client may offer several protocols; the instance picks one of them.
#[tokio::test]
async fn the_client_is_told_which_protocol_the_instance_chose() {
    let address = instance(|mut wire| async move {
        wire.head().await.unwrap();
        wire.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
            .await;
        wire.rest().await;
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    client.write(format!("{GET}Connection: Upgrade\r\nUpgrade: websocket, x\r\n\r\n")).await;
    assert_eq!(header(&client.head().await.unwrap(), "upgrade"), Some("x"));
}
