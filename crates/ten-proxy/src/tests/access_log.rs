//! What is told of each exchange, and how it is written down.

use std::{io::Read, sync::mpsc};

use http::{HeaderValue, Method, StatusCode, Version};
use jiff::Timestamp;

use super::*;
use crate::{AccessLogger, Exchange, MAX_WAITING_LINES, RequestLine};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An observer that passes everything on.
struct Tell(mpsc::Sender<Exchange>);

impl Observer for Tell {
    fn observe(&self, exchange: &Exchange) {
        self.0.send(exchange.clone()).unwrap();
    }
}

pub(super) fn observed(
    protocol: Protocol,
    addresses: Vec<Address>,
) -> (World, mpsc::Receiver<Exchange>) {
    let (tell, told) = mpsc::channel();
    let fleet = Fleet::new(protocol, addresses, None);
    let observers: Vec<Box<dyn Observer>> = vec![Box::new(Tell(tell))];
    (World::told(fleet, ProxySettings::DEFAULT, ErrorPages::default(), observers), told)
}

/// What was told, which the end of the answer may precede by a moment.
pub(super) async fn next(told: &mpsc::Receiver<Exchange>) -> Exchange {
    soon(async {
        loop {
            match told.try_recv() {
                Ok(exchange) => return exchange,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_exchange_is_told_of_once_with_all_that_is_known() {
    let (address, _) = answering(OK).await;
    let (world, told) = observed(Protocol::Http1, vec![address]);
    world.fleet.set(Gate::Waking);
    let mut client = world.client().await;
    client
        .write(
            "POST /a?b=c HTTP/1.1\r\nHost: A.api.example.com\r\nContent-Length: 5\r\n\
             User-Agent: test/1\r\nReferer: http://r\r\nConnection: close\r\n\r\nhello",
        )
        .await;
    world.fleet.waiting(1).await;
    world.fleet.set(Gate::Open);
    let answer = client.rest().await;
    assert!(answer.ends_with("ok"), "{answer}");
    let exchange = next(&told).await;
    let line = exchange.line.unwrap();
    assert_eq!((line.method, line.target.as_str()), (Method::POST, "/a?b=c"));
    assert_eq!(exchange.version, Version::HTTP_11);
    assert_eq!(exchange.peer.to_string(), "127.0.0.1");
    assert_eq!(exchange.host.unwrap(), "A.api.example.com");
    assert_eq!(exchange.user_agent.unwrap(), "test/1");
    assert_eq!(exchange.referer.unwrap(), "http://r");
    assert_eq!(exchange.status, StatusCode::OK);
    assert_eq!((exchange.received_bytes, exchange.sent_bytes, exchange.cut), (5, 2, false));
    assert_eq!(exchange.instance.unwrap().to_string(), "api:a");
    assert_eq!(exchange.own_answer, None);
    assert!(exchange.wake > Duration::ZERO);
    assert!(exchange.duration >= exchange.wake + exchange.upstream.unwrap());
    assert!(told.try_recv().is_err(), "once");
}

#[tokio::test]
async fn what_ten_answers_itself_is_told_of_too() {
    let nowhere = Address::Unix("/nowhere".into());
    for (request, status, own_answer, instance) in [
        (format!("{GET}\r\n"), 502, Some("bad-gateway"), true),
        (GET.replace("a.api", "nope") + "\r\n", 404, Some("not-found"), false),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400, Some("malformed-request"), false),
        ("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n".into(), 200, None, false),
    ] {
        let (world, told) = observed(Protocol::Http1, vec![nowhere.clone()]);
        let mut client = world.client().await;
        client.write(&request).await;
        let exchange = next_of(&told, client).await;
        assert_eq!(exchange.status.as_u16(), status, "{request}");
        assert_eq!(exchange.own_answer, own_answer, "{request}");
        assert_eq!(exchange.instance.is_some(), instance, "{request}");
        assert!(exchange.line.is_some() && exchange.sent_bytes > 0 && !exchange.cut);
    }
    let (world, told) = observed(Protocol::Http1, vec![nowhere]);
    let mut client = world.client().await;
    client.write("GET / HTTP/9.9\r\n\r\n").await;
    let exchange = next_of(&told, client).await;
    assert!(exchange.line.is_none(), "what makes no sense is not repeated");
    assert_eq!(exchange.status, StatusCode::BAD_REQUEST);
}

/// Keeps the client until the exchange is told of.
async fn next_of(told: &mpsc::Receiver<Exchange>, client: Wire) -> Exchange {
    let exchange = next(told).await;
    drop(client);
    exchange
}

#[tokio::test]
async fn a_client_that_leaves_is_a_499_and_an_answer_that_breaks_off_is_cut() {
    let (address, _) = answering(OK).await;
    let (world, told) = observed(Protocol::Http1, vec![address]);
    world.fleet.set(Gate::Waking);
    let mut client = world.client().await;
    client.write(format!("{GET}\r\n")).await;
    world.fleet.waiting(1).await;
    drop(client);
    let exchange = next(&told).await;
    assert!(matches!(exchange.status.as_u16(), 400 | 499), "{}", exchange.status);
    assert_eq!(exchange.instance, None);
    assert!(exchange.wake > Duration::ZERO);

    let half = instance(|mut wire| async move {
        wire.request().await;
        wire.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    })
    .await;
    let (world, told) = observed(Protocol::Http1, vec![half]);
    let answer = world.ask(format!("{GET}\r\n")).await;
    assert!(answer.ends_with("half"), "{answer}");
    let exchange = next(&told).await;
    assert!(exchange.cut);
    assert_eq!((exchange.status.as_u16(), exchange.sent_bytes), (200, 4));
}

#[tokio::test]
async fn a_tunnel_is_told_of_when_it_closes() {
    let address = instance(|mut wire| async move {
        wire.head().await.unwrap();
        wire.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
            .await;
        wire.rest().await;
    })
    .await;
    let (world, told) = observed(Protocol::Http1, vec![address]);
    let mut client = world.client().await;
    client.write(format!("{GET}Connection: Upgrade\r\nUpgrade: x\r\n\r\n")).await;
    client.head().await.unwrap();
    world.fleet.in_use(1).await;
    assert!(told.try_recv().is_err(), "it is still open");
    drop(client);
    let exchange = next(&told).await;
    assert_eq!(exchange.status, StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(exchange.instance.unwrap().to_string(), "api:a");
    assert!(!exchange.cut);
}

fn exchange() -> Exchange {
    let text = |text| Some(HeaderValue::from_static(text));
    Exchange {
        peer: "192.0.2.7".parse().unwrap(),
        line: Some(RequestLine { method: Method::GET, target: "/a?b".parse().unwrap() }),
        version: Version::HTTP_2,
        host: text("a.example.com"),
        user_agent: text("curl/8"),
        referer: None,
        request_id: HeaderValue::from_static("0af"),
        began: "2026-11-20T22:17:09.1234Z".parse::<Timestamp>().unwrap(),
        status: StatusCode::OK,
        received_bytes: 3,
        sent_bytes: 512,
        cut: false,
        instance: Some(InstanceName::new("api".parse().unwrap(), "a".parse().unwrap())),
        own_answer: None,
        duration: Duration::from_micros(150_042),
        wake: Duration::from_millis(120),
        upstream: Some(Duration::from_micros(30_007)),
    }
}

/// Writes exchanges and reads what comes out at the other end.
async fn written(format: AccessLog, exchanges: &[Exchange]) -> String {
    let (mut reader, writer) = io::pipe().unwrap();
    let log = AccessLogger::start(format, writer).unwrap().unwrap();
    let observer = log.observer();
    for exchange in exchanges {
        observer.observe(exchange);
    }
    soon(log.close()).await;
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn lines_in_the_combined_format() {
    let unknown = Exchange { line: None, instance: None, user_agent: None, ..exchange() };
    assert_eq!(
        written(AccessLog::Text, &[exchange(), unknown]).await,
        "192.0.2.7 - - [20/Nov/2026:22:17:09 +0000] \"GET /a?b HTTP/2.0\" 200 512 \"-\" \
         \"curl/8\" api:a 120.000 150.042 0af\n\
         192.0.2.7 - - [20/Nov/2026:22:17:09 +0000] \"-\" 200 512 \"-\" \"-\" - 120.000 \
         150.042 0af\n"
    );
}

#[tokio::test]
async fn lines_of_json() {
    let unknown = Exchange {
        line: None,
        instance: None,
        host: None,
        user_agent: None,
        upstream: None,
        own_answer: Some("not-found"),
        ..exchange()
    };
    let lines = written(AccessLog::Json, &[exchange(), unknown]).await;
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut want = serde_json::json!({
        "time": "2026-11-20T22:17:09.123Z", "peer": "192.0.2.7", "host": "a.example.com",
        "method": "GET", "target": "/a?b", "version": "HTTP/2.0", "status": 200,
        "received_bytes": 3, "sent_bytes": 512, "cut": false, "instance": "api:a",
        "request_id": "0af", "user_agent": "curl/8", "wake_ms": 120.0, "upstream_ms": 30.007,
        "duration_ms": 150.042,
    });
    assert_eq!(lines[0], want);
    let known = want.as_object_mut().unwrap();
    for absent in ["method", "target", "instance", "host", "user_agent", "upstream_ms"] {
        known.remove(absent);
    }
    known.insert("own_answer".into(), "not-found".into());
    assert_eq!(lines[1], want);
}

/// A client chooses this text, and must not be able to write lines of its own with it.
#[tokio::test]
async fn no_text_of_a_client_ends_a_line_or_leaves_its_quotes() {
    let all: Vec<u8> = (0..=255).filter(|byte| HeaderValue::from_bytes(&[*byte]).is_ok()).collect();
    let evil = [all.as_slice(), "\" 200 \u{9b}31m\u{85}\u{2028}\u{202e}😀".as_bytes()].concat();
    let value = Some(HeaderValue::from_bytes(&evil).unwrap());
    let exchange = Exchange {
        line: Some(RequestLine { method: Method::GET, target: "/\"\\é".parse().unwrap() }),
        host: value.clone(),
        user_agent: value.clone(),
        referer: value.clone(),
        request_id: value.clone().unwrap(),
        ..exchange()
    };
    let text = written(AccessLog::Text, std::slice::from_ref(&exchange)).await;
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    assert!(text.trim_end().bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{text}");
    assert_eq!(text.matches('"').count(), 6, "{text}");
    assert!(text.contains("\"GET /\\x22\\x5C\\xC3\\xA9 HTTP/2.0\""), "{text}");
    let json = written(AccessLog::Json, &[exchange]).await;
    assert_eq!(json.matches('\n').count(), 1, "{json}");
    assert!(json.trim_end().bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["user_agent"], String::from_utf8_lossy(&evil).into_owned());
    assert_eq!(json["status"], 200);
}

#[tokio::test]
async fn nobody_waits_for_a_reader_that_does_not_read() {
    let (mut reader, writer) = io::pipe().unwrap();
    let log = AccessLogger::start(AccessLog::Text, writer).unwrap().unwrap();
    let observer = log.observer();
    let count = 3 * MAX_WAITING_LINES / 100;
    for _ in 0..count {
        observer.observe(&exchange());
    }
    // The reader is back: what waited is whole, the rest is missing.
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    soon(log.close()).await;
    drop(observer);
    let text = reading.join().unwrap();
    assert!(text.len() <= 3 * MAX_WAITING_LINES);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() < count && lines.len() > MAX_WAITING_LINES / 200, "{}", lines.len());
    assert!(text.ends_with('\n') && lines.iter().all(|line| *line == lines[0]));
}

#[tokio::test]
async fn a_reader_that_is_gone_holds_nobody_up() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let log = AccessLogger::start(AccessLog::Json, writer).unwrap().unwrap();
    log.observer().observe(&exchange());
    soon(log.close()).await;
    assert!(AccessLogger::start(AccessLog::Off, io::stdout()).unwrap().is_none());
}
