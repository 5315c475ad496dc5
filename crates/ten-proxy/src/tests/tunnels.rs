//! Upgrades: a tunnel after the instance's 101, and only then.

use super::*;
use crate::Drained;

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
    client.write(format!("{GET}Connection: Upgrade\r\nUpgrade: x\r\n\r\n")).await;
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

/// Of several that were offered one may be chosen, and none that was not.
#[tokio::test]
async fn no_tunnel_for_what_was_not_offered() {
    for (chosen, status) in [("b", "101"), ("B", "101"), ("h2c", "502"), ("b, h2c", "502")] {
        let head = format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: {chosen}\r\n\r\n");
        let (address, _) = answering(head.leak()).await;
        let world = World::before(vec![address]);
        let mut client = world.client().await;
        client.write(format!("{GET}Connection: Upgrade\r\nUpgrade: a, b\r\n\r\n")).await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{chosen}: {head}");
    }
}

/// A client and an instance that have switched protocols, both in the hands of the test.
async fn tunnel(protocol: &'static str) -> (World, Wire, Wire) {
    let (hand, mut handed) = tokio::sync::mpsc::unbounded_channel();
    let address = instance(move |mut wire| {
        let hand = hand.clone();
        async move {
            wire.head().await.unwrap();
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ";
            wire.write(format!("{head}{protocol}\r\n\r\n")).await;
            hand.send(wire).unwrap_or_else(|_| panic!("the test has ended"));
        }
    })
    .await;
    let world = World::before(vec![address]);
    let mut client = world.client().await;
    client.write(format!("{GET}Connection: upgrade\r\nUpgrade: {protocol}\r\n\r\n")).await;
    client.head().await.unwrap();
    let instance = soon(handed.recv()).await.unwrap();
    (world, client, instance)
}

impl Wire {
    async fn exactly<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        soon(self.0.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// Reads the Close of a server, going away.
    async fn goodbye(&mut self) {
        assert_eq!(self.exactly().await, [0x88, 2, 0x03, 0xE9]);
    }

    /// Reads the Close of a client, going away.
    async fn masked_goodbye(&mut self) {
        let [opcode, length, a, b, _, _, high, low] = self.exactly().await;
        assert_eq!([opcode, length, a ^ high, b ^ low], [0x88, 0x82, 0x03, 0xE9]);
    }
}

/// Sends bytes from one side and reads exactly these on the other.
async fn passes(from: &mut Wire, to: &mut Wire, bytes: &[u8]) {
    from.write(bytes).await;
    let mut heard = vec![0; bytes.len()];
    soon(to.0.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard, bytes);
}

/// Runs on a paused clock. Only this does: to such a clock, bytes that the kernel is slow to hand
/// over look like a silence to be skipped.
async fn without_waiting<T>(work: impl Future<Output = T>) -> T {
    tokio::time::pause();
    let done = work.await;
    tokio::time::resume();
    done
}

const CLOSE: [u8; 2] = [0x88, 0];
const MASKED_CLOSE: [u8; 6] = [0x88, 0x80, 1, 2, 3, 4];
const DEADLINE: Duration = Duration::from_secs(20);

/// Who ends. To a tunnel it is all the same.
#[derive(Clone, Copy)]
enum Ends {
    Server,
    Instance,
}

impl Ends {
    const EITHER: [Self; 2] = [Self::Server, Self::Instance];

