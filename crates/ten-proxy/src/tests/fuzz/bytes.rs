//! Whatever bytes arrive: hosts and routes, heads and how they are passed on, answers.
//!
//! Tried at random in every test run. `cargo bolero` lets coverage guide them for as long as one
//! likes (CONTRIBUTING.md). A byte of an input stands for a piece of what clients write, or for
//! itself, so that inputs come close to requests and depart from them everywhere.

use ten_domain::{Host, Route};

use super::hosts::table;
use crate::{
    buffer::Buffer,
    check,
    forward::Message,
    head::{Limits, Name, Request, Response, Scan},
    headers::{Origin, Peer, Told, to_client},
    interim::Interims,
};

const LIMITS: Limits = Limits { bytes: 64 << 10, headers: 100 };
const PEER: &str = "192.0.2.7";
/// Inputs in each test run: a second or two.
const TRIES: usize = 20_000;

/// Pieces of an input at most: with more, none would be sound.
const LONGEST: usize = 16;

/// Of what requests and answers are made.
const PIECES: [&str; 64] = [
    "GET ",
    "POST ",
    "HEAD ",
    "/",
    "/a?b=c",
    "http://a.api.example.com/x",
    "*",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "Host: a.api.example.com\r\n",
    "Host: example.com:80\r\n",
    "host:",
    "Content-Length: 5\r\n",
    "content-length: 0\r\n",
    "Content_Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer_encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, x-own\r\n",
    "Connection: host, te\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Upgrade: h2c\r\n",
    "TE: trailers\r\n",
    "X-Own: 1\r\n",
    "x-forwarded-for: 6.6.6.6\r\n",
    "X_Forwarded_For: 6.6.6.6\r\n",
    "Forwarded: for=6.6.6.6\r\n",
    "X-Request-Id: mine\r\n",
    "X-Real-IP: 6.6.6.6\r\n",
    "Proxy: evil\r\n",
    "Keep-Alive: 5\r\n",
    "Expect: 100-continue\r\n",
    "Trailer: x\r\n",
    "Cookie: a=b\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "a",
    "x",
    "5",
    "\0",
    "chunked",
    "close",
    "example.com",
    "api",
    "web",
    ".",
    "--",
    "@",
    "[::1]",
    "127.0.0.1",
    "localhost",
    "%2e",
    "\u{fc}",
    "#",
];

/// What an input stands for.
fn text(input: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in input {
        match byte {
            0xf0.. => text.push(byte.wrapping_mul(37)),
            _ => text.extend_from_slice(PIECES[usize::from(*byte) % PIECES.len()].as_bytes()),
        }
    }
    text
}

fn read(bytes: &[u8]) -> Option<Request> {
    let (mut scan, mut buffer) = (Scan::default(), Buffer::holding(bytes));
    let head = scan.scan(&buffer, LIMITS).ok()??;
    Some(scan.take(&mut buffer, head))
}

/// What is understood of a head is passed on as one head that says the same, and says nothing of
/// the connection or of who forwards but what is ours to say.
fn is_passed_on_as_one(bytes: &[u8]) {
    let Some(request) = read(bytes) else { return };
    let Ok(aim) = check::request(&request) else { return };
    let peer = Peer::new(format!("{PEER}:1").parse().unwrap());
    let origin = Origin::peer(PEER.parse().unwrap());
    let told = Told { peer: &peer, origin: &origin, id: b"0123" };
    let interims = &Interims::default();
    let message = Message { request: &request, aim: &aim, told, upgrade: None, interims };
    let has_body = request.follows != crate::head::Follows::Nothing;
    let (out, _) = message.to_http1(has_body);
    let again = read(&out).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&out)));
    assert_eq!(again.fields.all(Name::Host).count(), 1);
    assert_eq!(again.fields.all(Name::Host).next(), request.fields.all(Name::Host).next());
    assert_eq!((again.method(), again.follows), (request.method(), request.follows));
    assert_eq!(again.target(), aim.target().concat().as_bytes());
    assert!(again.target().starts_with(b"/"));
    assert_eq!(again.fields.only("x-forwarded-for"), Some(PEER.as_bytes()));
    assert_eq!(again.fields.only("x-request-id"), Some(&b"0123"[..]));
    for field in again.fields.iter() {
        let ours = [
            &b"forwarded"[..],
            b"x-forwarded-for",
            b"x-forwarded-host",
            b"x-forwarded-proto",
            b"x-request-id",
        ];
        match field.known {
            Name::Claim => assert!(ours.contains(&field.name)),
            Name::Te => assert_eq!(field.value, b"trailers"),
            Name::Connection => assert_eq!(field.value, b"TE"),
            Name::TransferEncoding => assert!(has_body),
            known => assert!(!known.is_hop_by_hop()),
        }
    }
    // The whole of it was the head.
    assert!(out.ends_with(b"\r\n\r\n"));
    assert_eq!(out.windows(4).filter(|end| end == b"\r\n\r\n").count(), 1);
}

