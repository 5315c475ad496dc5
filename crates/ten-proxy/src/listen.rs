//! Accepting clients: one task per connection, a bound on how many, and an orderly end.
//!
//! A client that closes its writing side while it waits counts as gone, as with nginx: to the
//! kernel it looks the same as one that left. Its request is dropped and its place given back.
//! Inside a tunnel each direction ends by itself.
//!
//! Not noticed is a client that leaves while its request waits for an instance with a body or
//! a second request behind it: nothing is read then, so its end is not read either. Its place
//! is freed when the wait ends.

mod socket;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
};

pub(crate) use self::socket::Course;
use self::socket::{ClientSocket, HeadTimer};
use crate::{DrainSignal, Management, Proxy, Upstreams, body::MAX_BUFFER};

/// Longest time a request head may take from its first byte, and a new connection until its
/// first whole head. Browsers send a head in one packet; ten seconds allow for bad networks.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence between two requests of one connection (nginx's default).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Most connections at one time, tunnels included. Past it, clients wait in the backlog.
pub const MAX_CONNECTIONS: usize = 10_000;
/// Longest request head, in bytes.
const MAX_HEAD: usize = 64 << 10;
/// How long accepting rests after an error that is not one connection's own. What is missing
/// (a file descriptor, memory) comes back when anyone in the process or on the machine gives
/// it back, and the kernel has no event for that.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a request knows of the connection it came on.
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    /// Our own address, as the client reached it.
    pub(crate) local: Option<IpAddr>,
    pub(crate) course: Arc<Course>,
    /// Whatever outlives the connection, such as a tunnel, ends at the drain's deadline.
    pub(crate) drain: DrainSignal,
    /// Freed with the last holder: connection or tunnel.
    _place: OwnedSemaphorePermit,
}

impl<U: Upstreams, M: Management> Proxy<U, M> {
    /// Accepts and serves clients until the drain begins. Connections are then still at work;
    /// [`Drain::drain`](crate::Drain::drain) waits for them.
    ///
    /// # Errors
    /// If the listener cannot be registered with the runtime. Errors of single connections,
    /// and a lack of file descriptors, are outlived.
    pub async fn serve(
        &self,
        listener: std::net::TcpListener,
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
                    let local = stream.local_addr().ok().map(|address| address.ip());
                    let (course, drain) = (Arc::default(), drain.clone());
                    let client = Client { peer, local, course, drain, _place: place };
                    tokio::spawn(self.clone().connection(stream, client));
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
    ) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let place = Arc::clone(self.places()).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        Ok((stream, peer, place))
    }

    async fn connection(self, stream: TcpStream, client: Client) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection reset before it was served");
            return;
        }
        let mut drain = client.drain.clone();
        let client = Arc::new(client);
        let socket = ClientSocket::new(stream, Arc::clone(&client.course));
        let timer = HeadTimer(Arc::clone(&client.course));
        let service = service_fn(move |request| {
            client.course.asked();
            self.clone().answer(Arc::clone(&client), request)
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(timer)
                .header_read_timeout(HEAD_TIMEOUT)
                .max_header_size(MAX_HEAD)
                .max_buf_size(MAX_BUFFER)
                .serve_connection(TokioIo::new(socket), service)
                .with_upgrades()
        );
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = drain.draining() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    served = connection => served,
                    () = drain.cut() => Ok(()),
                }
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
