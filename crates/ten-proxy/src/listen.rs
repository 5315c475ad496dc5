//! Accepting clients: one task per connection, a bound on how many, and an orderly end.
//!
//! A client that closes its writing side while it waits for an answer, or for more of one, counts
//! as gone, as with nginx: to the kernel it looks the same as one that left. Its request is dropped and its place given back.
//! Inside a tunnel each direction ends by itself.
//!
//! While a request waits for its instance, nothing behind it is read; that the client is gone
//! is then seen from the socket's state alone ([`Client::gone`]). Not seen is the end of a client
//! that left more bytes before it than the kernel's buffers hold: the end waits behind them, and
//! the place until the wait for the instance is over.

mod departure;
mod frame_socket;
mod frames;
mod http1;
mod http2;
mod linger;
mod opening;
mod patience;
mod places;
mod reader;
mod stream;

use std::{
    future::Future,
    io,
    net::{self, IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use rustix::net::sockopt;
use ten_domain::ProxySettings;
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

pub(crate) use self::{
    departure::Departure,
    patience::{Patience, Terms},
    places::{Crowded, Places},
    reader::Reader,
};
use self::{
    opening::{Opening, Source, Version},
    places::{Place, dismissed},
};
use crate::{
    Certificates, DrainSignal, Management, Proxy, Upstreams,
    alarm::AlarmPlace,
    complaint::Complaint,
    files::{self, Files},
    head::Fields,
    headers::{Origin, Peer},
    wire::{Socket, Wire},
    workers::Seat,
};

/// Silence of a connection after which the kernel asks whether its other end still exists: it
/// may have vanished without a word, and a tunnel has no time limit.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Time between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Questions without answer after which the connection counts as broken.
const KEEPALIVE_PROBES: u32 = 4;

/// A connection that was accepted, and room for it.
type Arrival = (net::TcpStream, SocketAddr, OwnedSemaphorePermit);

/// What a listener is for.
#[derive(Debug, Clone)]
pub enum Door {
    /// Plain HTTP.
    Plain,
    /// HTTPS. Who speaks plain HTTP there is told so, as by `Moved`.
    Secure(Arc<dyn Certificates>),
    /// Plain HTTP, of which every request is answered with the same URL with `https` in it, on that
    /// port of the same host.
    Moved {
        /// The port of HTTPS.
        port: u16,
    },
}

/// How requests come.
#[derive(Debug)]
pub(crate) enum Channel {
    Plain,
    Secure {
        /// Whom the client wanted to reach (RFC 6066, section 3).
        name: Option<String>,
    },
    /// In plain, where only HTTPS is served, on this port.
    Moved {
        port: u16,
    },
}

/// What a request knows of the connection it came on.
pub(crate) struct Client {
    /// Who speaks HTTP on it: the peer of the connection, or whom that names with the PROXY
    /// protocol.
    pub(crate) peer: SocketAddr,
    /// Whether what it says of others is believed.
    trusted: bool,
    /// What instances are told of it.
    pub(crate) told: Peer,
    /// For the waits for answers to its requests.
    pub(crate) alarm: AlarmPlace,
    /// Our own address, as the client reached it.
    pub(crate) local: Option<IpAddr>,
    /// Many of its requests are under way at a time, each of which is dropped with its stream.
    multiplexed: bool,
    pub(crate) channel: Channel,
    /// Who serves it.
    pub(crate) seat: Seat,
    stream: Arc<TcpStream>,
    /// What is said on it.
    wire: Wire,
    /// Whatever outlives the connection, such as a tunnel, ends at the drain's deadline.
    pub(crate) drain: DrainSignal,
    /// Freed with the last holder: connection or tunnel.
    place: Place,
}

impl Client {
    /// A client that was accepted, from now on on the runtime of the caller.
    fn new(
        (stream, peer, room): Arrival,
        places: &Arc<Places>,
        trusted: bool,
        seat: Seat,
        drain: DrainSignal,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let local = stream.local_addr().ok().map(|address| address.ip());
        let stream = Arc::new(TcpStream::from_std(stream)?);
        let counted = (!trusted).then_some(peer.ip());
        let place = places.take(room, Arc::clone(&stream), counted).map_err(io::Error::other)?;
        let wire = Socket::Tcp(Arc::clone(&stream)).into();
        Ok(Self {
            peer,
            trusted,
            told: Peer::new(peer),
            alarm: AlarmPlace::default(),
            local,
            multiplexed: false,
            channel: Channel::Plain,
            seat,
            stream,
            wire,
            drain,
            place,
        })
    }

    /// Takes the word of the proxy before it on who it is.
    fn is_from(&mut self, source: Source, settings: &ProxySettings) -> Result<(), Crowded> {
        match source {
            Source::Client(peer) => {
                self.trusted = settings.trusts(peer.ip());
                if !self.trusted {
                    self.place.belongs_to(peer.ip())?;
                }
                (self.peer, self.told) = (peer, Peer::new(peer));
            }
            Source::Proxy => {}
            // Whoever it is, it is not the proxy that is trusted.
            Source::Unknown => self.trusted = false,
        }
        Ok(())
    }

    /// Reads its first bytes; what of HTTP is among them.
    async fn open(
        &mut self,
        door: &Door,
        settings: &ProxySettings,
    ) -> io::Result<(Version, BytesMut)> {
        let (guest, mut read) = (Arc::clone(self.place.guest()), BytesMut::new());
        if self.trusted && settings.proxy_protocol {
            let source = opening::source(&self.stream, &guest, &mut read).await?;
            // Before anything is done for it that costs more.
            self.is_from(source, settings).map_err(io::Error::other)?;
        }
        let Opening { channel, wire, version, read } =
            opening::read(&self.stream, &guest, read, door).await?;
        if let Channel::Secure { .. } = channel {
            self.told.is_secure();
        }
        (self.channel, self.wire) = (channel, wire);
        Ok((version, read))
    }

    /// Whom a request with these headers is from.
    pub(crate) fn origin(&self, fields: &Fields, settings: &ProxySettings) -> Origin {
        match self.trusted {
            true => Origin::behind(self.peer.ip(), fields, settings),
            false => Origin::peer(self.peer.ip()),
        }
    }

    /// Waits until the client has closed its writing side or the connection is broken, even
    /// with bytes unread before that end: the kernel says EPOLLRDHUP (epoll_ctl(2)) whatever
    /// is still to be read. Of `PRIORITY`, which nobody registers here, only that is left.
    pub(crate) async fn gone(&self) {
        if self.multiplexed {
            return std::future::pending().await;
        }
        if let Err(error) = self.stream.ready(Interest::PRIORITY).await {
            tracing::debug!(%error, "the runtime shuts down");
        }
    }

    /// Waits until it is dismissed, and no request of it is on its way.
    fn departs(&self) -> impl Future<Output = ()> + use<> {
        let (guest, mut drain) = (Arc::clone(self.place.guest()), self.drain.clone());
        async move {
            dismissed(&guest, &mut drain).await;
            tokio::select! {
                () = guest.parts() => {}
                () = drain.cut() => {}
            }
        }
    }

    /// The descriptors that it has a share of.
    pub(crate) fn files(&self) -> &Arc<Files> {
        self.place.files()
    }

    /// Its connection.
    fn wire(&self) -> Wire {
        self.wire.clone()
    }
}

impl<U: Upstreams, M: Management> Proxy<U, M> {
    /// Accepts clients for the workers until the drain begins, or the listener is shut down. Connections are then still at work;
    /// [`Drain::drain`](crate::Drain::drain) waits for them.
    ///
    /// # Errors
    /// If the listener cannot be registered with the runtime. Errors of single connections,
    /// and a lack of file descriptors, are outlived.
    pub async fn serve(
        &self,
        listener: net::TcpListener,
        door: Door,
        drain: DrainSignal,
    ) -> io::Result<()> {
        let proxy = self.clone();
        let accepting = async move { proxy.accept_all(listener, door, drain).await };
        self.workers().acceptor().spawn(accepting).await.map_err(io::Error::other)?
    }

    async fn accept_all(
        self,
        listener: net::TcpListener,
        door: Door,
        mut drain: DrainSignal,
    ) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        keep_alive(&listener)?;
        let listener = TcpListener::from_std(listener)?;
        let failing = Complaint::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = drain.draining() => return Ok(()),
                accepted = self.accept(&listener) => accepted,
            };
            match accepted {
                Ok(arrival) => {
                    let (seat, worker) = self.workers().next();
                    let (proxy, door, drain) = (self.clone(), door.clone(), drain.clone());
                    worker.spawn(async move {
                        let trusted = proxy.settings().trusts(arrival.1.ip());
                        match Client::new(arrival, proxy.places(), trusted, seat, drain) {
                            Ok(client) => proxy.connection(client, door).await,
                            Err(error) => tracing::debug!(%error, "not to be served"),
                        }
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                // It listens no more (accept(2)): whoever ends it says so before the drain begins.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(()),
                Err(error) => {
                    // What is missing comes back when anybody gives it back.
                    if let Some(times) = failing.due() {
                        tracing::warn!(%error, times, "cannot accept connections for now");
                    }
                    self.places().files().close_idle();
                    tokio::time::sleep(files::PAUSE).await;
                }
            }
        }
    }

    /// The next client, and room for it. While there is none, one client waits here and all
    /// others in the backlog.
    async fn accept(&self, listener: &TcpListener) -> io::Result<Arrival> {
        let (stream, peer) = listener.accept().await?;
        // Its worker registers it with a runtime of its own.
        Ok((stream.into_std()?, peer, self.places().room().await))
    }

    /// Serves a client until the connection ends, or the drain's deadline passes.
    async fn connection(self, mut client: Client, door: Door) {
        let settings = Arc::clone(self.settings());
        let (peer, departs) = (client.peer, client.departs());
        let opened = tokio::select! {
            biased;
            opened = timeout(settings.head_timeout, client.open(&door, &settings)) => opened,
            () = departs => return,
        };
        let (version, read) = match opened.map_err(io::Error::from).flatten() {
            Ok(opened) => opened,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(%peer, error, "connection ended before its first request");
                return;
            }
        };
        let served = match version {
            Version::Http1 => http1::serve(self, client, read).await,
            Version::Http2 => {
                let served = Box::pin(http2::serve(self, client, read)).await;
                served.map_err(io::Error::other)
            }
        };
        if let Err(error) = served {
            tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
        }
    }
}

/// Has the kernel look after the connections that will be accepted: on Linux they take these
/// options over from their listener.
fn keep_alive(listener: &net::TcpListener) -> io::Result<()> {
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(listener, KEEPALIVE_INTERVAL)?;
    Ok(sockopt::set_tcp_keepcnt(listener, KEEPALIVE_PROBES)?)
}

/// Whether accept(2) failed for the connection it was about to return, and not for us.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No manual page promises it.
    #[test]
    fn what_is_accepted_is_kept_alive_as_its_listener_says() {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        keep_alive(&listener).unwrap();
        let _client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(sockopt::socket_keepalive(&accepted).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&accepted).unwrap(), KEEPALIVE_IDLE);
        assert_eq!(sockopt::tcp_keepintvl(&accepted).unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(sockopt::tcp_keepcnt(&accepted).unwrap(), KEEPALIVE_PROBES);
    }
}