fn is_answered_without_the_connection(bytes: &[u8]) {
    let Ok(answer) = Response::parse(Buffer::holding(bytes)) else { return };
    let mut out = b"HTTP/1.1 200 OK\r\n".to_vec();
    to_client(&answer.fields, false, &mut out);
    out.extend_from_slice(b"\r\n");
    let again = Response::parse(Buffer::holding(&out)).expect("what is sound stays so");
    assert!(again.fields.iter().all(|field| !field.known.is_hop_by_hop()));
    assert!(again.fields.iter().count() <= answer.fields.iter().count());
}

/// A host has one reading, and leads to whom it names.
fn has_one_reading(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(host) = Host::parse(text) else { return };
    assert_eq!(Host::parse(&text.to_ascii_uppercase()).as_ref(), Ok(&host));
    let route = table().resolve(&host, "/", None, None);
    let Host::Name(name) = host else { return assert!(route.is_err()) };
    assert_eq!(Host::parse(&name), Ok(Host::Name(name.clone())));
    if let Ok(Route::Instance(instance)) = route {
        let (id, service) = (instance.id.as_str(), instance.service.as_str());
        let names = [".", "--"].map(|sign| format!("{id}{sign}{service}.example.com"));
        assert!(names.contains(&name), "{name} is not {names:?}");
    }
}

#[test]
fn heads() {
    bolero::check!().with_iterations(TRIES).with_max_len(LONGEST).for_each(|input: &[u8]| {
        is_passed_on_as_one(&text(input));
        let framed =
            [b"GET / HTTP/1.1\r\nHost: a.api.example.com\r\n", &text(input)[..], b"\r\n\r\n"];
        is_passed_on_as_one(&framed.concat());
    });
}

#[test]
fn answers() {
    bolero::check!().with_iterations(TRIES).with_max_len(LONGEST).for_each(|input: &[u8]| {
        is_answered_without_the_connection(&text(input));
        is_answered_without_the_connection(
            &[b"HTTP/1.1 200 OK\r\n", &text(input)[..], b"\r\n\r\n"].concat(),
        );
    });
}

#[test]
fn hosts_and_routes() {
    bolero::check!().with_iterations(TRIES).with_max_len(LONGEST).for_each(|input: &[u8]| {
        has_one_reading(&text(input));
        has_one_reading(&[&text(input)[..], b".example.com"].concat());
    });
}

#[test]
fn some_inputs_are_sound_and_some_are_not() {
    let mut state = 1_u64;
    let mut byte = || {
        // Knuth's multiplier: any generator will do.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let heads = (0..2_000).map(|_| {
        let input: Vec<u8> = (0..byte() % 8).map(|_| byte()).collect();
        let start = b"GET / HTTP/1.1\r\nHost: a.api.example.com\r\n";
        read(&[start, &text(&input)[..], b"\r\n\r\n"].concat())
    });
    let sound = heads.flatten().filter(|head| check::request(head).is_ok()).count();
    assert!((100..1_900).contains(&sound), "{sound}");
}
