//! Finding out whether an instance is ready, and whether it still is.
//!
//! The kernel tells nobody when a process begins to listen, so we ask: once a millisecond
//! while an instance starts, never while it sleeps. For a port we ask the kernel whose
//! listener it is: a program that took the port before its owner is not believed to be the
//! instance, and no connection is spent on finding out. In a network of its own every listener
//! is the instance's.

use std::{
    error::Error,
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
    header,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::fs::{self, CWD, FileType, Mode, OFlags, ResolveFlags};
use ten_domain::{Address, HealthCheck, Protocol};
use ten_kernel::{Door, SockDiag};
use ten_runtime::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream, UnixStream},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    inside,
    instance::{Process, Watch},
};

/// Time between two attempts on a starting instance.
const PERIOD: Duration = Duration::from_millis(1);
/// A local connection that takes longer than this has met a full backlog; try again.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Where a process may listen, and by what its listener is known to be its own.
#[derive(Debug)]
pub(crate) struct Place {
    listener: Listener,
    cgroup: Option<u64>,
    /// The way in, where it listens in a network of its own.
    door: Option<Arc<Door>>,
    /// The top of its image, where it has one: its socket is in there, seen by nobody outside.
    image: Option<Arc<OwnedFd>>,
}

impl Place {
    async fn unix_accepts(&self, path: &Path) -> io::Result<OwnedFd> {
        let socket = match (open_socket(CWD, path), &self.image, &self.listener.in_image) {
            (Err(_), Some(image), Some(place)) => open_socket(image, place)?,
            (opened, _, _) => opened?,
        };
        UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await?;
        Ok(socket)
    }

    pub(crate) fn of(process: &Process) -> Self {
        Self {
            listener: process.listener.clone(),
            cgroup: process.cgroup.as_ref().map(|cgroup| cgroup.id),
            door: process.door.clone(),
            image: process.meter.clone(),
        }
    }
}

/// A place that accepts.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    /// As it is called.
    pub(crate) address: Address,
    pub(crate) by: By,
}

/// What one must have to connect there.
#[derive(Debug, Clone)]
pub(crate) enum By {
    /// Its address alone.
    Address,
    /// Its Unix socket, held by a descriptor: whatever its tenant puts in its place later,
    /// such as a link to a socket of ours, is not what is connected to.
    Socket(Arc<OwnedFd>),
    /// A socket of its own network.
    Door(Arc<Door>),
}

impl Reached {
    /// As it is connected to.
    pub(crate) fn dial(&self) -> Address {
        match &self.by {
            By::Socket(socket) => {
                Address::Unix(format!("/proc/self/fd/{}", socket.as_raw_fd()).into())
            }
            By::Address | By::Door(_) => self.address.clone(),
        }
    }

