//! Where an answer ends, and when a connection is not to be had.

use std::future::poll_fn;

use super::{
    super::access_log::{next, observed},
    *,
};

/// A client of HTTP/1 has all that was announced before the stream has ended. That is no reason
/// to reset it: servers count resets as attacks.
#[tokio::test]
async fn an_answer_is_whole_before_its_stream_ends() {
    let go = watch::Sender::new(false);
    let gone = go.clone();
    let (reset, mut resets) = watch::channel(None);
    let (address, _) = h2_instance(Builder::new(), move |_, mut respond| {
        let (mut go, reset) = (gone.subscribe(), reset.clone());
        async move {
            let head = Response::builder().header("content-length", 2).body(()).unwrap();
            let mut stream = respond.send_response(head, false).unwrap();
            stream.send_data("ok".into(), false).unwrap();
            let was_reset = tokio::select! {
                reason = poll_fn(|cx| stream.poll_reset(cx)) => Some(reason.unwrap()),
                _ = go.wait_for(|go| *go) => {
                    stream.send_data(Bytes::new(), true).unwrap();
                    None
                }
            };
            reset.send_replace(Some(was_reset));
        }
    })
    .await;
    let (world, told) = observed(Protocol::H2c, vec![address]);
    let mut client = world.client().await;
    client.write(get("")).await;
    assert!(client.request().await.unwrap().ends_with("ok"));
    assert!(!next(&told).await.cut);
    world.fleet.in_use(0).await;
    // Time enough for a reset to arrive: the way of another request.
    client.write(GET.replace("GET / ", "GET /2 ") + "\r\n").await;
    assert!(client.request().await.unwrap().ends_with("ok"));
    go.send_replace(true);
    let reset = soon(resets.wait_for(Option::is_some)).await.unwrap().flatten();
    assert_eq!(reset, None);
    assert!(!next(&told).await.cut);
}

/// Whoever wants a connection that another is opening waits no longer than that one.
#[tokio::test(start_paused = true)]
async fn a_silent_listener_holds_nobody_up_for_longer_than_one() {
    let address = instance(|wire| async move {
        let _open = wire;
        std::future::pending::<()>().await;
    })
    .await;
    let world = world(address);
    let start = tokio::time::Instant::now();
    let mut clients = Vec::new();
    for n in 1..=3 {
        let mut client = world.client().await;
        client.write(get("Connection: close\r\n")).await;
        clients.push(client);
        world.fleet.0.in_use.subscribe().wait_for(|in_use| *in_use == n).await.unwrap();
    }
    for mut client in clients {
        let mut answered = String::new();
        client.0.read_to_string(&mut answered).await.unwrap();
        assert!(answered.starts_with("HTTP/1.1 502"), "{answered}");
    }
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}
