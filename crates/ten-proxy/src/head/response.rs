//! The head of an instance's answer.
//!
//! More lenient than with requests in what does no harm, because it is written anew: a line may
//! end with a bare LF, and a reason may be missing.

use memchr::memchr;

use super::{Fields, Name, Place, Span, Version, field, is_control};
use crate::{
    buffer::Buffer,
    check::{BadResponse, is_chunked, plain_length},
    framing::Framing,
};

/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 64 << 10;
/// Most header lines of an answer.
const MAX_HEADERS: usize = 256;
/// What stands before the number of a status.
const VERSION: &[u8] = b"HTTP/1.";

/// The head of an answer, sound in itself.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) fields: Fields,
    pub(crate) status: u16,
    http_10: bool,
    reason: Span,
    length: Option<u64>,
    chunked: bool,
}

impl Response {
    /// The head that this text is.
    ///
    /// # Errors
    /// If it is none, or not sound.
    pub(crate) fn parse(mut text: Buffer) -> Result<Self, BadResponse> {
        let mut scan = ResponseScan::default();
        let end = scan.scan(&text)?.ok_or(BadResponse::Head)?;
        Ok(scan.take(&mut text, end))
    }

    /// As it was written.
    pub(crate) fn reason(&self) -> &[u8] {
        self.fields.span(self.reason)
    }

    /// An answer before the answer (RFC 9110, section 15.2).
    pub(crate) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// Whether it has no body, whatever it says of one, as the answer to a request that is a
    /// HEAD or not (RFC 9112, section 6.3).
    pub(crate) fn is_bodiless(&self, to_head: bool) -> bool {
        to_head || matches!(self.status, 100..200 | 204 | 304)
    }

    /// The bytes of the body that it announces.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// What comes after it on a connection of HTTP/1.
    pub(crate) fn framing(&self, to_head: bool) -> Framing {
        match (self.chunked, self.length) {
            _ if self.is_bodiless(to_head) => Framing::nothing(),
            (true, _) => Framing::chunks(),
            (false, Some(length)) => Framing::length(length),
            (false, None) => Framing::the_rest(),
        }
    }

    /// Whether its connection is kept for another request (RFC 9112, section 9.3).
    pub(crate) fn keeps_alive(&self) -> bool {
        let kept = !self.http_10 || self.fields.has_option("keep-alive");
        kept && !self.fields.has_option("close")
    }
}

/// Writes the first line of an answer (RFC 9112, section 4), with three digits, as every status
/// has.
pub(crate) fn push_status_line(out: &mut Vec<u8>, version: Version, status: u16, reason: &[u8]) {
    let old = version == Version::Http10;
    out.extend_from_slice(if old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend([100, 10, 1].map(|place| b'0' + (status / place % 10) as u8));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// What is known of a head that is not complete.
#[derive(Debug, Default)]
pub(crate) struct ResponseScan {
    line: usize,
    seen: usize,
    /// The status line has been read.
    begun: bool,
    status: u16,
    http_10: bool,
    reason: Span,
    length: Option<u64>,
    chunked: bool,
    places: Vec<Place>,
}

impl ResponseScan {
    /// Reads on; `bytes` begin where the head does. Where it ends, once that is known.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, BadResponse> {
        if !self.begun && !VERSION.starts_with(&bytes[..bytes.len().min(VERSION.len())]) {
            return Err(BadResponse::Head);
        }
        while let Some(at) = memchr(b'\n', &bytes[self.seen..]) {
            let end = self.seen + at;
            if end >= MAX_HEAD {
                return Err(BadResponse::TooLong);
            }
            let line = &bytes[self.line..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let begun = std::mem::replace(&mut self.line, end + 1);
            self.seen = end + 1;
            if !self.begun {
                self.status_line(line, begun)?;
                self.begun = true;
            } else if line.is_empty() {
                self.is_framed()?;
                return Ok(Some(end + 1));
            } else {
                self.header(line, begun)?;
            }
        }
        self.seen = bytes.len();
        if self.seen >= MAX_HEAD { Err(BadResponse::TooLong) } else { Ok(None) }
    }

    /// Takes a complete head out of the buffer in which it is the beginning, up to `end`.
    pub(crate) fn take(&mut self, buffer: &mut Buffer, end: usize) -> Response {
        let (fields, start) = Fields::taken(buffer, end, std::mem::take(&mut self.places));
        let response = Response {
            fields,
            status: self.status,
            http_10: self.http_10,
            reason: self.reason.moved(start),
            length: self.length,
            chunked: self.chunked,
        };
        *self = Self::default();
        response
    }

    /// RFC 9112, section 4: `HTTP/1.1 200 OK`.
    fn status_line(&mut self, line: &[u8], at: usize) -> Result<(), BadResponse> {
        let [minor, b' ', rest @ ..] = line.strip_prefix(VERSION).ok_or(BadResponse::Head)? else {
            return Err(BadResponse::Head);
        };
        self.http_10 = match minor {
            b'0' => true,
            b'1' => false,
            _ => return Err(BadResponse::Head),
        };
        let (digits, reason) = rest.split_at_checked(3).ok_or(BadResponse::Head)?;
        let status = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        self.status = status.filter(|it| (100..1000).contains(it)).ok_or(BadResponse::Head)?;
        let reason = match reason {
            [] => reason,
            [b' ', reason @ ..] => reason,
            _ => return Err(BadResponse::Head),
        };
        if reason.iter().any(|byte| is_control(*byte)) {
            return Err(BadResponse::Head);
        }
        let end = at + line.len();
        self.reason = Span::new(end - reason.len(), end);
        Ok(())
    }

    fn header(&mut self, line: &[u8], at: usize) -> Result<(), BadResponse> {
        if self.places.len() >= MAX_HEADERS {
            return Err(BadResponse::TooLong);
        }
        let place = field(line, at).map_err(|_| BadResponse::Head)?;
        let value = || &line[place.value.start as usize - at..place.value.end as usize - at];
        match place.known {
            Name::ContentLength => {
                let length = plain_length(value()).ok_or(BadResponse::ContentLength)?;
                if self.length.replace(length).is_some() {
                    return Err(BadResponse::ContentLength);
                }
            }
            Name::TransferEncoding if self.chunked || !is_chunked(value()) => {
                return Err(BadResponse::TransferEncoding);
            }
            Name::TransferEncoding => self.chunked = true,
            _ => {}
        }
        self.places.push(place);
        Ok(())
    }

    fn is_framed(&self) -> Result<(), BadResponse> {
        match self.chunked {
            true if self.length.is_some() => Err(BadResponse::ContentLength),
            true if self.http_10 => Err(BadResponse::TransferEncoding),
            _ => Ok(()),
        }
    }
}
