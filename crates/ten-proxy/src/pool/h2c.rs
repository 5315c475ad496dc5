//! HTTP/2 without TLS, by prior knowledge (RFC 9113): a connection carries many requests.
//!
//! ```text
//!        open: connect, preface, SETTINGS, PING ─▶ PONG
//! (nothing) ─────────────────────────────────────▶ shared ──── GOAWAY, refusal, end ──▶ out of
//!                                    room for one more │                           the pool; what
//!                                                      ▼                           is under way
//!                                                   Sender, one stream             goes on
//! ```
//!
//! Requests never queue inside a connection: where all have as many streams as they may, the
//! next request opens one more connection, and those that find it being opened wait for it.
//! Before its first request, the peer has answered a PING: then its SETTINGS are known, and
//! that it speaks HTTP/2 at all.
//!
//! One slow client must not hold up the others on its connection. Each stream may have
//! [`STREAM_WINDOW`] bytes under way to us, and the connection [`MAX_STREAMS`] times that: though
//! all clients but one stand still, the one has its whole window. No PING keeps a connection
//! alive: what becomes of an instance that hangs is for the request's timeout to say.

mod exchange;
mod upload;

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping,
    client::{Builder, SendRequest},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, timeout_at},
};

pub(crate) use self::{
    exchange::{Answer, Sender},
    upload::Passing,
};
use crate::{
    Lease, connect,
    files::{self, Files, Keeper},
    turn::{self, Turn},
    wire::Socket,
};

/// Most requests at one time on one connection, if the instance allows as many. Few, because
/// they share its fate; enough that connections cost nothing next to their requests.
const MAX_STREAMS: u32 = 32;
/// Most connections that a worker keeps per process of an instance: room for 2,048 requests. An
/// instance that allows next to none on each gets more, closed after their one request.
const MAX_CONNECTIONS: usize = 64;
/// Bytes of one answer that may be under way or wait here for a slow client. Larger ones make
/// no large body faster: the way is short, and what waits falls out of the processor's caches.
const STREAM_WINDOW: u32 = 64 << 10;
/// Longest head of an answer, in bytes as RFC 9113, section 6.5.2 counts them.
const MAX_HEAD: u32 = 64 << 10;
/// Largest frame that an instance may send: as large as the buffers of HTTP/1.
const MAX_FRAME: u32 = 64 << 10;
/// Streams that were broken off by our side and for which frames may still come. Past it such
/// frames count as the instance's errors, and clients that leave are no fault of its.
const MAX_RESET: usize = 1024;
/// Longest wait for the PONG that shows a listener to speak HTTP/2, with the wait for whoever
/// opens a connection already.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections to one process, of one worker. Nobody else takes the lock, but to close what is
/// idle where descriptors are few.
pub(crate) struct Pool {
    connections: Mutex<Vec<Connection>>,
    /// Held by whoever opens a connection: the others want the same one.
    opening: tokio::sync::Mutex<()>,
    files: Arc<Files>,
}

/// A connection with room for requests.
struct Connection {
    requests: SendRequest<Bytes>,
    /// As many holders as there are senders, and this.
    line: Arc<Line>,
}

/// What the senders of one connection share.
#[derive(Default)]
struct Line {
    /// It has turned a request away and gets no more.
    refuses: AtomicBool,
}

impl Connection {
    fn is_open(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        // No stream was ever opened by way of this handle: only the end of the connection or a
        // GOAWAY keeps it from being ready.
        let ready = matches!(self.requests.poll_ready(&mut cx), Poll::Ready(Ok(())));
        ready && !self.line.refuses.load(Relaxed)
    }

    fn in_use(&self) -> usize {
        Arc::strong_count(&self.line) - 1
    }

    fn has_room(&self) -> bool {
        self.in_use() < self.requests.current_max_send_streams().min(MAX_STREAMS as usize)
    }

    fn sender(&self) -> Sender {
        Sender::new(self.requests.clone(), Arc::clone(&self.line))
    }
}

