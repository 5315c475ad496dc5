//! Finding out whether an instance is ready, and whether it still is.
//!
//! A Unix socket is a file, which the warden sees appear. But the kernel tells nobody when a
//! process begins to listen on a port, so we ask: every millisecond or sooner while an instance
//! starts, less often where many start at once, never while it sleeps. We ask the kernel whose
//! listener it is: a program that took the port before its owner is not believed to be the
//! instance, and no connection is spent on finding out. In a network of its own every listener
//! is the instance's.

use std::{
    error::Error,
    io,
    net::SocketAddr,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net,
    },
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
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
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use ten_domain::{Address, HealthCheck, Protocol};
use ten_kernel::{Door, SockDiag};
use ten_runtime::Listener;
use ten_warden::{LaunchId, WardenHandle};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest},
    net::{TcpSocket, TcpStream, UnixDatagram, UnixStream},
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    inside,
    instance::{Process, Watch},
};

/// The time between two looks at a starting instance is a sixteenth of what it has taken so far,
/// but no less than this …
const SHORTEST: Duration = Duration::from_micros(250);
/// … and no more than this, unless many are looked at.
const LONGEST: Duration = Duration::from_millis(1);
const SHARE: u32 = 16;
/// What is set aside for one look, some four times what it costs: so all who look leave three
/// quarters of a processor to those who start.
const LOOK: Duration = Duration::from_micros(100);
/// A local connection that takes longer than this has met a full backlog; try again.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Where a process may listen, and by what its listener is known to be its own.
#[derive(Debug)]
pub(crate) struct Place {
    listener: Listener,
    cgroup: Option<u64>,
    /// The way in, where it listens in a network of its own.
    door: Option<Arc<Door>>,
    launch: LaunchId,
    warden: WardenHandle,
    socket: watch::Sender<Option<Arc<OwnedFd>>>,
}

