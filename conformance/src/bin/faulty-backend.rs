//! A tenant whose answers are wrong in the way that the path names.
//!
//! `/fine/TOKEN` is answered with `TOKEN clean`, or with `TOKEN tainted` on a connection that
//! has had a wrong answer before: nobody should have sent a request on that one.

use std::{
    env,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;

/// What happens once the bytes of a fault are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The connection is kept, for whoever dares.
    Keep,
    Close,
    Reset,
    /// The last bytes again and again, for as long as anybody takes them.
    Repeat(&'static [u8]),
}

fn main() -> io::Result<()> {
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || serve(stream));
    }
    Ok(())
}

/// Whoever closes while we write has had enough.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut word = "clean";
    while let Some(target) = read_head(&mut stream)? {
        if let Some(token) = target.strip_prefix("/fine/") {
            let text = format!("{token} {word}");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
            stream.write_all((head + &text).as_bytes())?;
            continue;
        }
        let (bytes, then) = fault(&target);
        word = "tainted";
        stream.write_all(&bytes)?;
        match then {
            Then::Keep => {}
            Then::Close => return Ok(()),
            // Dropped with a linger of 0, a socket is reset (socket(7)).
            Then::Reset => return Ok(set_socket_linger(&stream, Some(Duration::ZERO))?),
            Then::Repeat(bytes) => loop {
                stream.write_all(bytes)?;
            },
        }
    }
    Ok(())
}

/// The target of the next request; its body, if any, is not read.
fn read_head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    Ok(head.split(' ').nth(1).map(str::to_owned))
}

/// What is written, and what happens then.
fn fault(target: &str) -> (Vec<u8>, Then) {
    match target {
        "/nothing" => plain("", Then::Close),
        "/garbage" => plain("\0\u{1}\u{2} garbage\r\n\r\n", Then::Keep),
        "/no-status-line" => plain("content-length: 2\r\n\r\nok", Then::Keep),
        "/only-a-body" => plain("<html>hello</html>\r\n\r\n", Then::Close),
        "/half-a-head" => plain("HTTP/1.1 200 OK\r\ncontent-le", Then::Close),
        "/reset-in-head" => plain("HTTP/1.1 200 OK\r\ncontent-le", Then::Reset),
        "/no-number" => plain("HTTP/1.1 2x0 OK\r\ncontent-length: 2\r\n\r\nok", Then::Keep),
        "/two-lengths" => ok("content-length: 2\r\ncontent-length: 3\r\n\r\noks", Then::Keep),
        "/same-lengths" => ok("content-length: 2\r\ncontent-length: 2\r\n\r\nok", Then::Keep),
        "/list-length" => ok("content-length: 2, 2\r\n\r\nok", Then::Keep),
        "/signed-length" => ok("content-length: +2\r\n\r\nok", Then::Keep),
        "/octal-length" => ok("content-length: 010\r\n\r\n0123456789", Then::Keep),
        "/negative-length" => ok("content-length: -2\r\n\r\nok", Then::Keep),
        "/huge-length" => ok("content-length: 18446744073709551618\r\n\r\nok", Then::Keep),
        "/length-and-chunks" => ok(
            "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Then::Keep,
        ),
        "/other-coding" => {
            ok("transfer-encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Then::Close)
        }
        "/two-codings" => {
            ok("transfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Then::Close)
        }
        "/nul-in-header" => ok("x: a\0b\r\ncontent-length: 2\r\n\r\nok", Then::Keep),
        "/blank-before-colon" => ok("content-length : 2\r\n\r\nok", Then::Keep),
        "/no-colon" => ok("hello\r\ncontent-length: 2\r\n\r\nok", Then::Keep),
        "/unasked-101" => {
            plain("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", Then::Keep)
        }
        "/length-too-long" => ok("content-length: 10\r\n\r\nok", Then::Close),
        "/reset-in-body" => ok("content-length: 10\r\n\r\nok", Then::Reset),
        "/bad-chunk" => {
            ok("transfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\nok\r\n0\r\n\r\n", Then::Keep)
        }
        "/long-chunk" => ok("transfer-encoding: chunked\r\n\r\n2\r\nokok\r\n0\r\n\r\n", Then::Keep),
        "/no-last-chunk" => ok("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n", Then::Close),
        "/reset-in-chunks" => ok("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n", Then::Reset),
        "/length-too-short" => ok("content-length: 2\r\n\r\nok and more", Then::Keep),
        "/second-answer" => ok(
            "content-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
            Then::Keep,
        ),
        "/body-of-204" => plain(
            "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
            Then::Keep,
        ),
        "/body-of-304" => {
            plain("HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\nevil", Then::Keep)
        }
        "/body-of-head" => ok("content-length: 4\r\n\r\nevil", Then::Keep),
        "/early" => plain("HTTP/1.1 413 Too Much\r\ncontent-length: 2\r\n\r\nok", Then::Close),
        "/early-keep" => ok("content-length: 2\r\n\r\nok", Then::Keep),
        "/hints" => plain(
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            Then::Keep,
        ),
        "/trailers" => ok(
            "trailer: t\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nt: last\r\n\r\n",
            Then::Keep,
        ),
        "/until-close" => ok("\r\nok", Then::Close),
        "/endless-hints" => {
            plain("", Then::Repeat(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"))
        }
        "/endless-continue" => plain("", Then::Repeat(b"HTTP/1.1 100 Continue\r\n\r\n")),
        "/endless-headers" => ok("", Then::Repeat(b"x-more: 0123456789\r\n")),
        "/endless-header" => ok("x: ", Then::Repeat(b"x")),
        "/endless-garbage" => plain("", Then::Repeat(b"x")),
        "/endless-size" => ok("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n", Then::Repeat(b"0")),
        "/endless-extension" => {
            ok("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n2;", Then::Repeat(b"x"))
        }
        "/endless-trailers" => {
            ok("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", Then::Repeat(b"x: y\r\n"))
        }
        "/large-header" => {
            let value = "x".repeat(10 << 20);
            ok(&format!("x: {value}\r\ncontent-length: 2\r\n\r\nok"), Then::Close)
        }
        "/many-headers" => {
            let lines: String = (0..10_000).map(|n| format!("x-{n}: {n}\r\n")).collect();
            ok(&format!("{lines}content-length: 2\r\n\r\nok"), Then::Close)
        }
        _ => plain("HTTP/1.1 404 No Such Fault\r\ncontent-length: 0\r\n\r\n", Then::Keep),
    }
}

fn plain(text: &str, then: Then) -> (Vec<u8>, Then) {
    (text.into(), then)
}

fn ok(rest: &str, then: Then) -> (Vec<u8>, Then) {
    (format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes(), then)
}
