//! HTTP/1.1: a connection carries one request at a time and is idle between two.
//!
//! ```text
//!            open                        send
//! (nothing) ─────▶ Connection in use ◀──────────── idle (last in, first out)
//!                    │     └─ request sent, answer read, to their ends ──▶ idle
//!                    └─ anything else ──▶ dropped, closed
//! ```
//!
//! A connection has no task: whoever waits for its answer reads it. Dropped in the middle of an
//! exchange, it is closed at once, so that no way out of one leaves anything behind: half an
//! answer that the next client would get, or an upload that goes on after the instance's use has
//! ended.
//!
//! A pool has no timer: an idle connection costs the instance nothing but a descriptor, and us no
//! memory; one that the instance has closed is seen to be when its turn comes.

use std::{
    future::poll_fn,
    io,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use super::{Answered, Broken, SendError};
use crate::{
    Lease,
    body::{Broke, Form, Outgoing, Source},
    buffer::Buffer,
    check::BadResponse,
    connect,
    forward::Message,
    framing::{Framing, Next},
    head::{Response, ResponseScan},
    upload::{Upload, UploadError},
    wire::Wire,
};

/// Most idle connections that a worker keeps per process of an instance. As many as there can
/// be requests at once under heavy load, so that a busy instance is not reconnected to.
const MAX_IDLE: usize = 512;

/// Idle connections to one process, of one worker. The lock is for the compiler: only that
/// worker's thread ever takes it.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Wire>>);

/// A connection that is in use.
pub(crate) struct Connection(Wire);

impl Pool {
    /// The connection that was used last and still works.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(Wire::is_quiet).map(Connection)
    }

    /// Takes the connection of an answer back, if that was read to its end and nothing came
    /// behind it.
    pub(super) fn take_back(&self, answer: Answer) {
        let Answer { wire, buffer, framing, lasts } = answer;
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lasts && framing.has_ended() && buffer.is_empty() && idle.len() < MAX_IDLE {
            idle.push(wire);
        }
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Connection {
    /// Connects anew.
    pub(super) async fn open(lease: &impl Lease) -> io::Result<Self> {
        connect::connect(lease).await.map(Self)
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        self,
        message: &Message<'_>,
        upload: Upload,
    ) -> Result<Answered<Answer, Uploading>, SendError> {
        let Self(wire) = self;
        let (head, form) = message.to_http1(!upload.is_empty());
        let mut uploading = Uploading::new(wire.clone(), head, form, upload);
        let mut incoming = Incoming { wire, buffer: Buffer::default(), scan: Default::default() };
        let mut sent = false;
        let mut broke: Option<io::Error> = None;
        let head = poll_fn(|cx| {
            if !sent && broke.is_none() {
                match uploading.poll(cx) {
                    Poll::Ready(Ok(())) => sent = true,
                    Poll::Ready(Err(Broke::Source(error))) => {
                        return Poll::Ready(Err(Broken::Upload(error)));
                    }
                    // Whatever it said before it closed, that is no answer to this.
                    Poll::Ready(Err(Broke::Sink(error))) if !uploading.outgoing.has_begun() => {
                        return Poll::Ready(Err(error.into()));
                    }
                    // It may have answered before it closed. Its client is waited for no more.
                    Poll::Ready(Err(Broke::Sink(error))) => {
                        uploading.upload = Upload::Empty;
                        broke = Some(error);
                    }
                    Poll::Pending => {}
                }
            }
            incoming.poll_head(cx)
        });
        let head = match head.await {
            Ok(head) => head,
            Err(broken) if uploading.outgoing.has_begun() => return Err(SendError::Lost(broken)),
            Err(broken @ (Broken::Upload(_) | Broken::Answer(_))) => {
                return Err(SendError::Lost(broken));
            }
            Err(broken) => return Err(SendError::Unsent(broken, uploading.upload)),
        };
        let framing = head.framing(message.request.is_head());
        let lasts = head.keeps_alive() && head.status != 101;
        let Incoming { wire, buffer, .. } = incoming;
        let answer = Answer { wire, buffer, framing, lasts };
        let uploading = (!sent).then_some(uploading);
        Ok(Answered { head, answer, uploading })
    }
}

/// A request that is being sent.
pub(crate) struct Uploading {
    wire: Wire,
    outgoing: Outgoing,
    upload: Upload,
}

impl Uploading {
    fn new(wire: Wire, head: Vec<u8>, form: Form, upload: Upload) -> Self {
        Self { wire, outgoing: Outgoing::revocable(head, form), upload }
    }

    /// Ready when all of it was sent.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broke<UploadError>>> {
        self.outgoing.poll(cx, &mut self.upload, &mut &self.wire)
    }
}

/// An answer whose head has not come.
struct Incoming {
    wire: Wire,
    buffer: Buffer,
    scan: ResponseScan,
}

impl Incoming {
    /// The head of the answer itself; those before it say nothing that counts.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response, Broken>> {
        loop {
            while !self.buffer.is_empty() {
                let Some(end) = self.scan.scan(&self.buffer)? else { break };
                let head = self.scan.take(&mut self.buffer, end);
                if !head.is_interim() {
                    return Poll::Ready(Ok(head));
                }
            }
            if ready!(self.wire.poll_read(cx, &mut self.buffer))? == 0 {
                return Poll::Ready(Err(Broken::Io(io::ErrorKind::UnexpectedEof.into())));
            }
        }
    }
}

/// The body of an answer.
pub(crate) struct Answer {
    wire: Wire,
    buffer: Buffer,
    framing: Framing,
    /// Its connection is kept by the instance.
    lasts: bool,
}

impl Answer {
    pub(super) fn has_ended(&self) -> bool {
        self.framing.has_ended()
    }

    /// The connection, once it carries another protocol.
    pub(super) fn into_wire(self) -> (Wire, Buffer) {
        (self.wire, self.buffer)
    }
}

impl Source for Answer {
    type Error = Broken;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<&[u8]>, Broken>> {
        let here = loop {
            match self.framing.next(&mut self.buffer) {
                Ok(Next::Data(count)) => break count,
                Ok(Next::End) => return Poll::Ready(Ok(None)),
                Ok(Next::More) => {}
                Err(_) => return Poll::Ready(Err(BadResponse::Chunks.into())),
            }
            if ready!(self.wire.poll_read(cx, &mut self.buffer))? == 0 {
                self.lasts = false;
                if self.framing.ends_with_connection() {
                    return Poll::Ready(Ok(None));
                }
                return Poll::Ready(Err(Broken::Io(io::ErrorKind::UnexpectedEof.into())));
            }
        };
        Poll::Ready(Ok(Some(&self.buffer[..here])))
    }

    fn take(&mut self, count: usize) {
        self.buffer.consume(count);
        self.framing.took(count);
    }

    fn trailers(&self) -> &[u8] {
        self.framing.trailers()
    }
}
