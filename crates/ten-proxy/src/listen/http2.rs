//! One connection of HTTP/2 (RFC 9113), by prior knowledge or by ALPN.
//!
//! ```text
//! Wire ─▶ FrameSocket (counts frames) ─▶ h2 ─▶ a task for each stream ─▶ Proxy::answer
//!
//! busy ──last stream ends──▶ idle ──idle_timeout──▶ GOAWAY ──▶ closed
//!   ▲───────stream begins─────┘    drain, no room ──▶ GOAWAY ──what is under way ends──▶ closed
//! ```
//!
//! What h2 refuses by itself, and tests hold it to: uppercase and connection-specific headers,
//! doubled or unknown pseudo-headers, lengths that do not fit, heads above a size, endless
//! CONTINUATION, streams that are reset before they are looked at. What h2 does not refuse: a
//! fragment in a path, which it drops. Whether the other end of a silent connection still exists,
//! the kernel asks, as with HTTP/1.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, server::SendResponse};
use ten_domain::ProxySettings;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Client,
    frame_socket::FrameSocket,
    places::{Guest, dismissed},
    stream::{self, Stream},
};
use crate::{
    Management, Proxy, Upstreams,
    turn::{self, Turn},
};

/// Bytes of a request's body that may wait for an instance to take them. The window of a connection
/// is that of all its streams: those that wait for an instance that wakes keep nothing from those of
/// another. Together a network has as many as it has places.
const STREAM_WINDOW: u32 = 128 << 10;
/// Bytes of an answer that may wait for a client to take them, beyond one piece of its body.
const MAX_WAITING: usize = 64 << 10;
/// How much larger heads may be for h2 than for us, who refuse them with a page. h2 refuses with
/// a status alone; and it counts 32 bytes more for each header (RFC 9113, section 6.5.2).
const HEAD_ROOM: u32 = 2;
/// How long a connection may take to end once that was decided.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Serves requests side by side. `read` is what the client has sent so far, its preface first.
pub(super) async fn serve<U: Upstreams, M: Management>(
    proxy: Proxy<U, M>,
    mut client: Client,
    read: BytesMut,
) -> Result<(), h2::Error> {
    let settings = Arc::clone(proxy.settings());
    let (mut drain, mut deadline) = (client.drain.clone(), client.drain.clone());
    client.multiplexed = true;
    let turn = Turn::default();
    let socket = FrameSocket::new(client.wire(), read, turn.clone(), &settings);
    let (guest, waits) = (Arc::clone(client.place.guest()), socket.waits());
    let streams = Arc::new(Streams { live: AtomicUsize::new(0), guest: Arc::clone(&guest) });
    let served = Served { proxy, client: Arc::new(client), streams, turn };
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(settings.max_streams)
        .max_header_list_size(HEAD_ROOM * settings.max_head_bytes as u32)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(&settings))
        .data_frame_budget(turn::UNCOUNTED)
        .max_send_buffer_size(MAX_WAITING)
        .handshake::<_, Bytes>(socket)
        .await?;
    let ends = async {
        tokio::select! {
            () = dismissed(&guest, &mut drain) => {}
            () = idle(&guest, settings.idle_timeout) => {}
        }
    };
    let over = tokio::select! {
        over = served.all(&mut connection) => Some(over),
        () = ends => None,
    };
    if let Some(over) = over {
        return over;
    }
    connection.graceful_shutdown();
    tokio::select! {
        // What is asked while it is being told is still answered.
        over = served.all(&mut connection) => over,
        () = stuck(&served.streams, &waits) => Ok(()),
        () = deadline.cut() => Ok(()),
    }
}

/// What the streams of a connection have in common.
struct Served<U, M> {
    proxy: Proxy<U, M>,
    client: Arc<Client>,
    streams: Arc<Streams>,
    turn: Turn,
}

impl<U: Upstreams, M: Management> Served<U, M> {
    /// Drives the connection to its end.
    async fn all(
        &self,
        connection: &mut h2::server::Connection<FrameSocket, Bytes>,
    ) -> Result<(), h2::Error> {
        poll_fn(|cx| {
            self.turn.begin();
            while let Some(accepted) = ready!(connection.poll_accept(cx)) {
                self.begin(accepted?);
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    fn begin(&self, (request, respond): (http::Request<RecvStream>, SendResponse<Bytes>)) {
        // The first of a connection is in the place of the connection.
        let is_first = self.streams.are_none();
        let live = self.streams.begin();
        let (proxy, client) = (self.proxy.clone(), Arc::clone(&self.client));
        tokio::spawn(async move {
            let stream = Stream { proxy: &proxy, client: &client, respond };
            stream::serve(stream, request, is_first).await;
            drop(live);
        });
    }
}

/// Room for the windows of all streams that a connection may have.
fn connection_window(settings: &ProxySettings) -> u32 {
    /// RFC 9113, section 6.9.1.
    const LARGEST: u32 = (1 << 31) - 1;
    settings.max_streams.saturating_mul(STREAM_WINDOW).min(LARGEST)
}

/// Waits until a connection has been silent for as long as it may.
async fn idle(guest: &Guest, longest: Duration) {
    loop {
        let now = Instant::now();
        let end = guest.silence().unwrap_or(now) + longest;
        if end <= now {
            return;
        }
        sleep_until(end).await;
    }
}

/// Waits until a connection that was told to end is in the way and of no use: nothing is asked on
/// it, and of what was answered nothing waits to be taken. How long that may wait the socket says.
async fn stuck(streams: &Streams, waits: &AtomicBool) {
    loop {
        sleep(LAST_WORDS).await;
        if streams.are_none() && !waits.load(Relaxed) {
            return;
        }
    }
}

/// How many streams of a connection are under way. Its guest is silent while there are none.
struct Streams {
    live: AtomicUsize,
    guest: Arc<Guest>,
}

impl Streams {
    fn are_none(&self) -> bool {
        self.live.load(Relaxed) == 0
    }

    fn begin(self: &Arc<Self>) -> Live {
        self.guest.is_busy();
        self.live.fetch_add(1, Relaxed);
        Live(Arc::clone(self))
    }
}

/// A stream that is under way.
struct Live(Arc<Streams>);

impl Drop for Live {
    fn drop(&mut self) {
        // All streams of a connection run on one thread: none begins in between.
        if self.0.live.fetch_sub(1, Relaxed) == 1 {
            self.0.guest.is_silent(Instant::now());
        }
    }
}
