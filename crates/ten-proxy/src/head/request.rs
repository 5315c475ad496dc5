//! The head of a request, line by line, each once, as soon as it is complete.

use http::{Uri, uri::PathAndQuery};
use memchr::memchr;

use super::{FieldError, Fields, Name, Place, Span, field, is_plain, is_token};
use crate::{
    buffer::Buffer,
    check::{BadRequest, is_chunked, plain_length},
    head::is_read_as,
};

/// What a head may be at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// In bytes, with its empty line.
    pub(crate) bytes: usize,
    /// Header lines.
    pub(crate) headers: usize,
}

/// In which version a request came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

/// What comes after a head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Follows {
    #[default]
    Nothing,
    /// A body of so many bytes, not 0.
    Length(u64),
    Chunks,
}

/// A request's head, sound in itself.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) fields: Fields,
    pub(crate) version: Version,
    pub(crate) follows: Follows,
    method: Span,
    target: Span,
}

impl Request {
    /// Of this request, whose head is the beginning of `buffer`.
    ///
    /// # Errors
    /// If that is no sound head, with what is sound of it. In HTTP/2 its framing fields frame
    /// nothing; but the request may go on as one of HTTP/1, where they do.
    pub(crate) fn of_http2(mut buffer: Buffer, limits: Limits) -> (Self, Option<BadRequest>) {
        let mut scan = Scan::default();
        let scanned = scan.scan(&buffer, limits);
        let (mut request, fault) = match scanned {
            Ok(Some(head)) => (scan.take(&mut buffer, head), None),
            Ok(None) => (scan.take_sound(&mut buffer), Some(BadRequest::RequestLine)),
            Err(fault) => (scan.take_sound(&mut buffer), Some(fault)),
        };
        let framed = request.fields.has(Name::TransferEncoding);
        (request.version, request.follows) = (Version::Http2, Follows::Nothing);
        (request, fault.or(framed.then_some(BadRequest::TransferEncoding)))
    }

    pub(crate) fn method(&self) -> &[u8] {
        self.fields.span(self.method)
    }

    /// As it was written.
    pub(crate) fn target(&self) -> &[u8] {
        self.fields.span(self.target)
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    /// Whether to send it twice is to send it once (RFC 9110, section 9.2.2).
    pub(crate) fn is_idempotent(&self) -> bool {
        matches!(self.method(), b"GET" | b"HEAD" | b"PUT" | b"DELETE" | b"OPTIONS" | b"TRACE")
    }

    /// Whether its connection is to be kept for another one (RFC 9112, section 9.3).
    pub(crate) fn keeps_alive(&self) -> bool {
        if !self.fields.has(Name::Connection) {
            return self.version != Version::Http10;
        }
        let kept = self.version != Version::Http10 || self.fields.has_option("keep-alive");
        kept && !self.fields.has_option("close")
    }
}

/// What is known of a head that is not complete.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Where its first incomplete line begins.
    line: usize,
    /// Before this there is no other end of a line.
    seen: usize,
    /// Complete lines, the request line being the first.
    lines: usize,
    /// One empty line came before the request line (RFC 9112, section 2.2).
    led: bool,
    method: Span,
    target: Span,
    version: Version,
    length: Option<u64>,
    chunked: bool,
    places: Vec<Place>,
}

/// A head that is complete: where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Complete(pub(crate) usize);