impl Place {
    pub(crate) fn of(process: &Process, warden: &WardenHandle) -> Self {
        Self {
            listener: process.listener.clone(),
            cgroup: process.cgroup.as_ref().map(|cgroup| cgroup.id),
            door: process.own_network().cloned(),
            launch: process.launch,
            warden: warden.clone(),
            socket: process.socket.clone(),
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

/// A place that was found to accept, and the connection that showed it, where one did: whoever
/// comes first can use it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) at: Reached,
    pub(crate) by: Option<net::UnixStream>,
}

/// Found in another way, or the connection is closed by now.
impl From<Reached> for Found {
    fn from(at: Reached) -> Self {
        Self { at, by: None }
    }
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
pub(crate) async fn accepting(place: &Place) -> Found {
    // A socket is heard of.
    let looking = place.listener.tcp.map(|_| Looking::begin());
    let mut diag = None;
    let mut search = Search::begin(place);
    loop {
        if let Some(path) = &place.listener.unix
            && let Some(search) = &mut search
            && let Some((socket, connection)) = search.accepting().await
        {
            let at = Reached { address: Address::Unix(path.clone()), by: By::Socket(socket) };
            return Found { at, by: Some(connection) };
        }
        match (place.listener.tcp, &place.door) {
            (Some(at), None) if tcp_accepts(&mut diag, at, place.cgroup).await => {
                return Reached { address: Address::Tcp(at), by: By::Address }.into();
            }
            (Some(at), Some(door)) if accepts_inside(door, &mut diag, at).await => {
                let by = By::Door(Arc::clone(door));
                return Reached { address: Address::Private(at), by }.into();
            }
            _ => {}
        }
        match &mut search {
            None => pause(looking.as_ref()).await,
            Some(search) => tokio::select! {
                () = search.news() => {}
                () = pause(looking.as_ref()) => search.go_on(),
            },
        }
    }
}

async fn pause(looking: Option<&Looking>) {
    match looking {
        Some(looking) => looking.pause().await,
        None => sleep(LONGEST).await,
    }
}

/// One of those who ask about a port again and again.
struct Looking {
    began: Instant,
    /// Finer than the runtime's, which knows milliseconds (timerfd_create(2)). To tokio it is a
    /// descriptor like any other.
    timer: Option<UnixDatagram>,
}

static LOOKING: AtomicU32 = AtomicU32::new(0);

impl Looking {
    fn begin() -> Self {
        LOOKING.fetch_add(1, Relaxed);
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok();
        let timer = timer.and_then(|timer| UnixDatagram::from_std(timer.into()).ok());
        Self { began: Instant::now(), timer }
    }

    /// Until it is time for another look. The more look, the longer it takes: what is spent on
    /// looking is missing where somebody starts.
    async fn pause(&self) {
        let period = (self.began.elapsed() / SHARE).clamp(SHORTEST, LONGEST);
        let period = period.max(LOOK * LOOKING.load(Relaxed));
        tokio::select! {
            () = sleep(period) => {}
            () = self.wake_in(period), if period < LONGEST => {}
        }
    }

    /// Never, where there is no timer to be had: the runtime's will do.
    async fn wake_in(&self, period: Duration) {
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec { tv_sec: 0, tv_nsec: period.subsec_nanos().into() };
        let value = Itimerspec { it_interval: once, it_value: value };
        let set = |timer: &&UnixDatagram| {
            timerfd_settime(timer, TimerfdTimerFlags::empty(), &value).is_ok()
        };
        let Some(timer) = self.timer.as_ref().filter(|timer| set(timer)) else {
            return std::future::pending().await;
        };
        let expired = || Ok(rustix::io::read(timer, &mut [0; size_of::<u64>()])?);
        // Whatever it says, we look.
        let _ = timer.async_io(Interest::READABLE, expired).await;
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        LOOKING.fetch_sub(1, Relaxed);
    }
}

/// The search for the Unix socket of one process. Its folder is closed to us, so the warden looks
/// for it, for as long as this lives.
struct Search<'a> {
    place: &'a Place,
    found: watch::Receiver<Option<Arc<OwnedFd>>>,
    /// What was found did not accept: either it does not yet, or another will take its place.
    in_vain: bool,
}

impl<'a> Search<'a> {
    /// `None` where it has none.
    fn begin(place: &'a Place) -> Option<Self> {
        place.listener.unix.as_ref()?;
        // What was found before is not what is looked for.
        let found = place.socket.subscribe();
        place.warden.seek(place.launch, true);
        Some(Self { place, found, in_vain: false })
    }

    /// One that has been found and accepts, and a connection to it.
    async fn accepting(&mut self) -> Option<(Arc<OwnedFd>, net::UnixStream)> {
        if !self.found.has_changed().unwrap_or(false) {
            return None;
        }
        let socket = self.found.borrow_and_update().clone()?;
        let accepts = UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd()));
        if let Ok(Ok(accepted)) = timeout(CONNECT_TIMEOUT, accepts).await
            && let Ok(connection) = accepted.into_std()
        {
            return Some((socket, connection));
        }
        self.in_vain = true;
        None
    }

    /// Has the warden look again where what it found was of no use. Not at once: it finds at once
    /// what is still there.
    fn go_on(&mut self) {
        if std::mem::take(&mut self.in_vain) {
            self.place.warden.seek(self.place.launch, true);
        }
    }

    /// Waits until there is something to try.
    async fn news(&mut self) {
        // The sender is dropped with the process; whoever waits for that process is then, too.
        if self.found.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.found.mark_changed();
    }
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        self.place.warden.seek(self.place.launch, false);
    }
}

/// Whether its own listener is there. `diag` is kept from one question to the next, unless one
/// went wrong.
async fn tcp_accepts(diag: &mut Option<SockDiag>, at: SocketAddr, cgroup: Option<u64>) -> bool {
    if !kernel_tells_who_listens() {
        return matches!(timeout(CONNECT_TIMEOUT, connect_tcp(at)).await, Ok(Ok(_)));
    }
    let mut ask = || {
        let asking = diag.take().map_or_else(SockDiag::open, Ok)?;
        let found = asking.listening(at)?;
        *diag = Some(asking);
        Ok::<_, io::Error>(found)
    };
    match ask() {
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

/// Whether anybody listens there: in this network nobody else can. `diag` is kept likewise.
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
        sleep(LONGEST).await;
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
    use std::convert::Infallible;

    use hyper::{Version, server::conn::http2 as serving, service::service_fn};

    use super::*;

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
