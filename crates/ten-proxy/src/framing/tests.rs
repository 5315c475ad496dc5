use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::{collection::vec, prelude::*, sample, strategy::ValueTree};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;
use crate::{
    check::BadRequest,
    head::{Follows, Limits, Scan},
};

const LIMITS: Limits = Limits { bytes: MAX_HEAD, headers: 100 };
const MAX_HEAD: usize = 64 << 10;

/// Which part of a request is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Violation {
    Head(BadRequest),
    Body,
}

/// What came of an input that arrived in pieces.
#[derive(Debug, PartialEq)]
struct Outcome {
    passed: usize,
    heads: u64,
    fault: Option<Violation>,
    /// Between two requests.
    complete: bool,
}

/// Shows `input` in pieces that end at `ends`, as a reader does.
fn read(input: &[u8], ends: &[usize]) -> Outcome {
    let (mut buffer, mut scan, mut body) = (Buffer::default(), Scan::default(), Framing::nothing());
    let (mut passed, mut heads, mut fault, mut shown) = (0, 0, None, 0);
    for end in ends.iter().copied().chain([input.len()]) {
        if end <= shown || fault.is_some() {
            continue;
        }
        buffer.add(&input[shown..end]);
        shown = end;
        while fault.is_none() {
            if !body.has_ended() {
                match body.next(&mut buffer) {
                    Ok(Next::Data(count)) => {
                        buffer.consume(count);
                        body.took(count);
                    }
                    Ok(Next::More) => break,
                    Ok(Next::End) => {}
                    Err(_) => fault = Some(Violation::Body),
                }
                continue;
            }
            match scan.scan(&buffer, LIMITS) {
                Ok(Some(head)) => {
                    heads += 1;
                    body = match scan.take(&mut buffer, head).follows {
                        Follows::Nothing => Framing::nothing(),
                        Follows::Length(length) => Framing::length(length),
                        Follows::Chunks => Framing::chunks(),
                    };
                }
                Ok(None) => break,
                Err(bad) => fault = Some(Violation::Head(bad)),
            }
        }
    }
    if fault.is_none() {
        passed = shown - buffer.len();
    }
    let complete = fault.is_none() && body.has_ended() && buffer.is_empty();
    Outcome { passed, heads, fault, complete }
}

/// How many requests hyper reads from `input`, to the ends of their bodies; `Err` if it
/// refuses any of it.
async fn hyper(input: Vec<u8>) -> Result<u64, hyper::Error> {
    let (mut client, server) = duplex(1 << 20);
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let service = service_fn(move |request: Request<Incoming>| {
        let counted = Arc::clone(&counted);
        async move {
            request.into_body().collect().await?;
            counted.fetch_add(1, SeqCst);
            Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let talk = async {
        client.write_all(&input).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.unwrap();
    };
    let serve =
        http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service);
    let (served, ()) = tokio::join!(serve, talk);
    served.map(|()| count.load(SeqCst))
}

const PIECES: [&str; 22] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a%20b?c=[d]&e=f|g HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
    "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\u{fc} HTTP/1.1\r\nHost: a\r\nX: \u{fc}\t!\r\nEmpty:\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\ncontent-length:  0 \t\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n00a;x=\"y\"\r\n0123456789\r\n0;z\r\n\r\n",
    "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n",
    "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\n",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "X: y\r\n",
    " folded\r\n",
    "\r\n",
    "abc",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "\n",
    "5;a\rb\r\n",
];
const BYTES: &[u8] = b"\r\n\0\t :;,/?#<>\"`+-_.%*0123789abcxfXGHTP\x0b\x7f\x80\xff";

/// Requests, whole and broken, with some bytes changed, inserted or taken out.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<sample::Index>(), 0..3_u8, sample::select(BYTES));
    let whole = vec(sample::select(&PIECES[..11]), 1..4);
    let any = vec(sample::select(&PIECES[..]), 1..7);
    (prop_oneof![whole, any], vec(change, 0..3)).prop_map(|(pieces, changes)| {
        let mut input = pieces.concat().into_bytes();
        for (at, how, byte) in changes {
            let at = at.index(input.len());
            match how {
                0 => input[at] = byte,
                1 => input.insert(at, byte),
                _ if input.len() > 1 => drop(input.remove(at)),
                _ => {}
            }
        }
        input
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// How bytes are cut into reads means nothing.
    #[test]
    fn splits_do_not_matter(input in input(), ends in vec(any::<sample::Index>(), 0..6)) {
        let mut ends: Vec<usize> = ends.iter().map(|end| end.index(input.len() + 1)).collect();
        ends.sort_unstable();
        let at_once = read(&input, &[]);
        let each: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(&at_once, &read(&input, &ends));
        prop_assert_eq!(&at_once, &read(&input, &each));
    }

    /// What passes here passes hyper, as the same number of requests.
    #[test]
    fn hyper_agrees(input in input()) {
        let outcome = read(&input, &[]);
        if outcome.complete {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let found = runtime.block_on(hyper(input.clone()));
            let shown = String::from_utf8_lossy(&input).into_owned();
            match found {
                Ok(found) if shown.contains("HTTP/1.0") => prop_assert!(found <= outcome.heads),
                Ok(found) => prop_assert_eq!(found, outcome.heads, "{:?}", shown),
                Err(error) => prop_assert!(false, "{shown:?}: {error}"),
            }
        }
    }
}

#[test]
fn the_generator_makes_inputs_that_pass_and_inputs_that_do_not() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let outcomes: Vec<Outcome> =
        (0..500).map(|_| read(&input().new_tree(&mut runner).unwrap().current(), &[])).collect();
    let complete = outcomes.iter().filter(|outcome| outcome.complete).count();
    let refused = outcomes.iter().filter(|outcome| outcome.fault.is_some()).count();
    assert!(complete > 50 && refused > 50, "{complete} complete, {refused} refused");
}

#[test]
fn a_head_has_its_limits() {
    let fault = |input: &str| read(input.as_bytes(), &[]).fault;
    let long = "a".repeat(MAX_HEAD);
    let target = fault(&format!("GET /{long}"));
    assert_eq!(target, Some(Violation::Head(BadRequest::TargetTooLong)));
    let header = fault(&format!("GET / HTTP/1.1\r\nX: {long}"));
    assert_eq!(header, Some(Violation::Head(BadRequest::HeadTooLong)));
    let lines = |n| format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(n));
    assert_eq!(fault(&lines(100)), None);
    assert_eq!(fault(&lines(101)), Some(Violation::Head(BadRequest::TooManyHeaders)));
}

