//! Connections to one process of an instance, kept for reuse.
//!
//! The pools live in the lease's [`Slot`], one for each worker: they die with the process that
//! they lead to, and no two threads use a connection. What a connection can carry depends on
//! what the instance speaks: one request at a time ([`http1`]) or many ([`h2c`]). A pool makes
//! no second attempt: whether a request may be sent again is for `forward` to say.

mod h2c;
mod http1;

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
};

use ten_domain::Protocol;

use crate::{
    Lease, Slot,
    body::{Broke, Source},
    buffer::Buffer,
    check::BadResponse,
    files::{self, Files},
    forward::Message,
    head::Response,
    upload::{Upload, UploadError},
    wire::Socket,
    workers::Seat,
};

/// A worker's connections to one process. Cheap to clone; clones are the same pool.
#[derive(Clone)]
pub(crate) enum Pool {
    Http1(http1::Pool),
    H2c(Arc<h2c::Pool>),
}

/// A pool for each worker.
type Pools = Box<[Pool]>;

/// The right to send one request over a connection. Dropped, it ends the exchange, whatever that
/// is in the middle of.
pub(crate) enum Sender {
    Http1(http1::Connection),
    H2c(h2c::Sender),
}

/// A request that has the head of its answer.
pub(crate) struct Answered<A = Answer, U = Uploading> {
    pub(crate) head: Response,
    pub(crate) answer: A,
    /// What is left of the request, where it was answered before all of it was sent.
    pub(crate) uploading: Option<U>,
}

/// The body of an instance's answer.
pub(crate) enum Answer {
    Http1(http1::Answer),
    H2c(h2c::Answer),
}

/// A request that is still being sent. Dropped, it is broken off.
pub(crate) enum Uploading {
    Http1(http1::Uploading),
    H2c(h2c::Passing),
}

/// What broke off an exchange.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the connection broke off")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Answer(#[from] BadResponse),
    #[error(transparent)]
    H2c(#[from] h2::Error),
    /// The request's body could not be had from the client.
    #[error("the request's body broke off")]
    Upload(#[source] UploadError),
}

/// Why a request got no answer.
pub(crate) enum SendError {
    /// It is certain that the instance has acted on none of the request: here its body is again.
    Unsent(Broken, Upload),
    /// Some of it may have reached the instance.
    Lost(Broken),
}

impl Broken {
    /// Whether the process has said its word, and would say the same the second time: its
    /// answer makes no sense, or it refused this one request and serves others. A connection
    /// that broke down says nothing of that kind.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Io(_) => false,
            Self::H2c(error) => !(error.is_io() || error.is_go_away() && error.is_remote()),
            Self::Answer(_) | Self::Upload(_) => true,
        }
    }
}

impl Pool {
    fn for_all(protocol: Protocol, workers: usize, files: &Arc<Files>) -> Pools {
        match protocol {
            Protocol::Http1 => http1::Pool::for_all(workers, files).map(Self::Http1).collect(),
            Protocol::H2c => (0..workers).map(|_| Self::H2c(h2c::Pool::new(files))).collect(),
        }
    }

    /// A worker's pool among those that are kept in a slot.
    pub(crate) fn of(slot: &Slot, protocol: Protocol, seat: Seat, files: &Arc<Files>) -> Self {
        let kept = slot.get_or_init(|| Box::new(Self::for_all(protocol, seat.of, files)));
        // Nobody but the proxy writes to the slot; a stranger's value would only cost reuse.
        let pools = kept.downcast_ref::<Pools>();
        let of = |pools: &Pools| pools.get(seat.index).cloned();
        pools.and_then(of).unwrap_or_else(|| Self::alone(protocol, files))
    }

