//! HTTP/1.1: a connection carries one request at a time and is idle between two.
//!
//! ```text
//!            open                       send
//! (nothing) ─────▶ Sender in use ◀──────────── idle (last in, first out)
//!                    │     └─ given back: request sent, answer read, to their ends ──▶ idle
//!                    └─ anything else ──▶ dropped, closed
//! ```
//!
//! A [`Sender`] that is dropped takes its connection with it at once, so that no way out of an
//! exchange leaves one behind: half an answer that the next client would get, or an upload that
//! goes on after the instance's use has ended.
//!
//! A pool has no timer: an idle connection costs the instance nothing but a descriptor, and one
//! that the instance closes is noticed by its own task and skipped.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Request, Response, StatusCode, header::UPGRADE};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{task::AbortHandle, time::timeout};

use super::SendError;
use crate::{
    Lease,
    body::{MAX_BUFFER, Upload},
    connect::{self, Stream},
};

/// Most idle connections that a worker keeps per process of an instance. As many as there can
/// be requests at once under heavy load, so that a busy instance is not reconnected to.
const MAX_IDLE: usize = 512;
/// Longest wait for a connection to be ready again after the end of an answer. Most are at once.
const RETURN_TIMEOUT: Duration = Duration::from_secs(1);

/// Idle connections to one process, of one worker. The lock is for the compiler: only that
/// worker's thread ever takes it.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Sender>>);

/// One connection.
pub(crate) struct Sender {
    http: http1::SendRequest<Upload>,
    /// Drives the connection; `None` once that is a tunnel, which ends by itself.
    task: Option<AbortHandle>,
}

impl Pool {
    /// The connection that was used last and still works.
    pub(super) fn take(&self) -> Option<Sender> {
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
    pub(super) fn idle(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Sender {
    /// Connects anew. The connection is driven by a task of its own, which ends with it.
    pub(super) async fn open(lease: &impl Lease) -> io::Result<Self> {
        match connect::connect(lease).await? {
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
        Ok(Self { http, task: Some(task.abort_handle()) })
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, SendError> {
        let may_switch = request.headers().contains_key(UPGRADE);
        let sent = self.http.try_send_request(request).await;
        let response = sent.map_err(|mut error| match error.take_message() {
            Some(request) => SendError::Unsent(error.into_error().into(), request),
            None => SendError::Lost(error.into_error().into()),
        })?;
        if may_switch && response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.task = None;
        }
        Ok(response)
    }

    /// Puts the connection back, once its request was sent and its answer read to the end.
    pub(super) fn give_back(mut self, pool: Arc<Pool>) {
        if self.http.is_ready() {
            pool.put(self);
        } else if !self.http.is_closed() {
            // Its task has not yet been to the end of the answer itself, or the last of the
            // request still waits for a reader, who may never come.
            tokio::spawn(async move {
                if let Ok(Ok(())) = timeout(RETURN_TIMEOUT, self.http.ready()).await {
                    pool.put(self);
                }
            });
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
