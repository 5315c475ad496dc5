//! Connections to one process of an instance, kept for reuse.
//!
//! ```text
//!            open                       send
//! (nothing) ─────▶ Sender in use ◀──────────── idle (last in, first out)
//!                    │     └─ answer read to its end ──▶ idle
//!                    └─ anything else ──▶ dropped, closed
//! ```
//!
//! The pools live in the lease's [`Slot`], one for each worker: they die with the process that
//! they lead to, and no two threads share a connection. A pool has no timer: an idle connection costs the instance nothing but a descriptor, and one that the
//! instance closes is noticed by its own task and skipped.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use ten_domain::Address;
use tokio::task::AbortHandle;

use crate::{
    Slot,
    body::{MAX_BUFFER, Progress, Upload},
    connect::{self, Stream},
    workers::Seat,
};

/// Most idle connections that a worker keeps per process of an instance. As many as there can be requests at
/// once under heavy load, so that a busy instance is not reconnected to.
const MAX_IDLE: usize = 512;

/// Idle connections to one process, of one worker. The lock is for the compiler: only that
/// worker's thread ever takes it.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Sender>>);

/// A pool for each worker.
type Pools = Box<[Arc<Pool>]>;

/// One HTTP/1.1 connection, able to carry one request at a time.
pub(crate) struct Sender {
    http: http1::SendRequest<Upload>,
    /// Drives the connection, and ends with it.
    task: AbortHandle,
}

/// Why a request got no answer.
#[expect(clippy::large_enum_variant, reason = "one, returned once, and rarely")]
pub(crate) enum SendError {
    /// The connection was gone before any of the request was written: here it is again.
    Unsent(hyper::Error, Request<Upload>),
    /// Some of it may have reached the instance.
    Lost(hyper::Error),
}

impl Pool {
    /// A worker's pool among those that are kept in a slot.
    pub(crate) fn of(slot: &Slot, seat: Seat) -> Arc<Self> {
        let kept = slot.get_or_init(|| {
            let pools: Pools = (0..seat.of).map(|_| Arc::default()).collect();
            Box::new(pools)
        });
        // Nobody but the proxy writes to the slot; a stranger's value would only cost reuse.
        let pool = kept.downcast_ref::<Pools>().and_then(|pools| pools.get(seat.index));
        pool.cloned().unwrap_or_default()
    }

    /// The connection that was used last and still works.
    pub(crate) fn take(&self) -> Option<Sender> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(|sender| sender.http.is_ready())
    }

    fn put(&self, sender: Sender) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(sender);
        }
    }

    #[cfg(test)]
    pub(crate) fn idle(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Sender {
    /// Connects anew. The connection is driven by a task of its own, which ends with it.
    pub(crate) async fn open(address: &Address) -> io::Result<Self> {
        match connect::connect(address).await? {
            Stream::Tcp(stream) => Self::handshake(TokioIo::new(stream)).await,
            Stream::Unix(stream) => Self::handshake(TokioIo::new(stream)).await,
        }
    }

    async fn handshake<I>(io: I) -> io::Result<Self>
    where
        I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    {
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_BUFFER);
        let (http, connection) = http.handshake(io).await.map_err(io::Error::other)?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                // Whoever waits for an answer gets the error too and reports it.
                tracing::trace!(%error, "connection to an instance ended");
            }
        });
        Ok(Self { http, task: task.abort_handle() })
    }

    /// Sends a request and waits for the head of its answer. Dropped before that, it closes
    /// the connection.
    pub(crate) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, SendError> {
        self.http.try_send_request(request).await.map_err(|mut error| match error.take_message() {
            Some(request) => SendError::Unsent(error.into_error(), request),
            None => SendError::Lost(error.into_error()),
        })
    }

    /// Puts the connection back, once its answer was read to the end.
    pub(crate) fn give_back(mut self, pool: Arc<Pool>) {
        if self.http.is_ready() {
            pool.put(self);
        } else if !self.http.is_closed() {
            // Its task has not yet been to the end of the answer itself.
            tokio::spawn(async move {
                if self.http.ready().await.is_ok() {
                    pool.put(self);
                }
            });
        }
    }

    /// Closes the connection, whatever it is in the middle of.
    pub(crate) fn close(self) {
        self.task.abort();
    }
}

/// A connection whose answer is being read.
pub(crate) struct Returning {
    pub(crate) sender: Sender,
    pub(crate) pool: Arc<Pool>,
    /// Of the request that is answered; it may be answered before it has come.
    pub(crate) upload: Option<Arc<Progress>>,
}