    /// Begins its drain. What is returned waits until that is over.
    fn begin(self, World { fleet, drain, .. }: World) -> impl Future<Output = ()> {
        let server = match self {
            Self::Server => Some(tokio::spawn(drain.drain(DEADLINE))),
            Self::Instance => {
                fleet.drain();
                None
            }
        };
        async move {
            if let Some(server) = server {
                assert_eq!(soon(server).await.unwrap(), Drained::Complete);
            }
            fleet.in_use(0).await;
        }
    }
}

#[tokio::test]
async fn a_drain_closes_a_websocket_with_both_sides() {
    for ends in Ends::EITHER {
        let (world, mut client, mut instance) = tunnel("WebSocket").await;
        passes(&mut client, &mut instance, b"\x81\x85maskHELLO").await;
        let drained = ends.begin(world);
        client.goodbye().await;
        instance.masked_goodbye().await;
        // What they still say before they have heard it reaches nobody.
        instance.write(b"\x81\x02hi").await;
        instance.write(CLOSE).await;
        client.write(MASKED_CLOSE).await;
        assert_eq!((client.rest().await, instance.rest().await), ("".into(), "".into()));
        drained.await;
    }
}

#[tokio::test]
async fn a_drain_interrupts_a_message_and_never_a_frame() {
    for ends in Ends::EITHER {
        let (world, mut client, mut instance) = tunnel("websocket").await;
        // Half of the first fragment one way, half of a header the other way.
        passes(&mut instance, &mut client, b"\x01\x04ab").await;
        passes(&mut client, &mut instance, b"\x82").await;
        let drained = ends.begin(world);
        instance.write(b"cd\x80\x02ef").await;
        assert_eq!(&client.exactly().await, b"cd");
        client.goodbye().await;
        client.write([0xFE, 0, 1, 9, 9, 9, 9, b'x']).await;
        client.write(MASKED_CLOSE).await;
        assert_eq!(instance.exactly().await, [0xFE, 0, 1, 9, 9, 9, 9, b'x']);
        instance.masked_goodbye().await;
        instance.write(CLOSE).await;
        assert_eq!((client.rest().await, instance.rest().await), ("".into(), "".into()));
        drained.await;
    }
}

#[tokio::test]
async fn a_drain_says_nothing_after_a_close_of_a_sides_own() {
    for ends in Ends::EITHER {
        let (world, mut client, mut instance) = tunnel("websocket").await;
        passes(&mut client, &mut instance, &MASKED_CLOSE).await;
        passes(&mut instance, &mut client, &CLOSE).await;
        let drained = ends.begin(world);
        assert_eq!((client.rest().await, instance.rest().await), ("".into(), "".into()));
        drained.await;
    }
}

#[tokio::test]
async fn who_does_not_answer_a_goodbye_is_not_waited_for() {
    for ends in Ends::EITHER {
        let (world, mut client, mut instance) = tunnel("websocket").await;
        without_waiting(ends.begin(world)).await;
        client.goodbye().await;
        instance.masked_goodbye().await;
        assert_eq!((client.rest().await, instance.rest().await), ("".into(), "".into()));
    }
}

/// Its request was under way when the drain began.
#[tokio::test]
async fn a_websocket_that_is_opened_late_is_closed_at_once() {
    for ends in Ends::EITHER {
        let (go, going) = watch::channel(false);
        let address = instance(move |mut wire| {
            let mut going = going.clone();
            async move {
                wire.head().await.unwrap();
                going.wait_for(|going| *going).await.unwrap();
                let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
                wire.write(format!("{head}Upgrade: websocket\r\n\r\n")).await;
                wire.masked_goodbye().await;
                wire.write(CLOSE).await;
                assert_eq!(wire.rest().await, "");
            }
        })
        .await;
        let world = World::before(vec![address]);
        let mut client = world.client().await;
        client.write(format!("{GET}{UPGRADE}\r\n")).await;
        world.fleet.in_use(1).await;
        let drained = ends.begin(world);
        go.send_replace(true);
        client.head().await.unwrap();
        client.goodbye().await;
        client.write(MASKED_CLOSE).await;
        assert_eq!(client.rest().await, "");
        drained.await;
    }
}

/// In the middle of a frame there is no place for a goodbye; in bytes without frames neither.
const UNINTERRUPTED: [(&str, &[u8]); 4] = [
    ("websocket", b"\x82\x7Ehell"),
    ("websocket", b"\x82\x7F\x80\0\0\0\0\0\0\0"),
    ("chat", b"hell"),
    ("chat", b""),
];

#[tokio::test]
async fn what_cannot_be_interrupted_is_cut_at_the_deadline_of_the_server() {
    for (protocol, said) in UNINTERRUPTED {
        let (World { fleet, drain, .. }, mut client, mut instance) = tunnel(protocol).await;
        passes(&mut instance, &mut client, said).await;
        passes(&mut client, &mut instance, said).await;
        let drained = without_waiting(drain.drain(DEADLINE)).await;
        assert_eq!(drained, Drained::Cut, "{protocol} {said:?}");
        assert_eq!((client.rest().await, instance.rest().await), ("".into(), "".into()));
        fleet.in_use(0).await;
    }
}

/// An instance has a deadline, too, but that is not the data plane's.
#[tokio::test]
async fn what_cannot_be_interrupted_goes_on_while_its_instance_drains() {
    for (protocol, said) in UNINTERRUPTED {
        let (World { fleet, .. }, mut client, mut instance) = tunnel(protocol).await;
        passes(&mut instance, &mut client, said).await;
        passes(&mut client, &mut instance, said).await;
        fleet.drain();
        for _ in 0..2 {
            passes(&mut instance, &mut client, b"more").await;
            passes(&mut client, &mut instance, b"more").await;
        }
        fleet.in_use(1).await;
        client.0.shutdown().await.unwrap();
        drop(instance);
        assert_eq!(client.rest().await, "");
        fleet.in_use(0).await;
    }
}

#[tokio::test]
async fn who_takes_nothing_slows_the_other_side_down() {
    let (_world, mut client, mut instance) = tunnel("websocket").await;
    let piece = vec![b'x'; 1 << 16];
    let mut sent = 0;
    // The clock moves when nobody can do anything: then all buffers on the way are full.
    let second = Duration::from_secs(1);
    while let Ok(wrote) =
        without_waiting(tokio::time::timeout(second, client.0.write(&piece))).await
    {
        sent += wrote.unwrap();
    }
    // The other direction is not held up by that.
    instance.write(b"still here").await;
    client.until("still here").await.unwrap();
    client.0.shutdown().await.unwrap();
    assert_eq!(instance.rest().await.len(), sent);
}

/// What the instance said last must not be lost because the client goes on sending.
#[tokio::test]
async fn the_last_word_of_an_instance_that_hears_no_more() {
    let (World { fleet, .. }, mut client, mut instance) = tunnel("websocket").await;
    let piece = vec![b'x'; 1 << 16];
    client.write(&piece).await;
    instance.write(b"\x88\x02\x03\xF1").await;
    // With bytes unread, this resets the connection to the proxy.
    drop(instance);
    // No goodbye and no end has been read yet; writing goes on into nothing.
    for _ in 0..64 {
        client.write(&piece).await;
    }
    assert_eq!(client.exactly().await, [0x88, 2, 0x03, 0xF1]);
    drop(client);
    fleet.in_use(0).await;
}

#[tokio::test]
async fn a_client_that_breaks_off_frees_its_instance() {
    let (World { fleet, .. }, client, mut instance) = tunnel("websocket").await;
    fleet.in_use(1).await;
    rustix::net::sockopt::set_socket_linger(&client.0, Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(instance.rest().await, "");
    fleet.in_use(0).await;
}

/// The client stays connected and takes nothing of what it is sent.
#[tokio::test]
async fn a_client_that_takes_nothing_holds_no_instance() {
    const SHORT: Duration = Duration::from_millis(300);
    let address = instance(|mut wire| async move {
        wire.head().await.unwrap();
        wire.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        )
        .await;
        let frame = [&[0x82, 126, 4, 0][..], &[b'x'; 1024]].concat();
        while wire.0.write_all(&frame).await.is_ok() {}
    })
    .await;
    let settings =
        ProxySettings { body_timeout: SHORT, min_body_rate: 0, ..ProxySettings::DEFAULT };
    let world = World::allowing(settings, vec![address]);
    let mut client = world.client().await;
    client.write(format!("{GET}{UPGRADE}\r\n")).await;
    client.head().await.unwrap();
    // While it takes some, it stays.
    let began = tokio::time::Instant::now();
    while began.elapsed() < 3 * SHORT {
        soon(client.0.read_exact(&mut [0; 1 << 16])).await.unwrap();
    }
    world.fleet.in_use(1).await;
    world.fleet.in_use(0).await;
}
