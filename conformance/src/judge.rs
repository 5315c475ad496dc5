//! Whether what went in and what came out are the same requests.
//!
//! Every input has a further request behind it, the victim of whoever smuggles: it is answered
//! as itself, or not at all.

use crate::{
    echo::{Arrival, Echo, HOST},
    raw::Answer,
    strict::{self, Request, Rest},
};

/// What became of an input that went through as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every request reached the backend, as itself.
    Forwarded,
    /// None did: this status, and the end of the connection.
    Refused(u16),
    /// It is a part of a request. The backend saw nothing of it, or a part too.
    Partial,
    /// A fault in a body: the backend saw a part of one request, and its connection's end.
    Aborted,
}

/// Sends `input` and the victim behind it.
///
/// # Errors
///
/// What is wrong, if the backend got anything that the strict parser does not find in the
/// input, or if a refusal did not end the connection.
pub fn judge(echo: &mut Echo, input: &[u8]) -> Result<Outcome, String> {
    let victim = format!("GET /victim HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let input = [input, victim.as_bytes()].concat();
    let (expected, rest) = strict::requests(&input);
    let (answer, arrivals) = echo.exchange(&input);
    let story = || {
        let arrived: Vec<_> = arrivals.iter().map(tell).collect();
        let back: String = answer.bytes.escape_ascii().to_string().chars().take(200).collect();
        format!("expected {} and {rest:?}; arrived {arrived:?}; answered {back}", lines(&expected))
    };
    compare(&expected, &rest, &answer, &arrivals).map_err(|what| format!("{what}: {}", story()))
}

fn compare(
    expected: &[Request],
    rest: &Rest,
    answer: &Answer,
    arrivals: &[Arrival],
) -> Result<Outcome, &'static str> {
    if arrivals.iter().any(|arrival| matches!(arrival.rest, Rest::Fault(_))) {
        return Err("the backend got what is no request");
    }
    let arrived: Vec<&Request> = arrivals.iter().flat_map(|arrival| &arrival.requests).collect();
    let parts = arrivals.iter().filter(|arrival| arrival.rest != Rest::Nothing).count();
    // Each request of a client may have had another connection to the backend.
    let known = |request: &&&Request| expected.iter().any(|want| is_same(want, request));
    if arrived.len() > expected.len() || arrived.iter().filter(known).count() != arrived.len() {
        return Err("the backend got other requests than were sent");
    }
    if !expected[..arrived.len()].iter().all(|want| arrived.iter().any(|got| is_same(want, got))) {
        return Err("the backend got a later request without an earlier one");
    }
    if parts > usize::from(*rest != Rest::Nothing) {
        return Err("the backend got a part of a request that was whole, or of none");
    }
    let refused = answer.statuses().last().copied().filter(|status| *status >= 400);
    match (rest, refused) {
        (Rest::Nothing, None) if arrived.len() == expected.len() => Ok(Outcome::Forwarded),
        (Rest::Part(_), _) if arrived.len() == expected.len() => Ok(Outcome::Partial),
        (_, Some(_)) if !answer.closed => Err("a refusal did not end the connection"),
        (_, Some(_)) if parts > 0 => Ok(Outcome::Aborted),
        (_, Some(status)) if arrived.is_empty() => Ok(Outcome::Refused(status)),
        (Rest::Fault(_), _) if answer.closed => Ok(Outcome::Aborted),
        _ => Err("neither forwarded nor refused"),
    }
}

/// The same to whoever acts on it. Headers are the proxy's to change.
fn is_same(a: &Request, b: &Request) -> bool {
    (&a.method, &a.target) == (&b.method, &b.target)
        && (&a.body, &a.trailers) == (&b.body, &b.trailers)
}

fn lines(requests: &[Request]) -> String {
    requests.iter().map(|request| format!("{:?}", request.line())).collect::<Vec<_>>().join(", ")
}

fn tell(arrival: &Arrival) -> String {
    format!("{} and {:?}", lines(&arrival.requests), arrival.rest)
}
