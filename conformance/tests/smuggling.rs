//! Bytes that two parsers may read in two ways (FAULTS c1 to c5, c7 to c10), each with an
//! innocent request behind it.
//!
//! Refused means: a status of 400 and above, the end of the connection, and nothing at the
//! backend. Accepted means that every request in it arrives once, as itself.

use ten_conformance::{Echo, HOST, Outcome, judge, raw::WHOLE, strict};

/// A case: what follows the request line and the Host.
fn post(rest: &str) -> Vec<u8> {
    format!("POST /p HTTP/1.1\r\nHost: {HOST}\r\n{rest}").into_bytes()
}

/// Tries each case in one piece, and byte by byte: no parser may read it differently then.
fn all(echo: &mut Echo, cases: &[Vec<u8>], fits: impl Fn(Outcome) -> bool) {
    let mut wrong = Vec::new();
    for (case, piece) in cases.iter().flat_map(|case| [(case, WHOLE), (case, 1)]) {
        let what = match judge(echo, case, piece) {
            Ok(outcome) if fits(outcome) => continue,
            Ok(outcome) => format!("{outcome:?}"),
            Err(what) => what,
        };
        wrong.push(format!("{} (in pieces of {piece})\n    {what}", case.escape_ascii()));
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn refused(cases: &[&str]) {
    let cases: Vec<_> = cases.iter().map(|case| post(case)).collect();
    all(&mut Echo::start("", ""), &cases, |outcome| matches!(outcome, Outcome::Refused(400 | 501)));
}

#[test]
fn a_length_beside_chunks_is_refused() {
    refused(&[
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent_Length: 5\r\n\r\n0\r\n\r\n",
        "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "Content-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nX: ",
    ]);
}

#[test]
fn lengths_that_are_not_one_plain_number_are_refused() {
    let values = [
        "+5",
        "-5",
        "0x10",
        "010",
        "",
        " ",
        "5,5",
        "5, 5",
        "5 5",
        "5;",
        "5.0",
        "1e1",
        "five",
        "\"5\"",
        "18446744073709551616",
        "18446744073709551621",
        "9223372036854775808",
        "5\u{b}",
        "\u{c}5",
        "٥",
        "5\0",
        "5\r5",
        "00",
        "5\u{a0}",
    ];
    let one = values.map(|value| format!("Content-Length: {value}\r\n\r\nhello"));
    let two = [("5", "5"), ("5", "6"), ("6", "5"), ("0", "5"), ("5", "")]
        .map(|(a, b)| format!("Content-Length: {a}\r\nContent-Length: {b}\r\n\r\nhello"));
    let odd = [
        "Content-Length : 5\r\n\r\nhello",
        "Content-Length\t: 5\r\n\r\nhello",
        " Content-Length: 5\r\n\r\nhello",
        "Content-Length:\r\n 5\r\n\r\nhello",
        "Content-Length: 5\r\n 0\r\n\r\nhello",
        "Content-Length: 5\r\nX: y\r\n z\r\n\r\nhello",
        "Content Length: 5\r\n\r\nhello",
        "Content-Length\0: 5\r\n\r\nhello",
        "Content_Length: 5\r\n\r\nhello",
        "content-length: 5\r\nContent_Length: 9\r\n\r\nhello",
    ]
    .map(str::to_owned);
    let cases: Vec<String> = one.into_iter().chain(two).chain(odd).collect();
    refused(&cases.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn codings_other_than_chunked_are_refused() {
    let values = [
        "xchunked",
        "chunkedx",
        "chunked, identity",
        "identity, chunked",
        ",chunked",
        "chunked,",
        "chunked, chunked",
        "gzip, chunked",
        "identity",
        "gzip",
        "\u{b}chunked",
        "chunked\u{b}",
        "chunked;q=1",
        "\"chunked\"",
        "'chunked'",
        "chunked\0",
        "x\r\n chunked",
        "",
        "cow",
        "chunked\u{a0}",
        "chu\tnked",
        "chunked\r",
        "[asd chunked]",
    ];
    let one = values.map(|value| format!("Transfer-Encoding: {value}\r\n\r\n0\r\n\r\n"));
    let odd = [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding\r\n: chunked\r\n\r\n0\r\n\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "\tTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n",
    ]
    .map(str::to_owned);
    let mut cases: Vec<Vec<u8>> = one.into_iter().chain(odd).map(|case| post(&case)).collect();
    let old =
        format!("POST / HTTP/1.0\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    cases.push(old.into_bytes());
    all(&mut Echo::start("", ""), &cases, |outcome| matches!(outcome, Outcome::Refused(400 | 501)));
}

#[test]
fn chunks_that_are_not_plain_break_the_request_off() {
    let bodies = [
        "0_2e\r\nab\r\n0\r\n\r\n",
        "0x2\r\nab\r\n0\r\n\r\n",
        "\r\nab\r\n0\r\n\r\n",
        "+2\r\nab\r\n0\r\n\r\n",
        "-2\r\nab\r\n0\r\n\r\n",
        " 2\r\nab\r\n0\r\n\r\n",
        "2 \r\nab\r\n0\r\n\r\n",
        "2\t;x\r\nab\r\n0\r\n\r\n",
        "00000000000000002\r\nab\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nab\r\n0\r\n\r\n",
        "2;a\rb\r\nab\r\n0\r\n\r\n",
        "2;a\nb\r\nab\r\n0\r\n\r\n",
        "2\nab\r\n0\r\n\r\n",
        "2\r\nab\n0\r\n\r\n",
        "2\r\nabXX0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "2\r\na\r\n0\r\n\r\n",
        "2\r\nab\r\n0\n\n",
        "2\r\nab\r\n0\r\n\n",
        "2\rab\r\n0\r\n\r\n",
        "2\r\rab\r\n0\r\n\r\n",
        "0\rX\n\r\n",
        "2;\0\r\nab\r\n0\r\n\r\n",
        "g\r\nab\r\n0\r\n\r\n",
        "2,2\r\nab\r\n0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nName : x\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\na: b\nc: d\r\n\r\n",
        "0\r\na: b\0\r\n\r\n",
        "2\r\nab\r\n0\r\n\rX",
    ];
    let post = |body: &&str| post(&format!("Transfer-Encoding: chunked\r\n\r\n{body}"));
    let cases: Vec<_> = bodies.iter().map(post).collect();
    all(&mut Echo::start("", ""), &cases, |outcome| {
        matches!(outcome, Outcome::Refused(_) | Outcome::Aborted)
    });
}

#[test]
fn headers_that_are_not_a_name_a_colon_and_text_are_refused() {
    refused(&[
        "X: a\0b\r\n\r\n",
        "X: a\rb\r\n\r\n",
        "X: a\nb: c\r\n\r\n",
        "X: a\r\n folded\r\n\r\n",
        "X: a\r\n\tfolded\r\n\r\n",
        "X : a\r\n\r\n",
        " X: a\r\n\r\n",
        ": a\r\n\r\n",
        "no colon\r\n\r\n",
        "X\u{80}: a\r\n\r\n",
        "Ü: a\r\n\r\n",
        "X\0: a\r\n\r\n",
        "X(y): a\r\n\r\n",
        "X: \u{7f}\r\n\r\n",
        "X: a\u{1b}[2J\r\n\r\n",
        "\"X\": a\r\n\r\n",
        "X y: a\r\n\r\n",
        "=\r\n\r\n",
        "X: a\n\n",
    ]);
}

#[test]
fn request_lines_with_two_readings_are_refused() {
    let rest = format!("Host: {HOST}\r\n\r\n");
    let cases: Vec<_> = [
        "GET  / HTTP/1.1\r\n",
        "GET\t/\tHTTP/1.1\r\n",
        "GET /  HTTP/1.1\r\n",
        " GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r",
        "GET /a b HTTP/1.1\r\n",
        "GET /\0 HTTP/1.1\r\n",
        "GET / http/1.1\r\n",
        "GET / HTTP/1.2\r\n",
        "GET / HTTP/2.0\r\n",
        "GET / HTTP/01.1\r\n",
        "GET / HTTP/1.10\r\n",
        "GET / HTTP/1,1\r\n",
        "GET / HTTP/0.9\r\n",
        "GET /\r\n",
        "GET HTTP/1.1\r\n",
        "G@T / HTTP/1.1\r\n",
        "\0GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\u{b}\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\n",
        "\nGET / HTTP/1.1\r\n",
        "GET /a#b HTTP/1.1\r\n",
        "GET a HTTP/1.1\r\n",
        "CONNECT {host}:80 HTTP/1.1\r\n",
        "CONNECT / HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n",
        "GET http://u@{host}/ HTTP/1.1\r\n",
        "GET ftp://{host}/ HTTP/1.1\r\n",
        "GET http://other.echo.localhost/ HTTP/1.1\r\n",
        "GET http://127.0.0.1/ HTTP/1.1\r\n",
        "GET http:///x HTTP/1.1\r\n",
        "GET //{host}@x/ http HTTP/1.1\r\n",
        "GET / HTTP/1.1, HTTP/1.1\r\n",
    ]
    .map(|line| format!("{}{rest}", line.replace("{host}", HOST)).into_bytes())
    .into();
    all(&mut Echo::start("", ""), &cases, |outcome| {
        matches!(outcome, Outcome::Refused(400 | 405 | 421 | 501 | 505))
    });
}

#[test]
fn hosts_with_two_readings_are_refused() {
    let cases: Vec<_> = [
        "",
        "Host:\r\n",
        "Host: {host}\r\nHost: {host}\r\n",
        "Host: {host}\r\nHost: b.echo.localhost\r\n",
        "Host: {host}/\r\n",
        "Host: u@{host}\r\n",
        "Host: {host}:99999\r\n",
        "Host: {host}:\u{663}\r\n",
        "Host: {host}, b\r\n",
        "Host: {host} b\r\n",
        "Host: http://{host}\r\n",
        "Host : {host}\r\n",
        "Host: {host}#\r\n",
        "Host: {host}?\r\n",
        "Host: ä.echo.localhost\r\n",
        "Host: [::1\r\n",
        "Host: a..echo.localhost\r\n",
        "Host: %61.echo.localhost\r\n",
        "Host: {host}:80:80\r\n",
        "Host: {host}\r\n folded\r\n",
        "Host: a.echo.localhost\0\r\n",
    ]
    .map(|hosts| format!("GET / HTTP/1.1\r\n{}\r\n", hosts.replace("{host}", HOST)).into_bytes())
    .into();
    all(&mut Echo::start("", ""), &cases, |outcome| matches!(outcome, Outcome::Refused(400)));
}

#[test]
fn what_has_one_meaning_passes() {
    let mut cases: Vec<_> = [
        "\r\n",
        "Content-Length: 0\r\n\r\n",
        "Content-Length: 5\r\n\r\nhello",
        "content-length:5\r\n\r\nhello",
        "Content-Length: \t5 \t\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding:chunked\r\n\r\n2;a=b;c=\"d\"\r\nab\r\n1\r\nc\r\n000\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTrailer: T\r\n\r\n0A\r\n0123456789\r\n0\r\nT: x\r\n\r\n",
        "X: \u{e4}\r\nY:\r\nZ: a\tb\r\n\r\n",
        "Content-Length: 42\r\n\r\nPOST /smuggled HTTP/1.1\r\nHost: b.example\r\n\r\n",
    ]
    .map(post)
    .into();
    let heads = [
        "GET /a?b=%0d%0a&c='|[]{}^`~\\ HTTP/1.1\r\n",
        "HEAD / HTTP/1.1\r\n",
        "DELETE /x HTTP/1.1\r\n",
        "\r\nGET /led HTTP/1.1\r\n",
        "GET /%2e%2e/%00 HTTP/1.1\r\n",
        "M-SEARCH /x HTTP/1.1\r\n",
        "TRACE /x HTTP/1.1\r\n",
    ];
    cases.extend(heads.map(|head| format!("{head}Host: {HOST}\r\n\r\n").into_bytes()));
    all(&mut Echo::start("", ""), &cases, |outcome| outcome == Outcome::Forwarded);
}

#[test]
fn an_absolute_target_leads_where_its_host_does() {
    let mut echo = Echo::start("", "");
    let request =
        format!("GET http://{HOST}/x?y HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let (answer, arrivals) = echo.exchange(request.as_bytes(), WHOLE);
    assert_eq!(answer.statuses(), [200], "{}", answer.bytes.escape_ascii());
    let lines: Vec<_> = arrivals.iter().flat_map(|a| a.requests.iter().map(|r| r.line())).collect();
    assert_eq!(lines, ["GET /x?y"]);
}

/// The header of the one request that arrived.
fn arrived(echo: &mut Echo, headers: &str) -> strict::Request {
    let request = format!("GET /h HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n");
    let (answer, arrivals) = echo.exchange(request.as_bytes(), WHOLE);
    let mut requests: Vec<_> = arrivals.into_iter().flat_map(|a| a.requests).collect();
    assert_eq!(requests.len(), 1, "{headers:?}: {}", answer.bytes.escape_ascii());
    requests.remove(0)
}

#[test]
fn nominated_headers_that_matter_stay() {
    let mut echo = Echo::start("", "");
    let request = arrived(
        &mut echo,
        "Connection: close, authorization, cookie, host, x-forwarded-for, x-mine\r\n\
         Authorization: Bearer a\r\nCookie: b\r\nX-Mine: c\r\nX-Other: d\r\n",
    );
    let text = |name| request.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
    assert_eq!(text("authorization").as_deref(), Some("Bearer a"));
    assert_eq!(text("cookie").as_deref(), Some("b"));
    assert_eq!(text("host").as_deref(), Some(HOST));
    assert_eq!(text("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(text("x-mine"), None);
    assert_eq!(text("x-other").as_deref(), Some("d"));
}

#[test]
fn what_a_client_says_of_itself_is_said_anew() {
    let mut echo = Echo::start("", "");
    let request = arrived(
        &mut echo,
        "Connection: close\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\n\
         X_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n\
         X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nProxy: http://6.6.6.6\r\n\
         X-Forwarded-Port: 666\r\nX-Request-Id: 6.6.6.6\r\n",
    );
    let head = String::from_utf8_lossy(&request.head).into_owned();
    for claim in ["6.6.6.6", "7.7.7.7", "evil", "https", "666"] {
        assert!(!head.contains(claim), "{claim} arrived: {head}");
    }
    let count = request.headers.iter().filter(|(name, _)| name == "x-forwarded-for").count();
    assert_eq!(count, 1, "{head}");
}

#[test]
fn a_request_behind_a_refused_upgrade_is_a_request() {
    let mut echo = Echo::start("", "");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let input = format!("GET /ws HTTP/1.1\r\nHost: {HOST}\r\n{upgrade}\r\n");
    assert_eq!(judge(&mut echo, input.as_bytes(), WHOLE), Ok(Outcome::Forwarded));
    // With a body, and to another version of HTTP.
    let input =
        format!("POST /ws HTTP/1.1\r\nHost: {HOST}\r\n{upgrade}Content-Length: 2\r\n\r\nhi");
    assert_eq!(judge(&mut echo, input.as_bytes(), WHOLE), Ok(Outcome::Forwarded));
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    let request = arrived(&mut echo, &format!("{h2c}X-Last: y\r\n"));
    assert_eq!(request.header("upgrade"), None);
    assert_eq!(request.header("http2-settings"), None);
}
