//! What lasts: bodies, tunnels, and the ends of sessions.

use super::*;

/// Bytes of which no two pieces are alike.
fn noise(count: usize) -> Vec<u8> {
    (0..count as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

#[tokio::test]
async fn bodies_pass_whole_both_ways_however_slowly_they_are_taken() {
    const SIZE: usize = 3_000_000;
    // With its size, and in chunks whose sizes are those of what comes.
    for chunked in [false, true] {
        let address = instance(move |mut wire| async move {
            let head = wire.head().await.unwrap();
            let mut body = Vec::new();
            if chunked {
                assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
                loop {
                    let size = wire.until("\r\n").await.unwrap();
                    let size = usize::from_str_radix(size.trim(), 16).unwrap();
                    let mut chunk = vec![0; size + 2];
                    soon(wire.0.read_exact(&mut chunk)).await.unwrap();
                    body.extend_from_slice(&chunk[..size]);
                    if size == 0 {
                        break;
                    }
                }
                wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                let mut rest = &body[..];
                for size in [1, 2000, 2049, 16_000, 16_500, 100_000].into_iter().cycle() {
                    let size = size.min(rest.len());
                    wire.write(format!("{size:x}\r\n")).await;
                    wire.write(&rest[..size]).await;
                    wire.write("\r\n").await;
                    rest = &rest[size..];
                    if size == 0 {
                        break;
                    }
                }
            } else {
                body.resize(SIZE, 0);
                soon(wire.0.read_exact(&mut body)).await.unwrap();
                wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")).await;
                wire.write(&body).await;
            }
        })
        .await;
        let secured = Secured::before(vec![address]);
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 << 10).unwrap();
        let stream = socket.connect(secured.world.proxy).await.unwrap();
        let client = secured.over(stream, &[HTTP_1_1]).await.unwrap();
        let (mut read, mut write) = tokio::io::split(client);
        let sent = noise(SIZE);
        let body = sent.clone();
        let head = GET.replace("GET", "POST") + "Connection: close\r\n";
        tokio::spawn(async move {
            if chunked {
                let head = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
                write.write_all(head.as_bytes()).await.unwrap();
                for piece in body.chunks(12_345) {
                    let size = format!("{:x}\r\n", piece.len());
                    let chunk = [size.as_bytes(), piece, b"\r\n"];
                    write.write_all(&chunk.concat()).await.unwrap();
                }
                write.write_all(b"0\r\n\r\n").await.unwrap();
            } else {
                let head = format!("{head}Content-Length: {SIZE}\r\n\r\n");
                write.write_all(head.as_bytes()).await.unwrap();
                write.write_all(&body).await.unwrap();
            }
            write.flush().await.unwrap();
        });
        let mut got = Vec::new();
        soon(read.read_to_end(&mut got)).await.unwrap();
        let head = got.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let mut body = got.split_off(head);
        if chunked {
            let mut rest = &body[..];
            let mut whole = Vec::new();
            loop {
                let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
                let size = str::from_utf8(&rest[..line]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                whole.extend_from_slice(&rest[line + 2..line + 2 + size]);
                rest = &rest[line + 2 + size + 2..];
                if size == 0 {
                    break;
                }
            }
            body = whole;
        }
        assert!(body == sent, "{} bytes came back, chunked: {chunked}", body.len());
    }
}

#[tokio::test]
async fn a_tunnel_carries_both_sides_and_their_ends() {
    let address = instance(|mut wire| async move {
        wire.head().await.unwrap();
        wire.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhi",
        )
        .await;
        let mut got = vec![0; 100_000];
        soon(wire.0.read_exact(&mut got)).await.unwrap();
        wire.write(&got).await;
        assert_eq!(soon(wire.0.read(&mut [0])).await.unwrap(), 0);
        wire.write("bye").await;
    })
    .await;
    let secured = Secured::before(vec![address]);
    let mut client = secured.connect(&[HTTP_1_1]).await;
    let upgrade = format!("{GET}Connection: Upgrade\r\nUpgrade: x\r\n\r\n");
    client.write_all(upgrade.as_bytes()).await.unwrap();
    until(&mut client, b"\r\n\r\nhi").await;
    let sent = noise(100_000);
    client.write_all(&sent).await.unwrap();
    let mut got = vec![0; sent.len()];
    soon(client.read_exact(&mut got)).await.unwrap();
    assert!(got == sent);
    client.shutdown().await.unwrap();
    let mut last = String::new();
    soon(client.read_to_string(&mut last)).await.unwrap();
    // An end of the session, or this would be an error.
    assert_eq!(last, "bye");
}

#[tokio::test]
async fn a_drain_ends_sessions_and_not_only_sockets() {
    let secured = Secured::before(vec![answering(OK).await.0]);
    let mut client = secured.connect(&[HTTP_1_1]).await;
    client.write_all(format!("{GET}\r\n").as_bytes()).await.unwrap();
    answer(&mut client).await;
    let drain = tokio::spawn(secured.world.drain.drain(PATIENCE));
    // Without close_notify, rustls makes an error of it.
    assert_eq!(soon(client.read(&mut [0])).await.unwrap(), 0);
    client.shutdown().await.unwrap();
    drain.await.unwrap();
}

/// Half of a record is on its way: whoever sent it is not silent, though no byte of a request is
/// here.
#[tokio::test]
async fn a_drain_waits_for_the_rest_of_a_record() {
    let secured = Secured::before(vec![answering(OK).await.0]);
    // What a client writes, held back.
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let connecting = secured.client(&[HTTP_1_1]);
    let connecting =
        tokio::spawn(
            async move { connecting.connect(NAME.try_into().unwrap(), theirs).await.unwrap() },
        );
    let stream = TcpStream::connect(secured.world.proxy).await.unwrap();
    let (mut down, mut up) = stream.into_split();
    let (mut from_client, mut to_client) = tokio::io::split(ours);
    tokio::spawn(async move { tokio::io::copy(&mut down, &mut to_client).await });
    let (held, mut records) = (Arc::new(Mutex::new(false)), Vec::new());
    let hold = Arc::clone(&held);
    let (late, mut when) = watch::channel(false);
    tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = from_client.read(&mut buffer).await.unwrap();
            if count == 0 {
                return;
            }
            if !*hold.lock().unwrap() {
                up.write_all(&buffer[..count]).await.unwrap();
                continue;
            }
            records.extend_from_slice(&buffer[..count]);
            let half = records.len() / 2;
            up.write_all(&records[..half]).await.unwrap();
            when.wait_for(|late| *late).await.unwrap();
            up.write_all(&records[half..]).await.unwrap();
        }
    });
    let mut client = connecting.await.unwrap();
    client.write_all(format!("{GET}\r\n").as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    answer(&mut client).await;
    *held.lock().unwrap() = true;
    client.write_all(format!("{GET}\r\n").as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    let places = Arc::clone(&secured.world.places);
    let drain = tokio::spawn(secured.world.drain.drain(PATIENCE));
    // Longer than a silence is spared.
    let left = tokio::time::timeout(Duration::from_secs(2), async {
        while places.networks() > 0 {
            tokio::task::yield_now().await;
        }
    });
    assert!(left.await.is_err(), "it was let go");
    late.send_replace(true);
    answer(&mut client).await;
    drain.await.unwrap();
}

#[tokio::test]
async fn a_websocket_that_is_told_goodbye_ends_with_its_session() {
    let address = instance(|mut wire| async move {
        wire.head().await.unwrap();
        wire.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        )
        .await;
        let mut close = [0; 8];
        soon(wire.0.read_exact(&mut close)).await.unwrap();
        wire.write(b"\x88\x02\x03\xe9").await;
        wire.rest().await;
    })
    .await;
    let secured = Secured::before(vec![address]);
    let mut client = secured.connect(&[HTTP_1_1]).await;
    let upgrade = format!("{GET}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    client.write_all(upgrade.as_bytes()).await.unwrap();
    until(&mut client, b"\r\n\r\n").await;
    let drained = tokio::spawn(secured.world.drain.drain(PATIENCE));
    let mut close = [0; 4];
    soon(client.read_exact(&mut close)).await.unwrap();
    assert_eq!(&close, b"\x88\x02\x03\xe9");
    client.write_all(b"\x88\x82mask\x6e\x88").await.unwrap();
    // Without close_notify, rustls makes an error of it.
    assert_eq!(soon(client.read(&mut [0])).await.unwrap(), 0);
    client.shutdown().await.unwrap();
    drained.await.unwrap();
}