impl Keeper for Pool {
    fn close_idle(&self) -> usize {
        self.connections().extract_if(.., |connection| connection.in_use() == 0).count()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(files: &Arc<Files>) -> Arc<Self> {
        let (connections, opening) = (Mutex::default(), tokio::sync::Mutex::default());
        let pool = Arc::new(Self { connections, opening, files: Arc::clone(files) });
        let keeper: Weak<Self> = Arc::downgrade(&pool);
        files.kept_by(keeper);
        pool
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for a request on the first connection that has it.
    pub(super) fn take(&self) -> Option<Sender> {
        let mut connections = self.connections();
        connections.retain_mut(Connection::is_open);
        connections.iter().find(|connection| connection.has_room()).map(Connection::sender)
    }

    /// Room on a new connection: one's own, or one that another has opened meanwhile.
    pub(super) async fn open(&self, lease: &impl Lease) -> io::Result<Sender> {
        let end = Instant::now() + GREETING_TIMEOUT;
        let _turn = timeout_at(end, self.opening.lock()).await?;
        if let Some(sender) = self.take() {
            return Ok(sender);
        }
        let counted = self.files.count();
        // Which has an end of its own, and says what it has waited for.
        let wire = connect::connect(lease, &self.files).await?;
        let requests = timeout_at(end, greet(wire, counted)).await??;
        let connection = Connection { requests, line: Arc::default() };
        // Given out whatever the peer allows: one that allows no stream yet may do so later.
        let sender = connection.sender();
        let mut connections = self.connections();
        if connections.len() < MAX_CONNECTIONS {
            connections.push(connection);
        }
        Ok(sender)
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        let mut connections = self.connections();
        connections.retain_mut(Connection::is_open);
        connections.iter().filter(|connection| connection.in_use() == 0).count()
    }
}

/// Begins a connection and waits until the peer has shown that it speaks HTTP/2. A task of its
/// own drives the connection from then on; it ends when nobody can send on it any more.
async fn greet(wire: Socket, counted: files::Counted) -> io::Result<SendRequest<Bytes>> {
    let turn = Turn::default();
    let transport = Transport { wire, turn: turn.clone(), _counted: counted };
    let (requests, mut connection) = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(MAX_STREAMS * STREAM_WINDOW)
        .data_frame_budget(turn::UNCOUNTED)
        .max_header_list_size(MAX_HEAD)
        .max_frame_size(MAX_FRAME)
        .max_concurrent_reset_streams(MAX_RESET)
        .handshake(transport)
        .await
        .map_err(no_greeting)?;
    let mut pings = connection.ping_pong().ok_or(io::ErrorKind::NotConnected)?;
    let mut driven = poll_fn(move |cx| {
        turn.begin();
        Pin::new(&mut connection).poll(cx)
    });
    tokio::select! {
        biased;
        ended = &mut driven => {
            return Err(ended.map_or_else(no_greeting, |()| io::ErrorKind::ConnectionReset.into()));
        }
        pong = pings.ping(Ping::opaque()) => pong.map_err(no_greeting)?,
    };
    tokio::spawn(async move {
        if let Err(error) = driven.await {
            // Whoever waits for an answer gets the error too and reports it.
            tracing::trace!(%error, "connection to an instance ended");
        }
    });
    Ok(requests)
}

/// A process that dies or stops in the middle of a greeting is gone like one that does not
/// accept; one that sends what is not HTTP/2 is another matter.
fn no_greeting(error: h2::Error) -> io::Error {
    let gone = error.is_io() || (error.is_go_away() && error.is_remote());
    let kind = if gone { io::ErrorKind::ConnectionReset } else { io::ErrorKind::InvalidData };
    io::Error::new(kind, error)
}

/// A connection as h2 reads and writes it.
struct Transport {
    wire: Socket,
    turn: Turn,
    _counted: files::Counted,
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        memory: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.turn.poll_read(cx));
        let (before, room) = (memory.filled().len(), memory.remaining());
        let filled = ready!(self.wire.poll_fill(cx, memory, room)).map(drop);
        // An instance's frames are as many as it likes: how many it has, nobody counts.
        self.turn.read(memory.filled().len() - before, 0);
        Poll::Ready(filled)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.poll_write(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wire.poll_write(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.wire.end_writing())
    }
}
