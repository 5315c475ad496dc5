//! One request and its answer: a stream.
//!
//! The request's body goes up while its answer is waited for, and goes on doing so, in a task of
//! its own, if the head of the answer comes first. Both ends of the stream are handles; once
//! they are dropped before their time, h2 resets the stream (CANCEL) and gives the window of
//! what nobody will read back to the connection. The connection itself is never closed here.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, client::SendRequest};
use http::{
    Request, Response, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE},
    uri::{Authority, Scheme},
};
use http_body::{Body, Frame, SizeHint};
use tokio::{task::AbortHandle, time::timeout};

use super::{super::SendError, Line, upload::Passing};
use crate::{body::Upload, check::plain_length, pool::Broken};

/// Longest wait for the end of a stream whose answer is whole.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Room for one request on a connection. Dropped, it ends what is left of the upload.
pub(crate) struct Sender {
    requests: SendRequest<Bytes>,
    line: Arc<Line>,
    upload: Option<AbortHandle>,
}

/// The body of an answer.
pub(crate) struct Answer {
    /// `None` once it is left to its end.
    stream: Option<RecvStream>,
    /// What is left are trailers, or nothing.
    no_more_data: bool,
    /// Bytes that are still to come, where their number was announced.
    left: Option<u64>,
}

impl Sender {
    pub(super) fn new(requests: SendRequest<Bytes>, line: Arc<Line>) -> Self {
        Self { requests, line, upload: None }
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Answer>, SendError> {
        let head = head(&request).map_err(SendError::Lost)?;
        let whole = request.body().is_end_stream();
        let (mut response, stream) = match self.requests.send_request(head, whole) {
            Ok(begun) => begun,
            Err(error) if is_malformed(&error) => return Err(SendError::Lost(error.into())),
            Err(error) => return Err(SendError::Unsent(error.into(), request)),
        };
        let (parts, body) = request.into_parts();
        let mut passing = Passing::new(body, stream);
        let answer = poll_fn(|cx| {
            if let Poll::Ready(Err(broken)) = passing.poll(cx) {
                return Poll::Ready(Err(broken));
            }
            Pin::new(&mut response).poll(cx).map_err(Broken::H2c)
        });
        match answer.await {
            Ok(answer) => {
                if !passing.done() {
                    let passing = tokio::spawn(async move {
                        // Whoever reads the answer sees that the stream was reset.
                        let _ = poll_fn(|cx| passing.poll(cx)).await;
                    });
                    self.upload = Some(passing.abort_handle());
                }
                Ok(Answer::of(answer))
            }
            Err(Broken::H2c(error)) if is_refusal(&error) => {
                self.line.refuses.store(true, Relaxed);
                Err(match passing.take_back() {
                    Some(body) => SendError::Unsent(error.into(), Request::from_parts(parts, body)),
                    None => SendError::Lost(error.into()),
                })
            }
            Err(broken) => Err(SendError::Lost(broken)),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(upload) = &self.upload {
            upload.abort();
        }
    }
}

/// The head of a request as HTTP/2 has it: the host in the target, nothing of the connection.
/// A wish for an upgrade is left out, as whoever does not know the protocol would ignore it
/// (RFC 9110, section 7.8).
fn head<B>(request: &Request<B>) -> Result<Request<()>, Broken> {
    let malformed = || Broken::H2c(Reason::PROTOCOL_ERROR.into());
    let host = request.headers().get(HOST).ok_or_else(malformed)?;
    let mut target = request.uri().clone().into_parts();
    target.scheme = Some(Scheme::HTTP);
    target.authority = Some(Authority::try_from(host.as_bytes()).map_err(|_| malformed())?);
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = Uri::from_parts(target).map_err(|_| malformed())?;
    *head.version_mut() = Version::HTTP_2;
    *head.headers_mut() = request.headers().clone();
    for name in [HOST, CONNECTION, UPGRADE, TRANSFER_ENCODING] {
        head.headers_mut().remove(name);
    }
    Ok(head)
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
    fn of(response: Response<RecvStream>) -> Response<Self> {
        let length = response.headers().get(CONTENT_LENGTH);
        let left = length.and_then(|length| plain_length(length.as_bytes()));
        response.map(|stream| Self { stream: Some(stream), no_more_data: false, left })
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        if !self.no_more_data {
            match ready!(stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // It is asked for once the client has taken what came before.
                    stream.flow_control().release_capacity(data.len())?;
                    // h2 holds the instance to what was announced.
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.no_more_data = true,
            }
        }
        stream.poll_trailers(cx).map(|trailers| trailers.transpose()).map_ok(Frame::trailers)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.stream.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

impl Drop for Answer {
    /// A client of HTTP/1 has all that was announced before the stream has ended. To drop that
    /// would be to reset it, and servers count resets as attacks: it is left to its end.
    fn drop(&mut self) {
        let whole = self.left == Some(0);
        let Some(mut stream) = self.stream.take_if(|it| whole && !it.is_end_stream()) else {
            return;
        };
        tokio::spawn(timeout(END_TIMEOUT, async move {
            while let Some(Ok(_)) = stream.data().await {}
        }));
    }
}
