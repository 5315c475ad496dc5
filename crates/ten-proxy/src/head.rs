//! The head of a message as it was written: its bytes, and where in them everything is.
//!
//! Whatever a message came in, it has the form of HTTP/1.1 here, so that one set of rules reads
//! it. Nothing is taken apart that nobody asks for, and nothing is copied before it is passed on.
//!
//! ```text
//! GET /a HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n
//!                    └name┘└─ value ─┘ └name┘ └value┘       one [`Field`] each
//! ```

mod name;
mod request;
mod response;

pub(crate) use self::{
    name::{Name, is_read_as},
    request::{Follows, Limits, Request, Scan, Version},
    response::{Response, ResponseScan, push_status_line},
};
use crate::buffer::{self, Buffer};

/// Where a part of a head is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        // A head is far smaller than what fits.
        Self { start: start as u32, end: end as u32 }
    }

    fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }

    fn moved(self, by: usize) -> Self {
        Self { start: self.start + by as u32, end: self.end + by as u32 }
    }
}

/// Where a header is, and what is known of its name.
#[derive(Debug, Clone, Copy)]
struct Place {
    name: Span,
    value: Span,
    known: Name,
}

/// A header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) known: Name,
    /// As it was written.
    pub(crate) name: &'a [u8],
    /// Without the blanks around it.
    pub(crate) value: &'a [u8],
}

/// The bytes of a head and the places of its headers.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

impl Fields {
    fn span(&self, span: Span) -> &[u8] {
        span.of(&self.bytes)
    }

    /// Bytes of the head.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.places.iter().map(|Place { name, value, known }| Field {
            known: *known,
            name: self.span(*name),
            value: self.span(*value),
        })
    }

    /// The values of those with a name that is known.
    pub(crate) fn all(&self, known: Name) -> impl Iterator<Item = &[u8]> {
        let found = self.places.iter().filter(move |place| place.known == known);
        found.map(|place| self.span(place.value))
    }

    /// The values of those with this name.
    pub(crate) fn named(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let same = |field: &Field<'_>| field.name.eq_ignore_ascii_case(name.as_bytes());
        self.iter().filter(same).map(|field| field.value)
    }

    /// The first value of those with this name.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.named(name).next()
    }

    /// The value of the one with this name; `None` where there are several.
    pub(crate) fn only(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.named(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Whether there is any with a name that is known.
    pub(crate) fn has(&self, known: Name) -> bool {
        self.places.iter().any(|place| place.known == known)
    }

    /// The options of every `Connection`.
    pub(crate) fn options(&self) -> impl Iterator<Item = &[u8]> {
        let values = self.all(Name::Connection);
        values.flat_map(|value| value.split(|byte| *byte == b',')).map(trim)
    }

    /// Whether `Connection` has this option.
    pub(crate) fn has_option(&self, option: &str) -> bool {
        self.options().any(|it| it.eq_ignore_ascii_case(option.as_bytes()))
    }

    /// These.
    #[cfg(test)]
    pub(crate) fn of<'a>(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut fields = Self::default();
        for (name, value) in pairs {
            let at = fields.bytes.len();
            let (start, end) = (at + name.len(), at + name.len() + value.len());
            fields.bytes.extend([name, value].concat());
            let (known, span) = (Name::of(name), Span::new(at, start));
            fields.places.push(Place { name: span, value: Span::new(start, end), known });
        }
        fields
    }

    /// A head that is the first `end` bytes of a buffer, with the places in it; and where in its
    /// own memory it begins now.
    fn taken(buffer: &mut Buffer, end: usize, mut places: Vec<Place>) -> (Self, usize) {
        let (bytes, start) = buffer.split_off(end);
        if start > 0 {
            for place in &mut places {
                (place.name, place.value) = (place.name.moved(start), place.value.moved(start));
            }
        }
        (Self { bytes, places }, start)
    }

    /// The places, for the next head.
    fn into_places(mut self) -> Vec<Place> {
        std::mem::take(&mut self.places)
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        buffer::give(std::mem::take(&mut self.bytes));
    }
}

/// A value without the blanks around it (RFC 9110, section 5.5).
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|byte| !is_blank(*byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(*byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// One header line without its end (RFC 9112, section 5): the name up to its colon, so that
/// neither a space before the colon nor a folded line passes for one. `line` lies at `at`.
fn field(line: &[u8], at: usize) -> Result<Place, FieldError> {
    let colon = line.iter().position(|byte| !is_token(*byte));
    let Some(colon) = colon.filter(|at| *at > 0 && line[*at] == b':') else {
        return Err(FieldError::Name);
    };
    let value = &line[colon + 1..];
    // Folded, not searched: a header is short, and this way eight and more go at once.
    if value.iter().fold(false, |found, byte| found | is_control(*byte)) {
        return Err(FieldError::Control);
    }
    let leading = value.iter().take_while(|byte| is_blank(**byte)).count();
    let start = at + colon + 1 + leading;
    Ok(Place {
        name: Span::new(at, at + colon),
        value: Span::new(start, start + trim(value).len()),
        known: Name::of(&line[..colon]),
    })
}

/// What is wrong with a header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldError {
    /// It does not begin with a name and a colon.
    Name,
    /// Its value has a control character.
    Control,
}

/// A control character that no value may contain (RFC 9110, section 5.5).
pub(crate) fn is_control(byte: u8) -> bool {
    (byte < b' ') & (byte != b'\t') | (byte == 0x7f)
}

/// A character of a token (RFC 9110, section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
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