impl Scan {
    /// Reads on; `bytes` begin where the head does. `None` where it is not complete.
    pub(crate) fn scan(
        &mut self,
        bytes: &[u8],
        limits: Limits,
    ) -> Result<Option<Complete>, BadRequest> {
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
            let begun = std::mem::replace(&mut self.line, end + 1);
            self.seen = end + 1;
            if last {
                self.follows()?;
                return Ok(Some(Complete(end + 1)));
            }
            self.line(line, begun, limits)?;
        }
        self.seen = bytes.len();
        if self.seen >= limits.bytes { Err(self.too_long()) } else { Ok(None) }
    }

    /// Whether what was scanned is more than what may stand before a head.
    pub(crate) fn has_begun(&self, bytes: &[u8]) -> bool {
        self.lines > 0 || bytes.get(self.line..).is_some_and(|line| !matches!(line, [] | b"\r"))
    }

    /// Takes a complete head out of the buffer in which it is the beginning.
    pub(crate) fn take(&mut self, buffer: &mut Buffer, head: Complete) -> Request {
        // What is complete was found to be sound.
        let follows = self.follows().unwrap_or(Follows::Nothing);
        self.take_to(buffer, head.0, follows)
    }

    /// Takes what there is of a head that is refused: its sound lines up to the fault.
    pub(crate) fn take_sound(&mut self, buffer: &mut Buffer) -> Request {
        self.take_to(buffer, self.line.min(buffer.len()), Follows::Nothing)
    }

    fn take_to(&mut self, buffer: &mut Buffer, end: usize, follows: Follows) -> Request {
        let (fields, start) = Fields::taken(buffer, end, std::mem::take(&mut self.places));
        let request = Request {
            fields,
            version: self.version,
            follows,
            method: self.method.moved(start),
            target: self.target.moved(start),
        };
        *self = Self::default();
        request
    }

    /// Reads the next head with the memory of one that was answered.
    pub(crate) fn reuse(&mut self, answered: Request) {
        if self.places.capacity() == 0 {
            self.places = answered.fields.into_places();
            self.places.clear();
        }
    }

    fn line(&mut self, line: &[u8], at: usize, limits: Limits) -> Result<(), BadRequest> {
        if self.lines == 0 && line.is_empty() && !self.led {
            self.led = true;
            return Ok(());
        }
        self.lines += 1;
        match self.lines {
            1 => self.request_line(line, at),
            n if n - 1 > limits.headers => Err(BadRequest::TooManyHeaders),
            _ => self.header(line, at),
        }
    }

    fn too_long(&self) -> BadRequest {
        if self.lines == 0 { BadRequest::TargetTooLong } else { BadRequest::HeadTooLong }
    }

    fn request_line(&mut self, line: &[u8], at: usize) -> Result<(), BadRequest> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadRequest::RequestLine);
        };
        if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
            return Err(BadRequest::RequestLine);
        }
        self.version = match version {
            b"HTTP/1.1" => Version::Http11,
            b"HTTP/1.0" => Version::Http10,
            _ => return Err(BadRequest::Version),
        };
        if method == b"CONNECT" {
            return Err(BadRequest::Connect);
        }
        self.method = Span::new(at, at + method.len());
        let start = at + method.len() + 1;
        self.target = Span::new(start, start + target.len());
        if is_target(target) { Ok(()) } else { Err(BadRequest::Target) }
    }

    fn header(&mut self, line: &[u8], at: usize) -> Result<(), BadRequest> {
        let place = field(line, at).map_err(|error| match error {
            FieldError::Name => BadRequest::HeaderName,
            FieldError::Control => BadRequest::Control,
        })?;
        let name = &line[..(place.name.end - place.name.start) as usize];
        let value = || &line[place.value.start as usize - at..place.value.end as usize - at];
        match place.known {
            Name::ContentLength => {
                let length = plain_length(value()).ok_or(BadRequest::ContentLength)?;
                if self.length.replace(length).is_some() {
                    return Err(BadRequest::ContentLength);
                }
            }
            Name::TransferEncoding if self.chunked || !is_chunked(value()) => {
                return Err(BadRequest::TransferEncoding);
            }
            Name::TransferEncoding => self.chunked = true,
            Name::Other if is_read_as(name, b"content-length") => {
                return Err(BadRequest::ContentLength);
            }
            Name::Other if is_read_as(name, b"transfer-encoding") => {
                return Err(BadRequest::TransferEncoding);
            }
            _ => {}
        }
        self.places.push(place);
        Ok(())
    }

    fn follows(&self) -> Result<Follows, BadRequest> {
        match (self.chunked, self.length) {
            (true, _) if self.version == Version::Http10 => Err(BadRequest::TransferEncoding),
            (true, Some(_)) => Err(BadRequest::ContentLength),
            (true, None) => Ok(Follows::Chunks),
            (false, Some(length @ 1..)) => Ok(Follows::Length(length)),
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
