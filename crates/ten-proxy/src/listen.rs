//! Accepting clients: one task per connection, a bound on how many, and an orderly end.
//!
//! A client that closes its writing side while it waits counts as gone, as with nginx: to the
//! kernel it looks the same as one that left. Its request is dropped and its place given back.
//! Inside a tunnel each direction ends by itself.
//!
//! While a request waits for its instance, nothing behind it is read; that the client is gone
//! is then seen from the socket's state alone ([`Client::gone`]). Not seen is the end of a client
//! that left more bytes before it than the kernel's buffers hold: the end waits behind them, and
//! the place until the wait for the instance is over.

mod course;
mod frame_socket;
mod frames;
mod framing;
mod http1;
mod http2;
mod opening;
mod socket;
mod streams;
mod wire;

use std::{
    io,
    net::{self, IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
};

use self::{
    course::Course,
    opening::{Opening, Version},
};
use crate::{
    DrainSignal, Management, Proxy, Upstreams, check::BadRequest, headers::Peer, workers::Seat,
};

/// Longest time a request head may take from its first byte, and a new connection until its
/// first whole head. Browsers send a head in one packet; ten seconds allow for bad networks.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence between two requests of one connection (nginx's default).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest silence of a client in the middle of a body: between two pieces that it sends, or
/// that it takes (nginx's default). Past it the exchange is broken off, so that a slow client
/// holds no instance awake. The time that an instance takes does not count.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Most connections at one time, tunnels included. Past it, clients wait in the backlog.
pub const MAX_CONNECTIONS: usize = 10_000;
/// How long accepting rests after an error that is not one connection's own. What is missing
/// (a file descriptor, memory) comes back when anyone in the process or on the machine gives
/// it back, and the kernel has no event for that.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a request knows of the connection it came on.
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    /// What instances are told of it.
    pub(crate) told: Peer,
    /// Our own address, as the client reached it.
    pub(crate) local: Option<IpAddr>,
    /// Of a connection of HTTP/1; one of HTTP/2 has many requests at a time, each of which hyper
    /// drops with its stream.
    course: Option<Arc<Course>>,
    /// Who serves it.
    pub(crate) seat: Seat,
    stream: Arc<TcpStream>,
    /// Whatever outlives the connection, such as a tunnel, ends at the drain's deadline.
    pub(crate) drain: DrainSignal,
    /// Freed with the last holder: connection or tunnel.
    _place: OwnedSemaphorePermit,
}

impl Client {
    /// A client that was accepted, from now on on the runtime of the caller.
    fn new(
        stream: net::TcpStream,
        peer: SocketAddr,
        seat: Seat,
        drain: DrainSignal,
        place: OwnedSemaphorePermit,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let local = stream.local_addr().ok().map(|address| address.ip());
        let stream = Arc::new(TcpStream::from_std(stream)?);
        let told = Peer::new(peer);
        Ok(Self { peer, told, local, course: None, seat, stream, drain, _place: place })
    }

    /// Waits until the client has closed its writing side or the connection is broken, even
    /// with bytes unread before that end: the kernel says EPOLLRDHUP (epoll_ctl(2)) whatever
    /// is still to be read. Of `PRIORITY`, which nobody registers here, only that is left.
    pub(crate) async fn gone(&self) {
        if self.course.is_none() {
            return std::future::pending().await;
        }
        if let Err(error) = self.stream.ready(Interest::PRIORITY).await {
            tracing::debug!(%error, "the runtime shuts down");
        }
    }

    /// Why the request is refused that stands in place of the client's own.
    pub(crate) fn refused(&self) -> Option<BadRequest> {
        self.course.as_ref()?.refused()
    }

    /// From now on the connection carries another protocol.
    pub(crate) fn becomes_tunnel(&self) {
        if let Some(course) = &self.course {
            course.becomes_tunnel();
        }
    }
}

impl<U: Upstreams, M: Management> Proxy<U, M> {
    /// Accepts clients for the workers until the drain begins. Connections are then still at work;
    /// [`Drain::drain`](crate::Drain::drain) waits for them.
    ///
    /// # Errors
    /// If the listener cannot be registered with the runtime. Errors of single connections,
    /// and a lack of file descriptors, are outlived.
    pub async fn serve(
        &self,
        listener: net::TcpListener,
        mut drain: DrainSignal,
    ) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        loop {
            let accepted = tokio::select! {
                biased;
                () = drain.draining() => return Ok(()),
                accepted = self.accept(&listener) => accepted,
            };
            match accepted {
                Ok((stream, peer, place)) => {
                    let (seat, worker) = self.workers().next();
                    let (proxy, drain) = (self.clone(), drain.clone());
                    worker.spawn(async move {
                        match Client::new(stream, peer, seat, drain, place) {
                            Ok(client) => proxy.connection(client).await,
                            Err(error) => tracing::debug!(%error, "not to be served"),
                        }
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections for now");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The next client, once there is a place for it.
    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(net::TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let place = Arc::clone(self.places()).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        // Its worker registers it with a runtime of its own.
        Ok((stream.into_std()?, peer, place))
    }

    /// Serves a client until the connection ends, or the drain's deadline passes.
    async fn connection(self, client: Client) {
        let mut drain = client.drain.clone();
        let opening = tokio::select! {
            biased;
            () = drain.draining() => return,
            opening = opening::read(&client.stream, HEAD_TIMEOUT) => opening,
        };
        let served = match opening {
            Ok(Opening { version: Version::Http1, read }) => {
                http1::serve(self, client, read).await
            }
            Ok(Opening { version: Version::Http2, read }) => {
                http2::serve(self, client, read).await
            }
            Err(error) => {
                tracing::debug!(%error, "connection ended before its first request");
                return;
            }
        };
        if let Err(error) = served {
            tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
        }
    }
}

/// Whether accept(2) failed for the connection it was about to return, and not for us.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
