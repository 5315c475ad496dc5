//! Bodies pass piece by piece, with back-pressure, and not before their time.

use super::*;

#[tokio::test]
async fn an_answer_is_passed_on_as_it_comes() {
    let go = watch::Sender::new(false);
    let gone = go.clone();
    let address = instance(move |mut wire| {
        let mut go = gone.subscribe();
        async move {
            wire.request().await;
            wire.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
                .await;
            go.wait_for(|go| *go).await.unwrap();
            wire.write("data: 2\n\n").await;
        }
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    client.write(format!("{GET}\r\n")).await;
    client.until("data: 1\n\n").await.unwrap();
    world.fleet.in_use(1).await;
    go.send_replace(true);
    client.until("data: 2\n\n").await.unwrap();
    client.until("0\r\n\r\n").await.unwrap();
    world.fleet.in_use(0).await;
}

#[tokio::test]
async fn a_body_waits_for_its_instance_and_100_continue_with_it() {
    let (address, seen) = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let world = World::before(vec![address]);
    world.fleet.set(Gate::Waking);
    let mut client = world.client().await;
    let post = GET.replace("GET", "POST");
    client.write(format!("{post}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")).await;
    world.fleet.waiting(1).await;
    let mut byte = [0];
    assert_eq!(client.0.try_read(&mut byte).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    world.fleet.set(Gate::Open);
    assert_eq!(client.head().await.unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.write("hi").await;
    assert!(client.request().await.unwrap().ends_with("ok"));
    assert!(seen.lock().unwrap()[0].ends_with("hi"));
}

#[tokio::test]
async fn a_refused_upload_is_never_invited() {
    let world = World::before(vec![Address::Unix("/nowhere".into())]);
    world.fleet.set(Gate::Refused(Refusal::Failed));
    let post = GET.replace("GET", "POST");
    let answer =
        world.ask(format!("{post}Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(header(&answer, "connection"), Some("close"));
    assert_eq!(header(&answer, "x-ten-state"), Some("failed"));
}

/// A client is told that its connection ends with the answer, where its body was not read.
#[tokio::test]
async fn an_answer_in_place_of_an_upload_closes_unless_the_whole_of_it_is_here() {
    let post = GET.replace("GET", "POST");
    for (sent, connection) in [("half", Some("close")), ("all of it!", None)] {
        let world = World::before(vec![Address::Unix("/nowhere".into())]);
        let mut client = world.client().await;
        let request = post.replace("a.api.example.com", "example.com");
        client.write(format!("{request}Content-Length: 10\r\n\r\n{sent}")).await;
        let answer = client.request().await.unwrap();
        assert!(answer.ends_with("management / 127.0.0.1"), "{answer}");
        assert_eq!(header(&answer, "connection"), connection, "{sent}");
    }
}

/// A client that is answered may stop its upload: whoever reads that is told that there is no more,
/// and says the rest.
#[tokio::test(start_paused = true)]
async fn an_upload_that_stands_still_after_the_answer_began_ends_for_the_instance() {
    let address = instance(|mut wire| async move {
        wire.head().await;
        wire.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no").await;
        // Not by way of `soon`: its patience ends on the same clock.
        let mut rest = Vec::new();
        wire.0.read_to_end(&mut rest).await.unwrap();
        wire.write("k").await;
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    let post = GET.replace("GET", "POST");
    client.write(format!("{post}Content-Length: 10\r\n\r\nhalf")).await;
    client.until("\r\n\r\no").await.unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(client.0.read_u8().await.unwrap(), b'k');
    let (took, limit) = (start.elapsed(), ProxySettings::DEFAULT.body_timeout);
    assert!(took >= limit && took < 2 * limit, "{took:?}");
    world.fleet.in_use(0).await;
}

/// What the client does to its upload after the answer has begun ends the exchange, and with it
/// the use of the instance: nothing more can come of it.
#[tokio::test]
async fn an_upload_that_breaks_after_the_answer_began_breaks_that_off() {
    let post = GET.replace("GET", "POST");
    for more in ["ZZ\r\n", "1\r\nxx\r\n"] {
        let address = instance(|mut wire| async move {
            wire.head().await;
            wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n").await;
            wire.rest().await;
        })
        .await;
        let world = World::before(vec![address]);
        let mut client = world.client().await;
        client.write(format!("{post}Transfer-Encoding: chunked\r\n\r\n")).await;
        client.until("\r\nx\r\n").await.unwrap();
        client.write(more).await;
        assert_eq!(client.rest().await, "");
        world.fleet.in_use(0).await;
    }
}

/// The client is in the middle of its upload when it is answered; the answer must not be
/// lost to the reset that unread bytes cause.
#[tokio::test]
async fn an_early_answer_survives_the_upload_under_way() {
    let world = World::before(vec![Address::Unix("/nowhere".into())]);
    world.fleet.set(Gate::Refused(Refusal::QueueFull));
    let post = GET.replace("GET", "POST");
    let body = vec![b'x'; 500_000];
    let mut request = format!("{post}Content-Length: 500000\r\n\r\n").into_bytes();
    request.extend(body);
    let answer = world.ask(request).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(header(&answer, "retry-after"), Some("1"));
}

/// 64 MB pass; while the instance does not read, the client cannot write more than what the
/// buffers on the way hold.
#[tokio::test]
async fn an_upload_is_held_back_by_its_reader() {
    const SIZE: usize = 64 << 20;
    let go = watch::Sender::new(false);
    let gone = go.clone();
    let address = instance(move |mut wire| {
        let mut go = gone.subscribe();
        async move {
            wire.head().await;
            go.wait_for(|go| *go).await.unwrap();
            let (mut left, mut piece) = (SIZE, vec![0; 1 << 16]);
            while left > 0 {
                left -= wire.0.read(&mut piece).await.unwrap();
            }
            wire.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    client.write(GET.replace("GET", "PUT") + &format!("Content-Length: {SIZE}\r\n\r\n")).await;
    world.fleet.in_use(1).await;
    held_back(&mut client, SIZE, || go.send_modify(|go| *go = true)).await;
    assert!(client.request().await.unwrap().ends_with("ok"));
}

/// The instance refuses an upload by its head alone, and reads on. With its answer ends the
/// upload, for the instance and for the client, though that would go on for ever.
#[tokio::test]
async fn an_answer_may_come_before_the_upload_ends() {
    let ended = watch::Sender::new(false);
    let end = ended.clone();
    let address = instance(move |mut wire| {
        let ended = ended.clone();
        async move {
            wire.head().await;
            wire.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno").await;
            wire.rest().await;
            ended.send_replace(true);
        }
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    let post = GET.replace("GET", "POST");
    client.write(format!("{post}Content-Length: 1000000000\r\n\r\nthe first of many")).await;
    let answer = client.request().await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.ends_with("no"), "{answer}");
    world.fleet.in_use(0).await;
    assert_eq!(world.fleet.pooled(), 0);
    soon(end.subscribe().wait_for(|ended| *ended)).await.unwrap();
    let piece = vec![b'x'; 1 << 16];
    soon(async { while client.0.write_all(&piece).await.is_ok() {} }).await;
}

/// The instance answers while it reads, in pieces of any size, and the client takes none of that
/// before it has sent everything.
#[tokio::test(start_paused = true)]
async fn an_upload_goes_on_while_its_answer_is_not_taken() {
    const SIZE: usize = 32 << 20;
    for piece in [1 << 10, 16 << 10] {
        let (taken, mut took) = watch::channel(false);
        let address = instance(move |mut wire| {
            let taken = taken.clone();
            async move {
                wire.head().await;
                wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                let chunk = format!("{piece:x}\r\n{}\r\n", "x".repeat(piece));
                let chunks = chunk.repeat((1 << 20) / piece);
                let (mut reading, mut writing) = wire.0.into_split();
                let read = async move {
                    let (mut left, mut piece) = (SIZE, vec![0; 1 << 16]);
                    while left > 0 {
                        left -= reading.read(&mut piece).await.unwrap();
                    }
                    taken.send_replace(true);
                    std::future::pending::<()>().await;
                };
                let write =
                    async move { while writing.write_all(chunks.as_bytes()).await.is_ok() {} };
                tokio::select! {
                    () = read => {}
                    () = write => {}
                }
            }
        })
        .await;
        let world = World::before(vec![address]);
        let mut client = world.client().await;
        let post = GET.replace("GET", "POST");
        client.write(format!("{post}Content-Length: {SIZE}\r\n\r\n")).await;
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
        // The clock moves only when nobody can do anything: then all buffers on the way are full.
        let nothing = std::future::pending::<()>();
        tokio::time::timeout(Duration::from_secs(1), nothing).await.unwrap_err();
        soon(client.0.write_all(&vec![b'x'; SIZE])).await.unwrap();
        soon(took.wait_for(|taken| *taken)).await.unwrap();
    }
}

/// Sends a body of `size` bytes, most of which must wait for a reader; `read` lets it read.
pub(super) async fn held_back(client: &mut Wire, size: usize, read: impl FnOnce()) {
    // Socket buffers of the kernel on both ways (tcp_wmem and tcp_rmem grow to megabytes),
    // and ours, which are 64 KiB: far less than the body.
    const ON_THE_WAY: usize = 32 << 20;
    let piece = vec![b'x'; 1 << 16];
    let mut sent = 0;
    // Nothing is left to do for anyone once a write stays pending while all tasks are idle;
    // a second is long enough to see that, and only a failure is cut short by it.
    while sent < size {
        let write = client.0.write(&piece[..piece.len().min(size - sent)]);
        match tokio::time::timeout(Duration::from_secs(1), write).await {
            Ok(written) => sent += written.unwrap(),
            Err(_) => break,
        }
    }
    assert!(sent < ON_THE_WAY, "{sent} bytes were taken without a reader");
    read();
    while sent < size {
        sent += soon(client.0.write(&piece[..piece.len().min(size - sent)])).await.unwrap();
    }
}
