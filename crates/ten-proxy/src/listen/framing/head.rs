//! The head of a request, line by line, each once, as soon as it is complete.

use http::{Uri, uri::PathAndQuery};
use memchr::memchr;

use super::Limits;
use crate::check::{BadRequest, is_chunked, is_read_as, plain_length};

/// What is known of a head that is not complete.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where its first incomplete line begins.
    line: usize,
    /// Before this there is no other end of a line.
    seen: usize,
    /// Complete lines, the request line being the first.
    lines: usize,
    /// One empty line came before the request line (RFC 9112, section 2.2).
    led: bool,
    http_11: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

/// What comes after a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Follows {
    Nothing,
    /// A body of so many bytes, not 0.
    Length(u64),
    Chunks,
    /// Another protocol perhaps.
    Switch,
}

impl Head {
    /// Reads on; `bytes` begin where the head does. Where it ends and what follows, once that
    /// is known.
    pub(super) fn scan(
        &mut self,
        bytes: &[u8],
        limits: Limits,
    ) -> Result<Option<(usize, Follows)>, BadRequest> {
        loop {
            // TLS and the like are told at once, not when their patience ends.
            if self.lines == 0
                && let Some(&first) = bytes.get(self.line)
                && first != b'\r'
                && !is_token(first)
            {
                return Err(BadRequest::RequestLine);
            }
            let Some(at) = memchr(b'\n', &bytes[self.seen..]) else { break };
            let end = self.seen + at;
            if end >= limits.bytes {
                return Err(self.too_long());
            }
            let line = bytes[self.line..end].strip_suffix(b"\r").ok_or(BadRequest::LineEnd)?;
            let last = line.is_empty() && self.lines > 0;
            (self.line, self.seen) = (end + 1, end + 1);
            if last {
                return Ok(Some((end + 1, self.follows()?)));
            }
            self.line(line, limits)?;
        }
        self.seen = bytes.len();
        if self.seen >= limits.bytes { Err(self.too_long()) } else { Ok(None) }
    }

    fn line(&mut self, line: &[u8], limits: Limits) -> Result<(), BadRequest> {
        if self.lines == 0 && line.is_empty() && !self.led {
            self.led = true;
            return Ok(());
        }
        self.lines += 1;
        match self.lines {
            1 => self.request_line(line),
            n if n - 1 > limits.headers => Err(BadRequest::TooManyHeaders),
            _ => self.header(line),
        }
    }

    fn too_long(&self) -> BadRequest {
        if self.lines == 0 { BadRequest::TargetTooLong } else { BadRequest::HeadTooLong }
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), BadRequest> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadRequest::RequestLine);
        };
        if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
            return Err(BadRequest::RequestLine);
        }
        self.http_11 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return Err(BadRequest::Version),
        };
        if method == b"CONNECT" {
            return Err(BadRequest::Connect);
        }
        if is_target(target) { Ok(()) } else { Err(BadRequest::Target) }
    }

    /// One field (RFC 9112, section 5): the name up to its colon, so that neither a space
    /// before the colon nor a folded line passes for one.
    fn header(&mut self, line: &[u8]) -> Result<(), BadRequest> {
        let colon = line.iter().position(|byte| !is_token(*byte));
        let Some(colon) = colon.filter(|at| *at > 0 && line[*at] == b':') else {
            return Err(BadRequest::HeaderName);
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        // Folded, not searched: a header is short, and this way eight and more go at once.
        if value.iter().fold(false, |found, byte| found | is_control(*byte)) {
            return Err(BadRequest::Control);
        }
        if is_read_as(name, b"content-length") {
            let length = plain_length(trim(value)).ok_or(BadRequest::ContentLength)?;
            if self.length.replace(length).is_some() || name.contains(&b'_') {
                return Err(BadRequest::ContentLength);
            }
        } else if is_read_as(name, b"transfer-encoding") {
            if self.chunked || !is_chunked(trim(value)) || name.contains(&b'_') {
                return Err(BadRequest::TransferEncoding);
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        }
        Ok(())
    }

    fn follows(&self) -> Result<Follows, BadRequest> {
        match (self.chunked, self.length) {
            (true, _) if !self.http_11 => Err(BadRequest::TransferEncoding),
            (true, Some(_)) => Err(BadRequest::ContentLength),
            (true, None) => Ok(Follows::Chunks),
            (false, Some(length @ 1..)) => Ok(Follows::Length(length)),
            (false, _) if self.upgrade && self.http_11 => Ok(Follows::Switch),
            (false, _) => Ok(Follows::Nothing),
        }
    }
}

/// A target in a form of RFC 9112, section 3.2. What RFC 3986 wants escaped, and clients do
/// not all escape, is left to what will parse it; but a fragment, which that drops, is none.
fn is_target(target: &[u8]) -> bool {
    if target.starts_with(b"/") {
        return target.iter().all(|byte| is_plain(*byte))
            || !target.contains(&b'#') && PathAndQuery::try_from(target).is_ok();
    }
    !target.contains(&b'#') && Uri::try_from(target).is_ok()
}

fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// A control character that no value may contain (RFC 9110, section 5.5).
pub(super) fn is_control(byte: u8) -> bool {
    (byte < b' ') & (byte != b'\t') | (byte == 0x7f)
}

/// A character of a token (RFC 9110, section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
    TOKEN[usize::from(byte)]
}

/// A character of a path or a query (RFC 3986, sections 3.3 and 3.4).
fn is_plain(byte: u8) -> bool {
    const PLAIN: [bool; 256] = table(b"-._~%!$&'()*+,;=:@/?");
    PLAIN[usize::from(byte)]
}

/// Letters, digits and `others`.
const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte as usize] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut other = 0;
    while other < others.len() {
        table[others[other] as usize] = true;
        other += 1;
    }
    table
}
