//! The judge itself, with a proxy that passes what it should not.

use super::*;

const SMUGGLED: &str = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

fn verdict(sent: &str, arrived: &[&str], answered: &str) -> Result<Outcome, &'static str> {
    let (expected, rest) = strict::requests(sent.as_bytes());
    let answer = Answer { bytes: answered.into(), closed: answered.contains(" 400 ") };
    let arrivals = arrived.iter().map(|bytes| {
        let (requests, rest) = strict::requests(bytes.as_bytes());
        Arrival { requests, rest }
    });
    let trial = Trial { expected, rest, answer, arrivals: arrivals.collect() };
    trial.nothing_else().and_then(|()| trial.outcome())
}

#[test]
fn more_than_was_sent_is_found() {
    let sent = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 38\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let sent = format!("{sent}123");
    assert_eq!(strict::requests(sent.as_bytes()).0.len(), 1, "one request with a body");
    let ok = "HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(verdict(&sent, &[&sent], ok), Ok(Outcome::Forwarded));
    assert!(verdict(&sent, &[SMUGGLED], ok).is_err(), "two arrived");
    assert!(verdict(&sent, &[&sent, &sent], ok).is_err(), "it arrived twice");
    assert!(verdict(&sent, &[&sent[..80]], ok).is_err(), "a part arrived");
}

#[test]
fn what_is_no_request_is_found() {
    let sent = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let refused = "HTTP/1.1 400 Bad Request\r\n\r\n";
    assert_eq!(verdict(sent, &[], refused), Ok(Outcome::Refused(400)));
    assert!(
        verdict(sent, &[sent], "HTTP/1.1 200 OK\r\n\r\n").is_err(),
        "it was passed on as it is"
    );
    let reframed = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    assert!(verdict(sent, &[reframed], refused).is_err(), "it was repaired");
    assert!(verdict(sent, &[], "HTTP/1.1 404 Not Found\r\n\r\n").is_err(), "it may be followed");
}
