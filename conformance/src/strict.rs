//! A parser of requests that forgives nothing (RFC 9112): the judge of what went in and of
//! what came out.
//!
//! ```text
//! bytes ─▶ requests, whole and in order ─▶ Rest: nothing, a part of one more, or a fault
//! ```
//!
//! Where the RFC lets a recipient choose between repairing and refusing, this refuses. It has
//! no limits: lengths are not its subject.

/// A request, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The target as it was spelt.
    pub target: Vec<u8>,
    /// Names in lower case, values without the blanks around them, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, its chunks put together.
    pub body: Vec<u8>,
    /// What came after the last chunk.
    pub trailers: Vec<(String, Vec<u8>)>,
    /// From the first byte to the empty line, which is included.
    pub head: Vec<u8>,
}

/// What comes after the last whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// So many bytes that may become a request.
    Part(usize),
    /// Something that never will.
    Fault(&'static str),
}

/// Reads as many requests as there are.
pub fn requests(mut bytes: &[u8]) -> (Vec<Request>, Rest) {
    let mut found = Vec::new();
    loop {
        // The one empty line that RFC 9112, section 2.2 has servers ignore.
        let line = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        if line.is_empty() {
            return (found, Rest::Nothing);
        }
        match request(line) {
            Ok((request, rest)) => {
                found.push(request);
                bytes = rest;
            }
            Err(Stop::More) => return (found, Rest::Part(line.len())),
            Err(Stop::Fault(what)) => return (found, Rest::Fault(what)),
        }
    }
}

impl Request {
    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    /// Method and target, to be read.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target.escape_ascii())
    }
}

enum Stop {
    More,
    Fault(&'static str),
}

type Read<'a, T> = Result<(T, &'a [u8]), Stop>;
type Fields = Vec<(String, Vec<u8>)>;

fn request(bytes: &[u8]) -> Read<'_, Request> {
    let (line, rest) = line(bytes)?;
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else {
        return Err(Stop::Fault("the request line has not three words"));
    };
    if !is_token(method) {
        return Err(Stop::Fault("the method is no token"));
    }
    // Bytes above ASCII are no part of a URI either, but some clients send them, and everybody
    // finds the end of the word in the same place.
    if target.is_empty() || target.iter().any(|byte| byte.is_ascii_control()) {
        return Err(Stop::Fault("the target is empty, or has a control character in it"));
    }
    let http_11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return Err(Stop::Fault("the version is unknown")),
    };
    let (headers, rest) = fields(rest)?;
    let head = bytes[..bytes.len() - rest.len()].to_vec();
    match all(&headers, "host").count() {
        1 => {}
        0 if !http_11 => {}
        _ => return Err(Stop::Fault("there is not one Host")),
    }
    let ((body, trailers), rest) = body(&headers, http_11, rest)?;
    let (method, target) = (String::from_utf8_lossy(method).into(), target.into());
    Ok((Request { method, target, headers, body, trailers, head }, rest))
}

/// A line without its CRLF.
fn line(bytes: &[u8]) -> Read<'_, &[u8]> {
    let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return Err(Stop::More);
    };
    match &bytes[end..] {
        [b'\r', b'\n', rest @ ..] => Ok((&bytes[..end], rest)),
        [b'\r'] => Err(Stop::More),
        _ => Err(Stop::Fault("a line ends with CR or LF alone")),
    }
}

/// Header or trailer lines up to an empty one.
fn fields(mut bytes: &[u8]) -> Read<'_, Fields> {
    let mut fields = Vec::new();
    loop {
        let (line, rest) = line(bytes)?;
        bytes = rest;
        if line.is_empty() {
            return Ok((fields, rest));
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Err(Stop::Fault("a header has no colon"));
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if !is_token(name) {
            return Err(Stop::Fault("the name of a header is no token"));
        }
        if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(Stop::Fault("a header has a control character in it"));
        }
        fields.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.into()));
    }
}

fn body<'a>(headers: &Fields, http_11: bool, rest: &'a [u8]) -> Read<'a, (Vec<u8>, Fields)> {
    let codings: Vec<&[u8]> = all(headers, "transfer-encoding").collect();
    let lengths: Vec<&[u8]> = all(headers, "content-length").collect();
    match (&codings[..], &lengths[..]) {
        ([], []) => Ok(((Vec::new(), Vec::new()), rest)),
        ([], [length]) => {
            let plain = *length == b"0" || !length.starts_with(b"0");
            let digits = plain && length.iter().all(u8::is_ascii_digit);
            let length = digits.then(|| str::from_utf8(length).ok()?.parse::<i64>().ok()).flatten();
            let length = length.and_then(|length| usize::try_from(length).ok());
            let length = length.ok_or(Stop::Fault("Content-Length is no plain number"))?;
            if rest.len() < length { Err(Stop::More) } else { Ok(split_body(rest, length)) }
        }
        ([coding], []) if http_11 && coding.eq_ignore_ascii_case(b"chunked") => chunks(rest),
        ([_, ..], [_, ..]) => Err(Stop::Fault("Transfer-Encoding and Content-Length")),
        ([], _) => Err(Stop::Fault("more than one Content-Length")),
        ([_, ..], []) => Err(Stop::Fault("Transfer-Encoding is not `chunked` alone")),
    }
}

fn split_body(rest: &[u8], length: usize) -> ((Vec<u8>, Fields), &[u8]) {
    let (body, rest) = rest.split_at(length);
    ((body.into(), Vec::new()), rest)
}

fn chunks(mut rest: &[u8]) -> Read<'_, (Vec<u8>, Fields)> {
    let mut body = Vec::new();
    loop {
        let (line, after) = line(rest)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        if digits == 0 || digits > 16 || !(extension.is_empty() || extension.starts_with(b";")) {
            return Err(Stop::Fault("a chunk has no plain size"));
        }
        if extension.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(Stop::Fault("a chunk's extension has a control character in it"));
        }
        let size = str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or(Stop::Fault("a chunk's size is no number"))?;
        if size == 0 {
            let (trailers, rest) = fields(after)?;
            return Ok(((body, trailers), rest));
        }
        if after.len() <= size {
            return Err(Stop::More);
        }
        body.extend_from_slice(&after[..size]);
        rest = match &after[size..] {
            [b'\r', b'\n', rest @ ..] => rest,
            [b'\r'] => return Err(Stop::More),
            _ => return Err(Stop::Fault("a chunk is longer than it says")),
        };
    }
}

fn all<'a>(headers: &'a Fields, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_slice())
}

/// RFC 9110, section 5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(token)
}

#[cfg(test)]
mod tests;