    /// A socket that can be connected to its address, where that takes one.
    pub(crate) async fn socket(&self) -> io::Result<TcpSocket> {
        match &self.by {
            By::Door(door) => inside::tcp(door).await,
            By::Address | By::Socket(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Waits until one of the places accepts, and says which.
pub(crate) async fn accepting(place: &Place) -> Reached {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut inside = None;
    loop {
        ticks.tick().await;
        if let Some(path) = &place.listener.unix
            && let Ok(Ok(socket)) = timeout(CONNECT_TIMEOUT, place.unix_accepts(path)).await
        {
            return Reached {
                address: Address::Unix(path.clone()),
                by: By::Socket(Arc::new(socket)),
            };
        }
        let Some(at) = place.listener.tcp else { continue };
        match &place.door {
            None if tcp_accepts(at, place.cgroup).await => {
                return Reached { address: Address::Tcp(at), by: By::Address };
            }
            Some(door) if accepts_inside(door, &mut inside, at).await => {
                return Reached { address: Address::Private(at), by: By::Door(Arc::clone(door)) };
            }
            _ => {}
        }
    }
}

/// Opens the socket itself, not what a link leads to. Its folder is ours or the instance's
/// own, and nobody inside the walls can put another in its place; what is in it is up to the
/// tenant. `top` is where the path begins: an image may be told for another kind of limit, and
/// then this is a folder of the tenant's, and what is found there its own.
fn open_socket(top: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let path_only = OFlags::PATH | OFlags::CLOEXEC;
    let folder_only = path_only | OFlags::DIRECTORY;
    let no_links = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let folder = match path.is_absolute() {
        true => fs::open(folder, folder_only, Mode::empty())?,
        false => fs::openat2(top, folder, folder_only, Mode::empty(), no_links)?,
    };
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let socket = fs::openat2(&folder, name, path_only | OFlags::NOFOLLOW, Mode::empty(), within)?;
    match FileType::from_raw_mode(fs::fstat(&socket)?.st_mode) {
        FileType::Socket => Ok(socket),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a socket")),
    }
}

async fn tcp_accepts(at: SocketAddr, cgroup: Option<u64>) -> bool {
    if !kernel_tells_who_listens() {
        return matches!(timeout(CONNECT_TIMEOUT, connect_tcp(at)).await, Ok(Ok(_)));
    }
    match SockDiag::open().and_then(|diag| diag.listening(at)) {
        Ok(Some(found)) => match (found.cgroup, cgroup) {
            (Some(whose), Some(own)) => whose == own,
            _ => true,
        },
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(%at, "cannot ask who listens: {error}");
            false
        }
    }
}

/// Whether anybody listens there: in this network nobody else can. `diag` is kept from one
/// question to the next, unless one went wrong.
async fn accepts_inside(door: &Door, diag: &mut Option<SockDiag>, at: SocketAddr) -> bool {
    let asked = async {
        if !kernel_tells_who_listens() {
            return not_itself(inside::connect(door, at).await?).map(|_| true);
        }
        let asking = match diag.take() {
            Some(asking) => asking,
            None => inside::sock_diag(door).await?,
        };
        let found = asking.listening(at)?;
        *diag = Some(asking);
        Ok(found.is_some())
    };
    matches!(timeout(CONNECT_TIMEOUT, asked).await, Ok(Ok(true)))
}

/// Found out once, by asking for a listener of our own; said loudly where it is not so.
fn kernel_tells_who_listens() -> bool {
    static TELLS: OnceLock<bool> = OnceLock::new();
    let ask = || -> io::Result<bool> {
        let own = std::net::TcpListener::bind("127.0.0.1:0")?;
        Ok(SockDiag::open()?.listening(own.local_addr()?)?.is_some())
    };
    *TELLS.get_or_init(|| match ask() {
        Ok(true) => true,
        told => {
            tracing::warn!(
                ?told,
                "this kernel does not tell who listens on a port (sock_diag(7), CONFIG_INET_DIAG): \
                 an instance is taken to be ready when anybody accepts on its port"
            );
            false
        }
    })
}

/// Waits until the health path answers 2xx.
pub(crate) async fn healthy(at: &Reached, protocol: Protocol, check: &HealthCheck) {
    while !passes(at, protocol, check).await {
        sleep(PERIOD).await;
    }
}

/// One health check.
pub(crate) async fn passes(at: &Reached, protocol: Protocol, check: &HealthCheck) -> bool {
    matches!(timeout(check.timeout, ask(at, protocol, &check.path)).await, Ok(Ok(true)))
}

async fn ask(at: &Reached, protocol: Protocol, path: &str) -> Result<bool, Failed> {
    let stream = TokioIo::new(connect(at).await?);
    let request = Request::get(path).header(header::USER_AGENT, "tenement-health");
    let response = match protocol {
        Protocol::Http1 => {
            let request = request.header(header::HOST, "localhost");
            let request = request.header(header::CONNECTION, "close");
            over_http1(stream, request.body(Empty::new())?).await?
        }
        Protocol::H2c => {
            // Scheme and host are part of the target (RFC 9113, section 8.3.1).
            let request = request.uri(format!("http://localhost{path}"));
            over_http2(stream, request.body(Empty::new())?).await?
        }
    };
    Ok(response.status().is_success())
}

type Failed = Box<dyn Error + Send + Sync>;
type Check = Request<Empty<Bytes>>;
type Plain = TokioIo<Box<dyn Stream>>;

async fn over_http1(stream: Plain, check: Check) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = http1::handshake(stream).await?;
    // Ends with this check, also where the check is given up.
    let _driving = Watch(tokio::spawn(connection).abort_handle());
    sender.send_request(check).await
}

async fn over_http2(stream: Plain, check: Check) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
    let _driving = Watch(tokio::spawn(connection).abort_handle());
    sender.send_request(check).await
}

/// Either kind of stream.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(at: &Reached) -> io::Result<Box<dyn Stream>> {
    match at.dial() {
        Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Address::Tcp(to) => Ok(Box::new(connect_tcp(to).await?)),
        Address::Private(to) => Ok(Box::new(not_itself(at.socket().await?.connect(to).await?)?)),
    }
}

async fn connect_tcp(to: SocketAddr) -> io::Result<TcpStream> {
    not_itself(TcpStream::connect(to).await?)
}

fn not_itself(stream: TcpStream) -> io::Result<TcpStream> {
    // Inside the ephemeral range an attempt can meet itself (a simultaneous open, RFC 9293,
    // section 3.5) and would keep the instance from binding.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        os::unix::{fs::symlink, net::UnixListener},
    };

    use hyper::{Version, server::conn::http2 as serving, service::service_fn};

    use super::*;

    #[test]
    fn only_a_socket_is_opened_and_never_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let _ours = UnixListener::bind(at("ours")).unwrap();
        assert!(open_socket(CWD, &at("ours")).is_ok());
        symlink(at("ours"), at("link")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        for wrong in ["link", "file", "nothing"] {
            assert!(open_socket(CWD, &at(wrong)).is_err(), "{wrong}");
        }
    }

    /// Answers one connection over HTTP/2: 204 to what it should be asked, else 500.
    async fn serve_http2(listener: tokio::net::UnixListener) {
        let (stream, _) = listener.accept().await.unwrap();
        let answer = async |request: Request<Incoming>| {
            let whole = request.uri() == "http://localhost/health";
            let asked = whole && request.version() == Version::HTTP_2;
            let answer = Response::builder().status(if asked { 204 } else { 500 });
            Ok::<_, Infallible>(answer.body(Empty::<Bytes>::new()).unwrap())
        };
        let server = serving::Builder::new(TokioExecutor::new());
        // Who checks breaks off once it has its answer.
        let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
    }

    #[tokio::test]
    async fn what_speaks_h2c_is_asked_in_http2() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(serve_http2(listener));
        let check = HealthCheck {
            path: "/health".into(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
        };
        let at = Reached { address: Address::Unix(path), by: By::Address };
        assert!(passes(&at, Protocol::H2c, &check).await);
    }
}
