//! Instances that answer wrongly (FAULTS c12). The client gets 502 or an answer that is visibly
//! cut; the connection to the instance is not used again, and no byte of a wrong answer gets to
//! anybody else.

use std::time::{Duration, Instant};

use ten_conformance::{
    memory, program,
    raw::{self, Answer},
    service,
};
use ten_testkit::Ten;

const HOST: &str = "a.faulty.localhost";
/// What an instance may take to the head of its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than any of these answers takes to end by itself.
const SILENCE: Duration = Duration::from_secs(10);
/// Memory that ten may have grown by, after megabytes that it must not keep.
const MOST_GROWTH_KIB: u64 = 48 << 10;

fn start() -> Ten {
    let command = program("faulty-backend").display().to_string();
    let keys = format!("request_timeout = {}", REQUEST_TIMEOUT.as_secs());
    Ten::with_config(&service("faulty", &command, &keys)).start()
}

/// Sends one request, and another as another client: the second answer is its own, and came on
/// a connection on which nothing was wrong.
fn provoke(ten: &Ten, method: &str, fault: &str, body: &[u8]) -> Answer {
    let length = body.len();
    let head = format!(
        "{method} /{fault} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    let answer =
        raw::exchange(ten.address(), &[head.as_bytes(), body].concat(), raw::WHOLE, SILENCE);
    for round in 0..3 {
        let fine = ten.get(HOST, &format!("/fine/{fault}-{round}"));
        assert_eq!((fine.status, fine.text()), (200, format!("{fault}-{round} clean")), "{fault}");
    }
    answer
}

fn story(answer: &Answer) -> String {
    answer.bytes.escape_ascii().to_string().chars().take(400).collect()
}

/// Head and body of an answer.
fn parts(answer: &Answer) -> (String, &[u8]) {
    let end = answer.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (head, body) = answer.bytes.split_at(end.map_or(answer.bytes.len(), |end| end + 4));
    (String::from_utf8_lossy(head).to_ascii_lowercase(), body)
}

#[test]
fn heads_that_make_no_sense_are_answered_with_502() {
    let ten = start();
    let mut wrong = Vec::new();
    for fault in [
        "nothing",
        "garbage",
        "no-status-line",
        "only-a-body",
        "half-a-head",
        "reset-in-head",
        "no-number",
        "two-lengths",
        "same-lengths",
        "list-length",
        "signed-length",
        "octal-length",
        "negative-length",
        "huge-length",
        "length-and-chunks",
        "other-coding",
        "two-codings",
        "nul-in-header",
        "blank-before-colon",
        "no-colon",
        "unasked-101",
        "large-header",
        "many-headers",
        "endless-garbage",
        "endless-headers",
        "endless-header",
    ] {
        let answer = provoke(&ten, "GET", fault, b"");
        if answer.statuses() != [502] {
            wrong.push(format!("{fault}: {}", story(&answer)));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn bodies_that_make_no_sense_are_cut() {
    let ten = start();
    let mut wrong = Vec::new();
    for fault in [
        "length-too-long",
        "reset-in-body",
        "bad-chunk",
        "long-chunk",
        "no-last-chunk",
        "reset-in-chunks",
        "endless-extension",
        "endless-trailers",
    ] {
        let answer = provoke(&ten, "GET", fault, b"");
        let (head, body) = parts(&answer);
        let whole = head.contains("content-length: 10\r\n") && body.len() >= 10
            || head.contains("transfer-encoding") && body.ends_with(b"0\r\n\r\n")
            || !head.contains("content-length: 10\r\n") && !head.contains("transfer-encoding");
        // Cut before its head was passed on, an answer is none.
        let refused = answer.statuses() == [502];
        if !answer.closed || whole && !refused {
            wrong.push(format!("{fault}: closed {}: {}", answer.closed, story(&answer)));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn bytes_behind_an_answer_reach_nobody() {
    let ten = start();
    for (method, fault, status, body) in [
        ("GET", "length-too-short", 200, "ok"),
        ("GET", "second-answer", 200, "ok"),
        ("GET", "body-of-204", 204, ""),
        ("GET", "body-of-304", 304, ""),
        ("HEAD", "body-of-head", 200, ""),
    ] {
        let answer = provoke(&ten, method, fault, b"");
        let (head, got) = parts(&answer);
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{fault}: {}", story(&answer));
        assert_eq!(got, body.as_bytes(), "{fault}");
    }
}

#[test]
fn interim_answers_are_passed_on_and_bounded() {
    let ten = start();
    for fault in ["endless-hints", "endless-continue"] {
        let before = memory::resident_kib(&ten);
        let began = Instant::now();
        let answer = provoke(&ten, "GET", fault, b"");
        let statuses = answer.statuses();
        let (last, hints) = statuses.split_last().expect("an answer");
        let few = hints.len() <= 256 && hints.iter().all(|status| *status == 103);
        assert!(*last == 502 && few, "{fault}: {}", story(&answer));
        let took = began.elapsed();
        assert!(took < 3 * REQUEST_TIMEOUT, "{fault} was endured for {took:?}");
        let growth = memory::resident_kib(&ten).saturating_sub(before);
        assert!(growth < MOST_GROWTH_KIB, "{fault}: {growth} KiB more");
    }
    // A few are no fault: the final answer is what counts.
    let hints = ten.get(HOST, "/hints");
    assert_eq!((hints.status, hints.text().as_str()), (200, "ok"));
}

#[test]
fn a_body_ends_where_the_connection_does() {
    let ten = start();
    let answer = provoke(&ten, "GET", "until-close", b"");
    let (head, body) = parts(&answer);
    assert!(head.starts_with("http/1.1 200 "), "{}", story(&answer));
    let chunked = head.contains("transfer-encoding: chunked");
    let whole: &[u8] = if chunked { b"2\r\nok\r\n0\r\n\r\n" } else { b"ok" };
    assert_eq!(body, whole, "{}", story(&answer));
}

#[test]
fn trailers_pass() {
    let ten = start();
    let head = "Connection: close, TE\r\nTE: trailers\r\n\r\n";
    let request = format!("GET /trailers HTTP/1.1\r\nHost: {HOST}\r\n{head}");
    let answer = raw::exchange(ten.address(), request.as_bytes(), raw::WHOLE, SILENCE);
    let (head, body) = parts(&answer);
    assert!(head.contains("\r\ntrailer: t\r\n"), "{}", story(&answer));
    assert_eq!(body.to_ascii_lowercase(), b"2\r\nok\r\n0\r\nt: last\r\n\r\n", "{}", story(&answer));
}

#[test]
fn an_answer_may_come_before_the_request_is_complete() {
    let ten = start();
    // More than all buffers on the way hold.
    let body = vec![b'x'; 64 << 20];
    for (fault, status) in [("early", "413"), ("early-keep", "200")] {
        for round in 0..5 {
            let answer = provoke(&ten, "POST", fault, &body);
            let (head, got) = parts(&answer);
            // An instance that closes with bytes unread resets its connection; what it said
            // before is its answer all the same.
            let told = head.starts_with(&format!("http/1.1 {status} ")) && got == b"ok";
            assert!(told, "{fault} {round}: {}", story(&answer));
        }
    }
}

#[test]
fn heads_without_end_cost_no_memory() {
    let ten = start();
    provoke(&ten, "GET", "garbage", b"");
    let before = memory::resident_kib(&ten);
    for fault in ["endless-headers", "endless-header", "endless-garbage", "large-header"] {
        for _ in 0..5 {
            provoke(&ten, "GET", fault, b"");
        }
    }
    let growth = memory::resident_kib(&ten).saturating_sub(before);
    assert!(growth < MOST_GROWTH_KIB, "{growth} KiB more");
}
