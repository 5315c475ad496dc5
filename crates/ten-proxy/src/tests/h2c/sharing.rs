//! Requests that share a connection share nothing else: how many do, and what one can do to
//! the others.

use super::*;

/// An instance whose answers wait for a word.
async fn waiting(builder: Builder) -> (Address, watch::Receiver<usize>, watch::Sender<bool>) {
    let go = watch::Sender::new(false);
    let gone = go.clone();
    let (address, connections) = h2_instance(builder, move |_, respond| {
        let mut go = gone.subscribe();
        async move {
            go.wait_for(|go| *go).await.unwrap();
            answer(respond, 200, "ok");
        }
    })
    .await;
    (address, connections, go)
}

#[tokio::test]
async fn requests_share_connections_as_far_as_the_instance_allows() {
    for (allowed, requests, wanted) in [(None, 32, 1), (None, 40, 2), (Some(3), 9, 3)] {
        let mut builder = Builder::new();
        if let Some(allowed) = allowed {
            builder.max_concurrent_streams(allowed);
        }
        let (address, connections, go) = waiting(builder).await;
        let world = world(address);
        let mut clients = Vec::new();
        for _ in 0..requests {
            let mut client = world.client().await;
            client.write(get("")).await;
            clients.push(client);
        }
        world.fleet.in_use(requests).await;
        go.send_replace(true);
        for mut client in clients {
            assert!(client.request().await.unwrap().contains("ok"));
        }
        world.fleet.in_use(0).await;
        assert_eq!(*connections.borrow(), wanted, "{requests} requests, {allowed:?} allowed");
        assert_eq!(world.fleet.pooled(), wanted);
    }
}

/// What is over for one is over for it alone: the connection and the others on it stay.
#[tokio::test]
async fn an_early_answer_and_a_client_that_leaves_end_one_stream() {
    let (ended, mut end) = watch::channel(0);
    let (address, connections) = h2_instance(Builder::new(), move |request, respond| {
        let ended = ended.clone();
        async move {
            if request.method() == "GET" {
                return answer(respond, 200, "ok");
            }
            let mut unanswered = Some(respond);
            if let Some(respond) = unanswered.take_if(|_| request.method() == "POST") {
                answer(respond, 413, "no");
            }
            let error = read(&mut request.into_body()).await.unwrap_err();
            assert_eq!(error.reason(), Some(Reason::CANCEL));
            ended.send_modify(|n| *n += 1);
        }
    })
    .await;
    let world = world(address);
    let mut early = world.client().await;
    early.write(post("Content-Length: 1000000000\r\n\r\nthe first of many")).await;
    let answered = early.request().await.unwrap();
    assert!(answered.starts_with("HTTP/1.1 413"), "{answered}");
    soon(end.wait_for(|n| *n == 1)).await.unwrap();

    let mut leaving = world.client().await;
    leaving.write(GET.replace("GET", "PUT") + "Content-Length: 100\r\n\r\nhalf").await;
    world.fleet.in_use(1).await;
    drop(leaving);
    soon(end.wait_for(|n| *n == 2)).await.unwrap();
    world.fleet.in_use(0).await;

    assert!(world.ask(get("Connection: close\r\n")).await.contains("ok"));
    assert_eq!(*connections.borrow(), 1);
}

/// All but one of the streams of a connection are not read by their clients, however large or
/// small the pieces are that the instance sends.
#[tokio::test]
async fn stalled_clients_leave_the_others_their_window() {
    for (size, piece) in [(10 << 20, 1 << 16), (1 << 20, 16)] {
        let (address, connections) =
            h2_instance(Builder::new(), move |_, mut respond| async move {
                let Ok(mut stream) = respond.send_response(Response::new(()), false) else {
                    return;
                };
                let mut left = size;
                while left > 0 {
                    stream.reserve_capacity(piece.min(left));
                    while stream.capacity() == 0 {
                        let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
                        let Some(Ok(_)) = capacity else { return };
                    }
                    let n = stream.capacity().min(piece);
                    left -= n;
                    stream.send_data(vec![b'x'; n].into(), left == 0).unwrap();
                }
            })
            .await;
        let world = world(address);
        let stream = TcpStream::connect(world.proxy).await.unwrap();
        let mut narrow = h2::client::Builder::new();
        narrow.initial_window_size(1 << 10).data_frame_budget(1 << 20);
        let (mut client, connection) = narrow.handshake::<_, Bytes>(stream).await.unwrap();
        tokio::spawn(connection);
        let mut stalled = Vec::new();
        for _ in 0..31 {
            let (response, _) = client.send_request(to_a("GET"), true).unwrap();
            stalled.push(soon(response).await.unwrap());
        }
        for _ in 0..3 {
            let answered = soon(world.ask(get("Connection: close\r\n"))).await;
            assert!(answered.len() > size, "{}", answered.len());
        }
        assert_eq!(*connections.borrow(), 1);
        drop(stalled);
        world.fleet.in_use(0).await;
    }
}

#[tokio::test]
async fn many_clients_that_leave_are_no_fault_of_the_instance() {
    let (address, connections, go) = waiting(Builder::new()).await;
    let world = world(address);
    for _ in 0..200 {
        let mut clients = Vec::new();
        for _ in 0..10 {
            let mut client = world.client().await;
            client.write(get("")).await;
            clients.push(client);
        }
        world.fleet.in_use(10).await;
        drop(clients);
        world.fleet.in_use(0).await;
    }
    go.send_replace(true);
    assert!(world.ask(get("Connection: close\r\n")).await.contains("ok"));
    assert_eq!(*connections.borrow(), 1);
}
