//! An answer on its way to the client: an instance's, the management surface's, or ten's own.

mod download;

use std::{
    error::Error,
    io,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{StatusCode, header, response::Parts};
use http_body_util::Full;

pub(crate) use self::download::Download;
use crate::{
    body::{Broke, Form, FromBody, ManagementBody, Source},
    buffer,
    date::push_date,
    head::{Name, Request, Response, Version, push_status_line},
    headers::{self, Headers},
    pool::Answer,
    record::Recording,
    tunnel::Switch,
};

/// Why an answer's body ended before its end.
pub(crate) type ReplyError = Box<dyn Error + Send + Sync>;

/// An answer, with the recording that ends with it.
pub(crate) struct Reply<L> {
    head: Head,
    body: ReplyBody<L>,
    recording: Recording,
}

enum Head {
    /// An instance's, to be made the client's.
    Passed(Response),
    Own(Box<Parts>),
}

/// What headers tell of the end of a body.
enum Ends {
    /// Where it is, or that there is none.
    Known,
    Unknown,
}

enum ReplyBody<L> {
    Forwarded(Box<Download<L>>),
    Managed(Box<FromBody<ManagementBody>>),
    Page(FromBody<Full<Bytes>>),
    /// The connection carries another protocol from now on.
    Switched(Box<Switch<L>>),
}

impl<L> ReplyBody<L> {
    fn none() -> Self {
        Self::Page(FromBody::new(Full::default()))
    }
}

impl<L> Reply<L> {
    pub(crate) fn passed(head: Response, body: Box<Download<L>>) -> Self {
        Self::new(Head::Passed(head), ReplyBody::Forwarded(body))
    }

    pub(crate) fn switched(head: Response, to: Switch<L>) -> Self {
        Self::new(Head::Passed(head), ReplyBody::Switched(Box::new(to)))
    }

    pub(crate) fn managed(response: http::Response<ManagementBody>) -> Self {
        let (head, body) = response.into_parts();
        let body = ReplyBody::Managed(Box::new(FromBody::new(body)));
        Self::new(Head::Own(Box::new(head)), body)
    }

    pub(crate) fn page(response: http::Response<Full<Bytes>>) -> Self {
        let (head, body) = response.into_parts();
        Self::new(Head::Own(Box::new(head)), ReplyBody::Page(FromBody::new(body)))
    }

    fn new(head: Head, body: ReplyBody<L>) -> Self {
        Self { head, body, recording: Recording::default() }
    }

    /// Has it recorded to its end.
    pub(crate) fn recorded(mut self, mut recording: Recording) -> Self {
        recording.status(self.status());
        self.recording = recording;
        self
    }

    fn status(&self) -> StatusCode {
        match &self.head {
            Head::Passed(head) => StatusCode::from_u16(head.status).unwrap_or_default(),
            Head::Own(head) => head.status,
        }
    }

    /// Whether it says that its connection is closed after it.
    pub(crate) fn closes(&self) -> bool {
        match &self.head {
            Head::Passed(_) => false,
            Head::Own(head) => head.headers.contains_key(header::CONNECTION),
        }
    }

    /// What becomes of the connection, where that switches protocols.
    pub(crate) fn take_switch(&mut self) -> Option<Switch<L>> {
        let ReplyBody::Switched(mut switch) = std::mem::replace(&mut self.body, ReplyBody::none())
        else {
            return None;
        };
        self.recording.whole();
        switch.recording = std::mem::take(&mut self.recording);
        Some(*switch)
    }

    /// Its head as HTTP/1 has it, in which form its body follows, and whether its connection
    /// can be kept, if its client and we `keep` it (RFC 9112, sections 6 and 9.3).
    pub(crate) fn begin_http1(&mut self, request: &Request, keep: bool) -> (Vec<u8>, Form, bool) {
        let mut out = buffer::take();
        let old = request.version == Version::Http10;
        push_status_line(&mut out, request.version, self.status().as_u16(), self.reason());
        let ends = self.headers(request, &mut out);
        if matches!(self.body, ReplyBody::Switched(_)) {
            out.extend_from_slice(b"\r\n");
            return (out, Form::Plain, false);
        }
        let (mut form, mut keep) = (Form::Plain, keep);
        match ends {
            Ends::Known => {}
            // To the end of the connection.
            Ends::Unknown if old => keep = false,
            Ends::Unknown => {
                form = Form::Chunked { trailers: headers::wants_trailers(&request.fields) };
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
        }
        match (keep, old) {
            (false, _) => out.extend_from_slice(b"connection: close\r\n"),
            (true, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
            (true, false) => {}
        }
        out.extend_from_slice(b"\r\n");
        (out, form, keep)
    }

    /// Its head as HTTP/2 has it, and whether that is all.
    pub(crate) fn begin_http2(&mut self, request: &Request) -> (http::Response<()>, bool) {
        let mut response = http::Response::new(());
        *response.status_mut() = self.status();
        self.headers(request, response.headers_mut());
        (response, self.is_bodiless(request.is_head()) || self.has_ended())
    }

    /// Writes the headers that it has in every version, and says whether they tell where its
    /// body ends.
    fn headers(&mut self, request: &Request, out: &mut impl Headers) -> Ends {
        let dated = match &self.head {
            Head::Passed(head) => {
                // Some clients would wait for the body that it announces, and take the next
                // answer for it.
                let lengthless = head.status == 204 || head.status == 101;
                headers::to_client(&head.fields, lengthless, out);
                if let ReplyBody::Switched(switch) = &self.body {
                    headers::announce_upgrade(out, &switch.protocol);
                }
                head.fields.has(Name::Date)
            }
            Head::Own(head) => {
                let connection = |name: &header::HeaderName| *name == header::CONNECTION;
                for (name, value) in head.headers.iter().filter(|(name, _)| !connection(name)) {
                    out.add(name.as_str().as_bytes(), &[value.as_bytes()]);
                }
                head.headers.contains_key(header::DATE)
            }
        };
        if !dated {
            push_date(out);
        }
        if self.is_bodiless(request.is_head()) {
            // An instance's has none then; of our own handlers nobody has promised that.
            if matches!(self.body, ReplyBody::Managed(_)) {
                self.body = ReplyBody::none();
            }
        } else if !self.tells_length() {
            let Some(length) = self.left() else { return Ends::Unknown };
            out.add(b"content-length", &[length.to_string().as_bytes()]);
        }
        Ends::Known
    }

    fn reason(&self) -> &[u8] {
        match &self.head {
            Head::Passed(head) => head.reason(),
            Head::Own(head) => head.status.canonical_reason().unwrap_or_default().as_bytes(),
        }
    }

    /// Whether it has no body, whatever it says of one.
    fn is_bodiless(&self, to_head: bool) -> bool {
        to_head || matches!(self.status().as_u16(), 100..200 | 204 | 304)
    }

    /// Whether its headers say how long its body is.
    fn tells_length(&self) -> bool {
        match &self.head {
            Head::Passed(head) => head.length().is_some(),
            Head::Own(head) => head.headers.contains_key(header::CONTENT_LENGTH),
        }
    }

    /// Whether nothing else than the end of the connection tells a client where it ends.
    pub(crate) fn ends_with_connection(&self, request: &Request) -> bool {
        request.version == Version::Http10
            && !self.is_bodiless(request.is_head())
            && !self.tells_length()
            && self.left().is_none()
    }

    /// How much is still to come, if that is known and is no more than an instance says.
    pub(crate) fn left(&self) -> Option<u64> {
        match &self.body {
            ReplyBody::Forwarded(_) | ReplyBody::Switched(_) => None,
            ReplyBody::Managed(body) => body.left(),
            ReplyBody::Page(body) => body.left(),
        }
    }

    /// Whether nothing is to come any more.
    pub(crate) fn has_ended(&self) -> bool {
        match &self.body {
            ReplyBody::Forwarded(download) => download.answer().is_none_or(Answer::has_ended),
            ReplyBody::Managed(body) => body.has_ended(),
            ReplyBody::Page(body) => body.has_ended(),
            ReplyBody::Switched(_) => true,
        }
    }

    /// Sees to what goes on while the answer waits for its client: sends what there is of an upload
    /// that is not over yet, and gathers what has come of the answer. Whoever writes the answer asks
    /// for it, and not whoever reads it: the client may take none before all of its request was
    /// taken.
    ///
    /// # Errors
    /// Where the client breaks it off.
    pub(crate) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Result<(), ReplyError> {
        match &mut self.body {
            ReplyBody::Forwarded(download) => download.poll_rest(cx),
            _ => Ok(()),
        }
    }
}

// No field is ever pinned by way of the whole.
impl<L> Unpin for Reply<L> {}

impl<L> Source for Reply<L> {
    type Error = ReplyError;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<&[u8]>, ReplyError>> {
        let data = match &mut self.body {
            ReplyBody::Forwarded(download) => download.poll_data(cx),
            ReplyBody::Managed(body) => body.poll_data(cx),
            ReplyBody::Page(body) => body.poll_data(cx).map_err(|never| match never {}),
            ReplyBody::Switched(_) => Poll::Ready(Ok(None)),
        };
        let data = ready!(data);
        if matches!(data, Ok(None)) {
            self.recording.whole();
        }
        Poll::Ready(data)
    }

    fn take(&mut self, count: usize) {
        self.recording.sent(count);
        match &mut self.body {
            ReplyBody::Forwarded(download) => download.take(count),
            ReplyBody::Managed(body) => body.take(count),
            ReplyBody::Page(body) => body.take(count),
            ReplyBody::Switched(_) => {}
        }
    }

    fn trailers(&self) -> &[u8] {
        match &self.body {
            ReplyBody::Forwarded(download) => {
                download.answer().map_or(&[], |answer| answer.trailers())
            }
            ReplyBody::Managed(body) => body.trailers(),
            ReplyBody::Page(_) | ReplyBody::Switched(_) => &[],
        }
    }

    fn has_no_more_data(&self) -> bool {
        match &self.body {
            ReplyBody::Forwarded(download) => {
                download.answer().is_some_and(Source::has_no_more_data)
            }
            _ => false,
        }
    }
}

impl<L> Drop for Reply<L> {
    fn drop(&mut self) {
        // Who knows that nothing is left need not ask for it.
        if self.has_ended() || self.has_no_more_data() {
            self.recording.whole();
        }
    }
}

impl<E: Into<ReplyError>> Broke<E> {
    /// What ended the connection of a client.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Source(error) => io::Error::other(error),
            Self::Sink(error) => error,
        }
    }
}