/// The longest head that passes here passes hyper too.
#[tokio::test]
async fn the_longest_head() {
    let frame = "GET / HTTP/1.1\r\nX: \r\n\r\n".len();
    let head = |n| format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(n - frame));
    let longest = head(MAX_HEAD);
    assert_eq!(read(longest.as_bytes(), &[]).heads, 1);
    assert_eq!(hyper(longest.into_bytes()).await.unwrap(), 1);
    assert!(read(head(MAX_HEAD + 1).as_bytes(), &[]).fault.is_some());
    let target = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_HEAD - 18));
    assert_eq!(target.len(), MAX_HEAD);
    assert_eq!(hyper(target.into_bytes()).await.unwrap(), 1);
}

/// `cargo test --release -p ten-proxy -- --ignored --nocapture cost`
#[test]
#[ignore = "a measurement"]
fn cost() {
    let head = "GET /api/v1/things/42?page=3&sort=name HTTP/1.1\r\nHost: a.api.example.com\r\n\
                User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
                Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
                Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n\
                Cookie: session=0123456789abcdef0123456789abcdef\r\nConnection: keep-alive\r\n\r\n";
    const ROUNDS: u32 = 1_000_000;
    let (mut scan, mut buffer) = (Scan::default(), Buffer::default());
    let start = std::time::Instant::now();
    for _ in 0..ROUNDS {
        buffer.add(std::hint::black_box(head.as_bytes()));
        let complete = scan.scan(&buffer, LIMITS).unwrap().unwrap();
        let request = scan.take(&mut buffer, complete);
        scan.reuse(request);
    }
    let each = start.elapsed() / ROUNDS;
    println!("{each:?} for a head of {} bytes", head.len());
}

/// Whoever asks again must not be told that it goes on somewhere.
#[test]
fn a_fault_is_the_end() {
    for (sound, broken) in
        [(&b"1\r\na\r"[..], &b"\n5\rX"[..]), (b"1", b";a\rX"), (b"0\r\na:b\r", b"\n\rX")]
    {
        let (mut buffer, mut body) = (Buffer::holding(sound), Framing::chunks());
        while let Next::Data(count) = body.next(&mut buffer).unwrap() {
            buffer.consume(count);
            body.took(count);
        }
        buffer.add(broken);
        for again in 0..3 {
            assert_eq!(body.next(&mut buffer), Err(Broken), "{again} {broken:?}");
        }
    }
}
