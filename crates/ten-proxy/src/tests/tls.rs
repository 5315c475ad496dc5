//! Clients that speak TLS. What is HTTP is no other than without; here is what lies between.

use std::{collections::VecDeque, pin::Pin};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::{Certificates, Identity, tls::tests::pair};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const NAME: &str = "a.api.example.com";
const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// One identity after the other, the last for ever, and for which names.
#[derive(Debug)]
struct Known {
    identities: Mutex<VecDeque<Identity>>,
    asked: Mutex<Vec<Option<String>>>,
}

impl Certificates for Known {
    fn identity<'a>(
        &'a self,
        name: Option<&'a str>,
    ) -> Pin<Box<dyn Future<Output = Identity> + Send + 'a>> {
        self.asked.lock().unwrap().push(name.map(str::to_owned));
        let mut identities = self.identities.lock().unwrap();
        let next = identities[0].clone();
        if identities.len() > 1 {
            identities.pop_front();
        }
        Box::pin(async move { next })
    }
}

/// A proxy that serves HTTPS, and whom its clients trust.
struct Secured {
    world: World,
    known: Arc<Known>,
    roots: RootCertStore,
}

impl Secured {
    fn before(addresses: Vec<Address>) -> Self {
        Self::allowing(ProxySettings::DEFAULT, addresses)
    }

    fn allowing(settings: ProxySettings, addresses: Vec<Address>) -> Self {
        Self::with(1, settings, addresses)
    }

    /// With so many certificates in turn.
    fn with(certificates: usize, settings: ProxySettings, addresses: Vec<Address>) -> Self {
        let mut roots = RootCertStore::empty();
        let identities = (0..certificates).map(|_| {
            let (chain, key) = pair(&[NAME, "b.api.example.com"]);
            roots.add(CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()).unwrap();
            Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
        });
        let identities = Mutex::new(identities.collect());
        let known = Arc::new(Known { identities, asked: Mutex::default() });
        let door = Door::Secure(Arc::clone(&known) as Arc<dyn Certificates>);
        Self { world: World::behind(door, settings, addresses), known, roots }
    }

    fn client(&self, protocols: &[&[u8]]) -> TlsConnector {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        Arc::new(config).into()
    }

    async fn over(
        &self,
        stream: TcpStream,
        protocols: &[&[u8]],
    ) -> io::Result<TlsStream<TcpStream>> {
        soon(self.client(protocols).connect(NAME.try_into().unwrap(), stream)).await
    }

    async fn connect(&self, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.world.proxy).await.unwrap();
        self.over(stream, protocols).await.unwrap()
    }

    /// What is answered to a request on a connection of its own.
    async fn ask(&self, request: &str) -> String {
        let mut client = self.connect(&[HTTP_1_1]).await;
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon(client.read_to_string(&mut answer)).await.unwrap();
        answer
    }
}

async fn answer(client: &mut TlsStream<TcpStream>) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"ok") {
        read.push(soon(client.read_u8()).await.unwrap());
    }
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn an_instance_learns_that_its_client_spoke_tls() {
    let (address, seen) = answering(OK).await;
    let secured = Secured::before(vec![address]);
    let mut client = secured.connect(&[HTTP_1_1]).await;
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(HTTP_1_1));
    for _ in 0..3 {
        client.write_all(format!("{GET}\r\n").as_bytes()).await.unwrap();
        assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
    }
    let seen = seen.lock().unwrap();
    assert_eq!(header(&seen[2], "x-forwarded-proto"), Some("https"));
    assert_eq!(
        header(&seen[2], "forwarded"),
        Some("for=127.0.0.1;host=\"a.api.example.com\";proto=https")
    );
    assert_eq!(*secured.known.asked.lock().unwrap(), [Some(NAME.to_owned())]);
}

