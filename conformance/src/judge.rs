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

/// Sends `input` and the victim behind it, in pieces of at most `piece` bytes.
///
/// # Errors
///
/// What is wrong, if the backend got anything that the strict parser does not find in the
/// input, or if the input was neither forwarded nor refused, or if a refusal did not end the
/// connection.
pub fn judge(echo: &mut Echo, input: &[u8], piece: usize) -> Result<Outcome, String> {
    let trial = Trial::new(echo, input, piece);
    trial.nothing_else().and_then(|()| trial.outcome()).map_err(|what| trial.story(what))
}

/// The same for inputs of which nobody knows to whom they lead, and whether they end their
/// connection: what they come to does not matter.
///
/// # Errors
///
/// What is wrong, if the backend got anything that the strict parser does not find in the
/// input.
pub fn nothing_else(echo: &mut Echo, input: &[u8], piece: usize) -> Result<(), String> {
    let trial = Trial::new(echo, input, piece);
    trial.nothing_else().map_err(|what| trial.story(what))
}

/// An input with its victim, and what became of them.
struct Trial {
    expected: Vec<Request>,
    rest: Rest,
    answer: Answer,
    arrivals: Vec<Arrival>,
}

impl Trial {
    fn new(echo: &mut Echo, input: &[u8], piece: usize) -> Self {
        let victim = format!("GET /victim HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        let input = [input, victim.as_bytes()].concat();
        let (expected, rest) = strict::requests(&input);
        let (answer, arrivals) = echo.exchange(&input, piece);
        Self { expected, rest, answer, arrivals }
    }

    fn arrived(&self) -> impl Iterator<Item = &Request> {
        self.arrivals.iter().flat_map(|arrival| &arrival.requests)
    }

    /// How many of the backend's connections ended in the middle of a request.
    fn parts(&self) -> usize {
        self.arrivals.iter().filter(|arrival| arrival.rest != Rest::Nothing).count()
    }

    /// Whether the backend got what was sent, or less.
    fn nothing_else(&self) -> Result<(), &'static str> {
        if self.arrivals.iter().any(|arrival| matches!(arrival.rest, Rest::Fault(_))) {
            return Err("the backend got what is no request");
        }
        let mut open: Vec<&Request> = self.expected.iter().collect();
        for request in self.arrived() {
            let known = open.iter().position(|want| is_same(want, request));
            open.swap_remove(known.ok_or("the backend got another request than was sent")?);
        }
        match self.parts() > usize::from(self.rest != Rest::Nothing) {
            true => Err("the backend got a part of a request that was whole, or of none"),
            false => Ok(()),
        }
    }

    fn outcome(&self) -> Result<Outcome, &'static str> {
        let (arrived, parts) = (self.arrived().count(), self.parts());
        let first = &self.expected[..arrived];
        if !first.iter().all(|want| self.arrived().any(|got| is_same(want, got))) {
            return Err("the backend got a later request without an earlier one");
        }
        let refused = self.answer.statuses().last().copied().filter(|status| *status >= 400);
        match (&self.rest, refused) {
            (Rest::Nothing, None) if arrived == self.expected.len() => Ok(Outcome::Forwarded),
            (Rest::Part(_), _) if arrived == self.expected.len() => Ok(Outcome::Partial),
            (_, Some(_)) if !self.answer.closed => Err("a refusal did not end the connection"),
            (_, Some(_)) if parts > 0 => Ok(Outcome::Aborted),
            (_, Some(status)) if arrived == 0 => Ok(Outcome::Refused(status)),
            (Rest::Fault(_), _) if self.answer.closed => Ok(Outcome::Aborted),
            _ => Err("neither forwarded nor refused"),
        }
    }

    fn story(&self, what: &str) -> String {
        let Self { expected, rest, answer, arrivals } = self;
        let arrived: Vec<_> = arrivals.iter().map(tell).collect();
        let back: String = answer.bytes.escape_ascii().to_string().chars().take(200).collect();
        let expected = lines(expected);
        format!("{what}: expected {expected} and {rest:?}; arrived {arrived:?}; answered {back}")
    }
}

/// The same to whoever acts on it. Headers are the proxy's to change, and so is the spelling of
/// a target that names its host.
fn is_same(a: &Request, b: &Request) -> bool {
    (&a.method, path(&a.target), &a.body) == (&b.method, path(&b.target), &b.body)
        && (a.trailers == b.trailers || announced(a) == b.trailers)
}

/// Trailers that `Trailer` names; the others may be dropped (RFC 9110, section 6.5.1).
fn announced(request: &Request) -> Vec<(String, Vec<u8>)> {
    let names = request.header("trailer").unwrap_or_default().split(|byte| *byte == b',');
    let names: Vec<&[u8]> = names.map(<[u8]>::trim_ascii).collect();
    let is_announced = |name: &str| names.iter().any(|n| n.eq_ignore_ascii_case(name.as_bytes()));
    request.trailers.iter().filter(|(name, _)| is_announced(name)).cloned().collect()
}

fn path(target: &[u8]) -> &[u8] {
    let Some(scheme) = target.windows(3).position(|bytes| bytes == b"://") else { return target };
    if target.starts_with(b"/") {
        return target;
    }
    let authority = &target[scheme + 3..];
    let end = authority.iter().position(|byte| matches!(byte, b'/' | b'?'));
    end.map_or(b"/", |end| &authority[end..])
}

fn lines(requests: &[Request]) -> String {
    requests.iter().map(|request| format!("{:?}", request.line())).collect::<Vec<_>>().join(", ")
}

fn tell(arrival: &Arrival) -> String {
    format!("{} and {:?}", lines(&arrival.requests), arrival.rest)
}

#[cfg(test)]
mod tests;