    fn alone(protocol: Protocol, files: &Arc<Files>) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http1(http1::Pool::none(files)),
            Protocol::H2c => Self::H2c(h2c::Pool::new(files)),
        }
    }

    /// Whether one request's connection is others' too. That one is dead is then known to all,
    /// and to ask for a new one would only be to ask for one more.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::H2c(_))
    }

    /// Room on a connection that is there and works.
    pub(crate) fn take(&self) -> Option<Sender> {
        match self {
            Self::Http1(pool) => pool.take().map(Sender::Http1),
            Self::H2c(pool) => pool.take().map(Sender::H2c),
        }
    }

    /// Room on a new connection.
    pub(crate) async fn open(&self, lease: &impl Lease) -> io::Result<Sender> {
        match self {
            Self::Http1(pool) => pool.open(lease).await.map(Sender::Http1),
            Self::H2c(pool) => pool.open(lease).await.map(Sender::H2c),
        }
    }

    /// Keeps the connection of an answer, if it can be used again.
    pub(crate) fn take_back(&self, answer: Answer) {
        if let (Self::Http1(pool), Answer::Http1(answer)) = (self, answer) {
            pool.take_back(answer);
        }
    }

    /// How often the process has answered a request to its end.
    pub(crate) fn answers(&self) -> u64 {
        match self {
            Self::Http1(pool) => pool.returns(),
            Self::H2c(_) => 0,
        }
    }

    /// Closes what nobody uses of the connections to the process, on every worker: its only thread
    /// may wait on one of them for a request, while one waits on another. Where requests share a
    /// connection there is no such process.
    pub(crate) fn make_way(&self) {
        if let Self::Http1(pool) = self {
            pool.close_idle();
        }
    }

    /// Connections that nobody uses.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> usize {
        match self {
            Self::Http1(pool) => pool.idle(),
            Self::H2c(pool) => pool.idle(),
        }
    }
}

impl Sender {
    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        self,
        message: &Message<'_>,
        upload: Upload,
    ) -> Result<Answered, SendError> {
        Ok(match self {
            Self::Http1(connection) => {
                let Answered { head, answer, uploading } = connection.send(message, upload).await?;
                let uploading = uploading.map(Uploading::Http1);
                Answered { head, answer: Answer::Http1(answer), uploading }
            }
            // Larger than the other, and rarer.
            Self::H2c(sender) => {
                let Answered { head, answer, uploading } =
                    Box::pin(sender.send(message, upload)).await?;
                let uploading = uploading.map(Uploading::H2c);
                Answered { head, answer: Answer::H2c(answer), uploading }
            }
        })
    }
}

impl Uploading {
    /// Sends what there is. Ready when all was sent, or the instance takes no more.
    ///
    /// # Errors
    /// Where the client breaks it off.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match self {
            Self::Http1(uploading) => uploading.poll(cx).map(|sent| match sent {
                Err(Broke::Source(error)) => Err(Broken::Upload(error)),
                // If that matters, the instance says so.
                Ok(()) | Err(Broke::Sink(_)) => Ok(()),
            }),
            Self::H2c(passing) => passing.poll(cx),
        }
    }
}

impl Uploading {
    /// Tells the instance that no more of it comes, and nothing else: it may go on answering.
    pub(crate) fn end(self) -> io::Result<()> {
        match self {
            Self::Http1(uploading) => uploading.end(),
            // Its client stands still in no way that counts.
            Self::H2c(_) => Ok(()),
        }
    }
}

impl Answer {
    /// Makes one piece of what has come, where that is frames.
    pub(crate) fn gather(&self, cx: &mut Context<'_>) {
        if let Self::H2c(answer) = self {
            answer.gather(cx);
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Http1(answer) => answer.has_ended(),
            Self::H2c(answer) => answer.has_ended(),
        }
    }

    /// The connection of an answer that switches protocols, and what has come behind it.
    pub(crate) fn into_tunnel(self) -> Option<(Socket, Buffer, files::Counted)> {
        match self {
            Self::Http1(answer) => Some(answer.into_tunnel()),
            Self::H2c(_) => None,
        }
    }
}

impl Source for Answer {
    type Error = Broken;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<&[u8]>, Broken>> {
        match self {
            Self::Http1(answer) => answer.poll_data(cx),
            Self::H2c(answer) => answer.poll_data(cx).map_err(Broken::H2c),
        }
    }

    fn take(&mut self, count: usize) {
        match self {
            Self::Http1(answer) => answer.take(count),
            Self::H2c(answer) => answer.take(count),
        }
    }

    fn trailers(&self) -> &[u8] {
        match self {
            Self::Http1(answer) => answer.trailers(),
            Self::H2c(answer) => answer.trailers(),
        }
    }

    fn has_no_more_data(&self) -> bool {
        match self {
            Self::Http1(answer) => answer.has_ended(),
            Self::H2c(answer) => answer.has_no_more_data(),
        }
    }
}
