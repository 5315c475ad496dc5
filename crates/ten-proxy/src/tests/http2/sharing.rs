//! What many requests on one connection of HTTP/2 leave each other.

use super::*;

/// An instance that reads a chunked body to its end, and says how many bytes it had.
async fn counting() -> Address {
    instance(|mut wire| async move {
        while let Some(head) = wire.head().await {
            assert!(head.to_lowercase().contains("transfer-encoding: chunked"), "{head}");
            let mut count = 0;
            loop {
                let size = wire.until("\r\n").await.unwrap();
                let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
                wire.0.read_exact(&mut vec![0; size + 2]).await.unwrap();
                count += size;
                if size == 0 {
                    break;
                }
            }
            let count = count.to_string();
            wire.write(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{count}",
                count.len()
            ))
            .await;
        }
    })
    .await
}

/// Messages of gRPC are frames of a few bytes, and a connection through a balancer is many clients'.
#[tokio::test]
async fn small_frames_wait_for_an_instance_that_wakes() {
    const PIECE: &str = "a message of 20 byte";
    let world = World::before(vec![counting().await]);
    world.fleet.set(Gate::Waking);
    let (mut client, driver) = connect(&world).await;
    let mut waiting = Vec::new();
    for pause in [1, 7, usize::MAX] {
        let post = Request::post("http://a.api.example.com/").body(()).unwrap();
        let (response, mut body) = send(&mut client, post, false).await;
        for count in 0..5000 {
            body.send_data(PIECE.into(), count == 4999).unwrap();
            if count % pause == 0 {
                tokio::task::yield_now().await;
            }
        }
        waiting.push(response);
    }
    world.fleet.waiting(3).await;
    assert!(!driver.is_finished(), "{:?}", driver.await);
    world.fleet.set(Gate::Open);
    for response in waiting {
        let response = soon(response).await.unwrap();
        assert_eq!(text(response.into_body()).await, (5000 * PIECE.len()).to_string());
    }
}

#[tokio::test]
async fn uploads_that_wait_keep_nothing_from_others() {
    let world = World::before(vec![counting().await]);
    world.fleet.set(Gate::Waking);
    let (mut client, _) = connect(&world).await;
    let mut waiting = Vec::new();
    let upload = |mut body: SendStream<Bytes>| {
        tokio::spawn(async move {
            let mut left = 1_000_000;
            while left > 0 {
                body.reserve_capacity(left);
                let Some(Ok(room)) = std::future::poll_fn(|cx| body.poll_capacity(cx)).await else {
                    return;
                };
                left -= room;
                body.send_data(vec![0; room].into(), left == 0).unwrap();
            }
        })
    };
    for _ in 0..50 {
        let post = Request::post("http://a.api.example.com/").body(()).unwrap();
        let (response, body) = send(&mut client, post, false).await;
        waiting.push(response);
        upload(body);
    }
    world.fleet.waiting(50).await;
    // They have sent what they may, and for one more there is room.
    let post = Request::post("http://a.api.example.com/").body(()).unwrap();
    let (response, mut body) = send(&mut client, post, false).await;
    let mut left = 50_000;
    while left > 0 {
        body.reserve_capacity(left);
        let room = soon(std::future::poll_fn(|cx| body.poll_capacity(cx))).await;
        let room = room.unwrap().unwrap();
        left -= room;
        body.send_data(vec![0; room].into(), left == 0).unwrap();
    }
    world.fleet.set(Gate::Open);
    for response in waiting {
        assert_eq!(text(soon(response).await.unwrap().into_body()).await, "1000000");
    }
    assert_eq!(text(soon(response).await.unwrap().into_body()).await, "50000");
}

/// Those that are silent make room for requests as they do for connections.
#[tokio::test]
async fn silent_connections_make_room_for_requests() {
    let (address, _) = answering(OK).await;
    let settings = ProxySettings { max_connections: 10, ..ProxySettings::DEFAULT };
    let world = World::allowing(settings, vec![address]);
    let (mut client, _) = connect(&world).await;
    let mut silent = Vec::new();
    for _ in 0..9 {
        silent.push(world.client().await);
    }
    world.fleet.set(Gate::Waking);
    let mut waiting = Vec::new();
    for _ in 0..10 {
        waiting.push(send(&mut client, get("http://a.api.example.com/"), true).await.0);
    }
    world.fleet.waiting(10).await;
    // Now all are busy.
    let refused = ask(&mut client, get("http://a.api.example.com/")).await;
    assert_eq!(refused.0, StatusCode::TOO_MANY_REQUESTS);
    world.fleet.set(Gate::Open);
    for answer in waiting {
        assert_eq!(soon(answer).await.unwrap().status(), StatusCode::OK);
    }
}

/// Of an upload that is refused, some is on its way.
#[tokio::test]
async fn small_frames_that_nobody_reads_end_no_connection() {
    let (address, _) = answering(OK).await;
    let world = World::before(vec![address]);
    let (mut client, driver) = connect(&world).await;
    for _ in 0..100 {
        let post = Request::post("http://nobody.example/").body(()).unwrap();
        let (response, mut body) = send(&mut client, post, false).await;
        for _ in 0..100 {
            body.send_data("x".into(), false).unwrap();
        }
        assert_eq!(soon(response).await.unwrap().status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(ask(&mut client, get("http://a.api.example.com/")).await.0, StatusCode::OK);
    assert!(!driver.is_finished());
}
