//! Clients that speak TLS. What is HTTP is no other than without; here is what lies between.

mod streams;

use std::{collections::VecDeque, pin::Pin};

use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::{
    Certificates, Identity,
    tls::tests::{pair, trusting},
};

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
    chains: Vec<String>,
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
        let mut chains = Vec::new();
        let identities = (0..certificates).map(|_| {
            let (chain, key) = pair(&[NAME, "b.api.example.com"]);
            let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
            chains.push(chain);
            identity
        });
        let identities = Mutex::new(identities.collect());
        let known = Arc::new(Known { identities, asked: Mutex::default() });
        let door = Door::Secure(Arc::clone(&known) as Arc<dyn Certificates>);
        Self { world: World::behind(door, settings, addresses), known, chains }
    }

    fn client(&self, protocols: &[&[u8]]) -> TlsConnector {
        let mut config = trusting(&self.chains);
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

/// Reads up to and with `end`.
async fn until(client: &mut (impl AsyncReadExt + Unpin), end: &[u8]) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        read.push(soon(client.read_u8()).await.unwrap());
    }
    String::from_utf8(read).unwrap()
}

async fn answer(client: &mut (impl AsyncReadExt + Unpin)) -> String {
    until(client, b"ok").await
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

/// Before the work of a handshake is done for it.
#[tokio::test]
async fn whoever_has_too_many_connections_gets_no_session() {
    let settings = ProxySettings {
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        proxy_protocol: true,
        max_connections_per_ip: 1,
        ..ProxySettings::DEFAULT
    };
    let secured = Secured::allowing(settings, vec![answering(OK).await.0]);
    let header = |from: &str| format!("PROXY TCP4 {from} 198.51.100.1 4711 443\r\n");
    let mut one = TcpStream::connect(secured.world.proxy).await.unwrap();
    one.write_all(header("203.0.113.9").as_bytes()).await.unwrap();
    soon(async {
        while secured.world.places.networks() < 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut another = TcpStream::connect(secured.world.proxy).await.unwrap();
    another.write_all(header("203.0.113.9").as_bytes()).await.unwrap();
    assert!(secured.over(another, &[HTTP_1_1]).await.is_err());
    assert!(secured.known.asked.lock().unwrap().is_empty());
    assert!(secured.over(one, &[HTTP_1_1]).await.is_ok());
}
