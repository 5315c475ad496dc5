//! Connections to one process of an instance, kept for reuse.
//!
//! The pools live in the lease's [`Slot`], one for each worker: they die with the process that
//! they lead to, and no two threads share a connection. What a connection can carry depends on
//! what the instance speaks: one request at a time ([`http1`]) or many ([`h2c`]). A pool makes
//! no second attempt: whether a request may be sent again is for `forward` to say.

mod h2c;
mod http1;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use ten_domain::Protocol;

use crate::{
    Lease, Slot,
    body::{Upload, UploadError},
    workers::Seat,
};

/// A worker's connections to one process. Cheap to clone; clones are the same pool.
#[derive(Clone)]
pub(crate) enum Pool {
    Http1(Arc<http1::Pool>),
    H2c(Arc<h2c::Pool>),
}

/// A pool for each worker.
type Pools = Box<[Pool]>;

/// The right to send one request over a connection. Dropped, it ends the exchange, whatever that
/// is in the middle of.
pub(crate) enum Sender {
    Http1(http1::Sender),
    H2c(h2c::Sender),
}

/// The body of an instance's answer.
pub(crate) enum Answer {
    Http1(Incoming),
    H2c(h2c::Answer),
}

/// What broke off an exchange.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    #[error(transparent)]
    H2c(#[from] h2::Error),
    /// The request's body could not be had from the client.
    #[error("the request's body broke off")]
    Upload(#[source] UploadError),
}

/// Why a request got no answer.
#[expect(clippy::large_enum_variant, reason = "one, returned once, and rarely")]
pub(crate) enum SendError {
    /// It is certain that the instance has acted on none of the request: here it is again.
    Unsent(Broken, Request<Upload>),
    /// Some of it may have reached the instance.
    Lost(Broken),
}

impl Broken {
    /// Whether the process has said its word, and would say the same the second time: its
    /// answer makes no sense, or it refused this one request and serves others. A connection
    /// that broke down says nothing of that kind.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Http1(error) => error.is_parse() || error.is_user(),
            Self::H2c(error) => !(error.is_io() || error.is_go_away() && error.is_remote()),
            Self::Upload(_) => true,
        }
    }
}

impl Pool {
    fn new(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http1(Arc::default()),
            Protocol::H2c => Self::H2c(Arc::default()),
        }
    }

    /// A worker's pool among those that are kept in a slot.
    pub(crate) fn of(slot: &Slot, protocol: Protocol, seat: Seat) -> Self {
        let kept = slot.get_or_init(|| {
            let pools: Pools = (0..seat.of).map(|_| Self::new(protocol)).collect();
            Box::new(pools)
        });
        // Nobody but the proxy writes to the slot; a stranger's value would only cost reuse.
        let pool = kept.downcast_ref::<Pools>().and_then(|pools| pools.get(seat.index));
        pool.cloned().unwrap_or_else(|| Self::new(protocol))
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
            Self::Http1(_) => http1::Sender::open(lease).await.map(Sender::Http1),
            Self::H2c(pool) => pool.open(lease).await.map(Sender::H2c),
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
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Answer>, SendError> {
        match self {
            Self::Http1(sender) => Ok(sender.send(request).await?.map(Answer::Http1)),
            Self::H2c(sender) => Ok(sender.send(request).await?.map(Answer::H2c)),
        }
    }

    /// Puts the connection back, once its request was sent and its answer read to the end.
    pub(crate) fn give_back(self, pool: Pool) {
        if let (Self::Http1(sender), Pool::Http1(pool)) = (self, pool) {
            sender.give_back(pool);
        }
    }
}

/// A connection whose answer is being read.
pub(crate) struct Returning {
    pub(crate) sender: Sender,
    pub(crate) pool: Pool,
    /// The request was answered before it had come.
    pub(crate) early: bool,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(Broken::Http1),
            Self::H2c(body) => body.poll_frame(cx).map_err(Broken::H2c),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::H2c(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::H2c(body) => body.size_hint(),
        }
    }
}