#[tokio::test]
async fn alpn_says_which_version_is_spoken() {
    let (address, _) = answering(OK).await;
    let secured = Secured::before(vec![address]);
    let client = secured.connect(&[HTTP_1_1, H2]).await;
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(H2));
    let (mut requests, connection) = h2::client::handshake(client).await.unwrap();
    tokio::spawn(connection);
    let get = Request::get("https://a.api.example.com/").body(()).unwrap();
    let (response, _) = requests.send_request(get, true).unwrap();
    assert_eq!(soon(response).await.unwrap().status(), 200);

    // Who has chosen one version speaks no other.
    let mut client = secured.connect(&[H2]).await;
    client.write_all(format!("{GET}\r\n").as_bytes()).await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    for protocols in [&[HTTP_1_1][..], &[]] {
        let mut client = secured.connect(protocols).await;
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        soon(client.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    // And whom nothing suits is told so (RFC 7301, section 3.2).
    let stream = TcpStream::connect(secured.world.proxy).await.unwrap();
    let error = secured.over(stream, &[b"spdy/3"]).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn a_session_for_one_name_is_not_for_another() {
    let (address, _) = answering(OK).await;
    let secured = Secured::before(vec![address]);
    let request =
        |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert!(secured.ask(&request("A.api.example.com:8443")).await.starts_with("HTTP/1.1 200"));
    let answer = secured.ask(&request("b.api.example.com")).await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    assert!(answer.contains("\r\nx-ten-state: unknown\r\n"), "{answer}");
}

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
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\nhi") {
        head.push(soon(client.read_u8()).await.unwrap());
    }
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
async fn who_speaks_plain_is_told_where_https_is() {
    let (address, seen) = answering(OK).await;
    let secured = Secured::before(vec![address]);
    let port = secured.world.proxy.port();
    let plain =
        World::behind(Door::Moved { port }, ProxySettings::DEFAULT, vec![answering(OK).await.0]);
    let usual = World::behind(
        Door::Moved { port: 443 },
        ProxySettings::DEFAULT,
        vec![answering(OK).await.0],
    );
    for (world, port) in [
        (&secured.world, format!(":{port}")),
        (&plain, format!(":{port}")),
        (&usual, String::new()),
    ] {
        for (request, want) in [
            (
                "GET /a?b=1 HTTP/1.1\r\nHost: X.example.com:80\r\n",
                format!("https://x.example.com{port}/a?b=1"),
            ),
            ("POST http://a.b?c HTTP/1.1\r\nHost: a.b\r\n", format!("https://a.b{port}/?c")),
            ("GET / HTTP/1.1\r\nHost: [::1]\r\n", format!("https://[::1]{port}/")),
        ] {
            let answer = world.ask(format!("{request}Connection: close\r\n\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
            assert_eq!(header(&answer, "location"), Some(want.as_str()));
        }
        let answer = world.ask("GET / HTTP/1.1\r\nHost: a b\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_tls_is_told_so() {
    let secured = Secured::before(vec![answering(OK).await.0]);
    // A first message that is too short: an alert, and the end.
    let mut client = secured.world.client().await;
    client.write(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00").await;
    let mut said = Vec::new();
    soon(client.0.read_to_end(&mut said)).await.unwrap();
    assert_eq!(said.first(), Some(&21), "{said:?}");
    let mut client = secured.world.client().await;
    client.write("\x05\x01\x00").await;
    assert!(client.rest().await.starts_with("HTTP/1.1 400"));
    secured.world.vacant().await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_no_more_time_than_a_head() {
    let secured = Secured::before(vec![answering(OK).await.0]);
    for said in ["", "\x16\x03\x01\x02\x00\x01"] {
        let mut client = secured.world.client().await;
        client.write(said).await;
        let began = tokio::time::Instant::now();
        assert_eq!(client.0.read(&mut [0]).await.unwrap_or(0), 0);
        let limit = ProxySettings::DEFAULT.head_timeout;
        assert!(began.elapsed() >= limit && began.elapsed() < limit * 2, "{:?}", began.elapsed());
    }
    // Nor has the preface after it.
    let mut client = secured.connect(&[H2]).await;
    client.write_all(b"PRI * HTTP").await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_certificate_is_asked_for_anew_with_each_session() {
    let secured = Secured::with(2, ProxySettings::DEFAULT, vec![answering(OK).await.0]);
    let mut chains = Vec::new();
    for _ in 0..3 {
        let mut client = secured.connect(&[HTTP_1_1]).await;
        chains.push(client.get_ref().1.peer_certificates().unwrap().to_vec());
        client.write_all(format!("{GET}\r\n").as_bytes()).await.unwrap();
        answer(&mut client).await;
    }
    assert_ne!(chains[0], chains[1]);
    assert_eq!(chains[1], chains[2]);
}

#[tokio::test]
async fn a_session_may_be_resumed() {
    let secured = Secured::before(vec![answering(OK).await.0]);
    let connector = secured.client(&[HTTP_1_1]);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let stream = TcpStream::connect(secured.world.proxy).await.unwrap();
        let mut client = connector.connect(NAME.try_into().unwrap(), stream).await.unwrap();
        client.write_all(format!("{GET}\r\n").as_bytes()).await.unwrap();
        answer(&mut client).await;
        kinds.push(client.get_ref().1.handshake_kind().unwrap());
    }
    use rustls::HandshakeKind::{Full, Resumed};
    assert_eq!(kinds, [Full, Resumed]);
}

#[tokio::test]
async fn a_header_of_the_proxy_protocol_comes_before_tls() {
    let (address, seen) = answering(OK).await;
    let settings = ProxySettings {
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        proxy_protocol: true,
        ..ProxySettings::DEFAULT
    };
    let secured = Secured::allowing(settings, vec![address]);
    let mut stream = TcpStream::connect(secured.world.proxy).await.unwrap();
    stream.write_all(b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n").await.unwrap();
    let mut client = secured.over(stream, &[HTTP_1_1]).await.unwrap();
    client.write_all(format!("{GET}\r\n").as_bytes()).await.unwrap();
    answer(&mut client).await;
    let seen = seen.lock().unwrap();
    assert_eq!(header(&seen[0], "x-forwarded-for"), Some("203.0.113.9"));
    assert_eq!(header(&seen[0], "x-forwarded-proto"), Some("https"));
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
    let mut read = Vec::new();
    while !read.ends_with(b"ok") {
        read.push(soon(client.read_u8()).await.unwrap());
    }
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
    let mut read = Vec::new();
    while !read.ends_with(b"ok") {
        read.push(soon(client.read_u8()).await.unwrap());
    }
    drain.await.unwrap();
}
