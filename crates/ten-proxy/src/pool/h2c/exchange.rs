//! One request and its answer: a stream.
//!
//! The request's body goes up while its answer is waited for, and what is left of it while that is
//! read, if the head of the answer comes first. Both ends of the stream are handles; once
//! they are dropped before their time, h2 resets the stream (CANCEL) and gives the window of
//! what nobody will read back to the connection. The connection itself is never closed here.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, client::SendRequest};
use tokio::time::timeout;

use super::{
    super::{Answered, Broken, SendError},
    Line,
    upload::Passing,
};
use crate::{
    body::Source, buffer::Buffer, check::BadResponse, forward::Message, head::Response, headers,
    stream::Received, upload::Upload,
};

/// Longest wait for the end of a stream whose answer is whole.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Room for one request on a connection.
pub(crate) struct Sender {
    requests: SendRequest<Bytes>,
    line: Arc<Line>,
}

/// The body of an answer.
pub(crate) struct Answer {
    /// `None` once it is left to its end.
    received: Option<Received>,
    /// Bytes that are still to come, where their number was announced. h2 holds the instance to
    /// it.
    left: Option<u64>,
    /// Keeps its room on the connection.
    _line: Arc<Line>,
}

impl Sender {
    pub(super) fn new(requests: SendRequest<Bytes>, line: Arc<Line>) -> Self {
        Self { requests, line }
    }

    pub(crate) async fn send(
        mut self,
        message: &Message<'_>,
        upload: Upload,
    ) -> Result<Answered<Answer, Passing>, SendError> {
        let malformed = || SendError::Lost(Broken::H2c(Reason::PROTOCOL_ERROR.into()));
        let head = message.to_http2().ok_or_else(malformed)?;
        let (mut response, stream) = match self.requests.send_request(head, upload.is_empty()) {
            Ok(begun) => begun,
            Err(error) if is_malformed(&error) => return Err(SendError::Lost(error.into())),
            Err(error) => return Err(SendError::Unsent(error.into(), upload)),
        };
        let mut passing = Passing::new(upload, stream);
        let answer = poll_fn(|cx| {
            if let Poll::Ready(Err(broken)) = passing.poll(cx) {
                return Poll::Ready(Err(broken));
            }
            while let Poll::Ready(Some(ahead)) = response.poll_informational(cx) {
                let (ahead, ()) = ahead?.into_parts();
                let ahead = read(&ahead)?;
                if !ahead.is_interim() {
                    // There are no upgrades here (RFC 9113, section 8.6).
                    return Poll::Ready(Err(BadResponse::Upgrade.into()));
                }
                message.interims.pass(ahead)?;
            }
            Pin::new(&mut response).poll(cx).map_err(Broken::H2c)
        });
        match answer.await {
            Ok(answer) => {
                let (head, stream) = answer.into_parts();
                let head = read(&head).map_err(|error| SendError::Lost(error.into()))?;
                // What comes although it cannot be, nobody could tell from the next answer.
                let bodiless = head.is_bodiless(message.request.is_head());
                let answer = Answer {
                    left: if bodiless { Some(0) } else { head.length() },
                    received: Some(Received::new(stream)),
                    _line: self.line,
                };
                let uploading = (!passing.done()).then_some(passing);
                Ok(Answered { head, answer, uploading })
            }
            Err(Broken::H2c(error)) if is_refusal(&error) => {
                self.line.refuses.store(true, Relaxed);
                Err(match passing.take_back() {
                    Some(upload) => SendError::Unsent(error.into(), upload),
                    None => SendError::Lost(error.into()),
                })
            }
            Err(broken) => Err(SendError::Lost(broken)),
        }
    }
}

/// The head of an answer in the form of HTTP/1.1.
fn read(head: &http::response::Parts) -> Result<Response, BadResponse> {
    let mut text = format!("HTTP/1.1 {}\r\n", head.status.as_str()).into_bytes();
    headers::write(&head.headers, &mut text);
    text.extend_from_slice(b"\r\n");
    Response::parse(Buffer::holding(&text))
}

/// Whether h2 found fault with the request itself, before it had to do with the connection.
fn is_malformed(error: &h2::Error) -> bool {
    !error.is_io() && !error.is_go_away() && !error.is_reset()
}

/// Whether the peer says that it has not processed the request (RFC 9113, section 8.7). h2
/// gives a GOAWAY as the error of those streams alone that are beyond its last one.
fn is_refusal(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    error.is_remote() && (error.is_go_away() || refused)
}

impl Answer {
    pub(crate) fn gather(&self, cx: &mut Context<'_>) {
        if let Some(received) = &self.received {
            received.gather(cx);
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.received.as_ref().is_none_or(Received::has_ended)
    }
}

impl Source for Answer {
    type Error = h2::Error;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<&[u8]>, h2::Error>> {
        self.received.as_mut().map_or(Poll::Ready(Ok(None)), |received| received.poll_data(cx))
    }

    fn take(&mut self, count: usize) {
        self.left = self.left.map(|left| left.saturating_sub(count as u64));
        if let Some(received) = &mut self.received {
            received.take(count);
        }
    }

    fn trailers(&self) -> &[u8] {
        self.received.as_ref().map_or(&[], Received::trailers)
    }

    fn has_no_more_data(&self) -> bool {
        self.left == Some(0)
    }
}

impl Drop for Answer {
    /// A client of HTTP/1 has all that was announced before the stream has ended. To drop that
    /// would be to reset it, and servers count resets as attacks: it is left to its end.
    fn drop(&mut self) {
        let whole = self.left == Some(0);
        if let Some(received) = self.received.take_if(|it| whole && !it.has_ended()) {
            tokio::spawn(timeout(END_TIMEOUT, received.run_out()));
        }
    }
}
