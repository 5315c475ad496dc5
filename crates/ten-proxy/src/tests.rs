//! The data plane over real sockets: raw clients, raw instances, and a fleet in between that
//! gives leases as each test says.

mod access_log;
mod ends;
mod exchange;
mod framing;
mod fuzz;
mod h2c;
mod http2;
mod limits;
mod pages;
mod places;
mod proxied;
mod raw;
mod retry;
mod streaming;
mod tls;
mod tunnels;
mod whole;
mod workers;

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use ten_domain::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{SetOnce, watch},
};

use crate::{
    Door, Drain, ErrorPages, Lease, Management, ManagementBody, Observer, Proxy, Refusal,
    RequestBody, Slot, Target, Upstreams, Workers, files::Files, listen::Places, workers::Seat,
};
use raw::{Wire, header};

/// A request head for the one instance of the tests, without its last line.
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a.api.example.com\r\n";
/// How long a test waits before it fails; never how long it takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Fails the test if `work` does not end.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("took too long")
}

/// What a request for a lease finds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Gate {
    Open,
    Waking,
    Refused(Refusal),
}

/// One process of the instance.
struct Generation {
    address: Address,
    slot: Slot,
}

/// An [`Upstreams`] with one instance, `api:a`.
#[derive(Clone)]
pub(crate) struct Fleet(Arc<FleetState>);

struct FleetState {
    routes: Arc<RouteTable>,
    service: Arc<ServiceSpec>,
    /// The processes still to come; each lease but the last takes one. An address that follows
    /// itself is the same process, leased again.
    generations: Mutex<Vec<Arc<Generation>>>,
    pub(crate) gate: watch::Sender<Gate>,
    waiting: watch::Sender<usize>,
    in_use: watch::Sender<usize>,
    given: watch::Sender<usize>,
    draining: SetOnce<()>,
    unreachable: AtomicUsize,
    /// What the first lease comes with.
    spare: Mutex<Option<UnixStream>>,
    request_timeout: Option<Duration>,
    max_requests: u32,
}

/// Where the sockets are from that leases give: not where the kernel would take them.
pub(crate) const ELSEWHERE: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0);

pub(crate) struct FakeLease {
    name: InstanceName,
    generation: Arc<Generation>,
    fleet: Fleet,
}

impl Lease for FakeLease {
    fn instance(&self) -> &InstanceName {
        &self.name
    }
    fn process(&self) -> u64 {
        // Its place in memory: the test holds every generation to its end.
        std::ptr::from_ref(&*self.generation) as u64
    }
    fn address(&self) -> &Address {
        &self.generation.address
    }
    fn connection(&self) -> Option<UnixStream> {
        self.fleet.0.spare.lock().unwrap().take()
    }
    async fn socket(&self) -> io::Result<TcpSocket> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(ELSEWHERE)?;
        Ok(socket)
    }
    fn protocol(&self) -> Protocol {
        self.fleet.0.service.protocol
    }
    fn request_timeout(&self) -> Option<Duration> {
        self.fleet.0.request_timeout
    }
    fn max_requests(&self) -> u32 {
        self.fleet.0.max_requests
    }
    async fn draining(&self) {
        self.fleet.0.draining.wait().await;
    }
    fn slot(&self) -> &Slot {
        &self.generation.slot
    }
    fn report_unreachable(&self) {
        self.fleet.0.unreachable.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for FakeLease {
    fn drop(&mut self) {
        self.fleet.0.in_use.send_modify(|n| *n -= 1);
    }
}

struct Waiting(Fleet);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.waiting.send_modify(|n| *n -= 1);
    }
}

impl Upstreams for Fleet {
    type Lease = FakeLease;

    fn routes(&self) -> Arc<RouteTable> {
        Arc::clone(&self.0.routes)
    }

    fn try_lease(&self, _: &Target) -> Option<FakeLease> {
        None
    }

    fn service(&self, _: &Target) -> Option<Arc<ServiceSpec>> {
        Some(Arc::clone(&self.0.service))
    }

    fn runs(&self, _: &Target) -> bool {
        *self.0.gate.borrow() == Gate::Open
    }

    fn sleeps(&self, _: &Target) -> bool {
        *self.0.gate.borrow() == Gate::Waking
    }

    async fn lease(&self, _: &Target, _: IpAddr) -> Result<FakeLease, Refusal> {
        self.0.waiting.send_modify(|n| *n += 1);
        let waiting = Waiting(self.clone());
        let gate =
            self.0.gate.subscribe().wait_for(|gate| *gate != Gate::Waking).await.unwrap().clone();
        drop(waiting);
        if let Gate::Refused(refusal) = gate {
            return Err(refusal);
        }
        let mut generations = self.0.generations.lock().unwrap();
        let generation = match generations.len() {
            1 => Arc::clone(&generations[0]),
            _ => generations.remove(0),
        };
        self.0.in_use.send_modify(|n| *n += 1);
        self.0.given.send_modify(|n| *n += 1);
        let name = InstanceName::new("api".parse().unwrap(), "a".parse().unwrap());
        Ok(FakeLease { name, generation, fleet: self.clone() })
    }
}

impl Fleet {
    fn new(protocol: Protocol, addresses: Vec<Address>, request_timeout: Option<Duration>) -> Self {
        assert!(!addresses.is_empty());
        let mut generations: Vec<Arc<Generation>> = Vec::new();
        for address in addresses {
            let again = generations.last().filter(|last| last.address == address).cloned();
            let new = || Arc::new(Generation { address, slot: OnceLock::new() });
            generations.push(again.unwrap_or_else(new));
        }
        let config = config(protocol);
        Self(Arc::new(FleetState {
            routes: Arc::new(RouteTable::new("example.com", &config)),
            service: Arc::clone(&config.services["api"]),
            generations: Mutex::new(generations),
            gate: watch::Sender::new(Gate::Open),
            waiting: watch::Sender::new(0),
            in_use: watch::Sender::new(0),
            given: watch::Sender::new(0),
            draining: SetOnce::new(),
            unreachable: AtomicUsize::new(0),
            spare: Mutex::default(),
            request_timeout,
            max_requests: u32::MAX,
        }))
    }

    /// A lease on its one process.
    pub(crate) async fn any(&self) -> FakeLease {
        let target = Target::Service("api".parse().unwrap());
        self.lease(&target, ELSEWHERE.ip()).await.unwrap()
    }

    /// How often nobody was found to accept.
    pub(crate) fn unreachable(&self) -> usize {
        self.0.unreachable.load(Ordering::SeqCst)
    }

    /// Gives the first lease a connection.
    pub(crate) fn give(&self, spare: UnixStream) {
        *self.0.spare.lock().unwrap() = Some(spare);
    }

    pub(crate) fn set(&self, gate: Gate) {
        self.0.gate.send_replace(gate);
    }

    /// Its one process is to end once nobody uses it.
    pub(crate) fn drain(&self) {
        self.0.draining.set(()).unwrap();
    }

    pub(crate) async fn waiting(&self, want: usize) {
        soon(self.0.waiting.subscribe().wait_for(|n| *n == want)).await.unwrap();
    }

    pub(crate) async fn in_use(&self, want: usize) {
        soon(self.0.in_use.subscribe().wait_for(|n| *n == want)).await.unwrap();
    }

    pub(crate) fn given(&self) -> usize {
        *self.0.given.borrow()
    }

    /// Idle connections kept to the process of the last generation, by the first worker.
    pub(crate) fn pooled(&self) -> usize {
        self.pooled_by(0)
    }

    fn pooled_by(&self, index: usize) -> usize {
        let generations = self.0.generations.lock().unwrap();
        let slot = &generations.last().unwrap().slot;
        crate::pool::Pool::of(slot, self.0.service.protocol, Seat { index, of: 1 }, &Files::new(1))
            .idle()
    }
}

fn config(protocol: Protocol) -> Config {
    let name: ServiceName = "api".parse().unwrap();
    let spec = ServiceSpec {
        startup_timeout: PATIENCE,
        protocol,
        stop_timeout: PATIENCE,
        ..ServiceSpec::plain(name.as_str())
    };
    Config {
        folder: "/".into(),
        settings: Settings {
            data_dir: "/d".into(),
            admin_host: None,
            backoff: Backoff { base: Duration::ZERO, max: Duration::ZERO },
            crash_limit: CrashLimit { max_restarts: 0, window: Duration::ZERO },
            trash_retention: Duration::from_secs(60),
            proxy: ProxySettings::DEFAULT,
            tls: None,
        },
        services: [(name, Arc::new(spec))].into(),
        instances: vec![],
        routing: Routing::default(),
    }
}

/// A management surface that says the path it was asked for, but for `/never`.
#[derive(Clone)]
struct Echo;

impl Management for Echo {
    async fn call(
        &self,
        request: Request<RequestBody>,
        peer: SocketAddr,
    ) -> Response<ManagementBody> {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        let text = format!("management {} {}", request.uri().path(), peer.ip());
        let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
        Response::new(UnsyncBoxBody::new(body))
    }
}

/// A proxy that listens, and its fleet.
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) proxy: SocketAddr,
    pub(crate) places: Arc<Places>,
    pub(crate) drain: Drain,
}

impl World {
    pub(crate) fn before(addresses: Vec<Address>) -> Self {
        Self::with_timeout(addresses, None)
    }

    pub(crate) fn with_timeout(addresses: Vec<Address>, limit: Option<Duration>) -> Self {
        Self::speaking(Protocol::Http1, addresses, limit)
    }

    /// Before processes that speak `protocol`.
    pub(crate) fn speaking(
        protocol: Protocol,
        addresses: Vec<Address>,
        limit: Option<Duration>,
    ) -> Self {
        Self::of(Fleet::new(protocol, addresses, limit), ProxySettings::DEFAULT)
    }

    /// With clients allowed what `settings` say.
    pub(crate) fn allowing(settings: ProxySettings, addresses: Vec<Address>) -> Self {
        Self::of(Fleet::new(Protocol::Http1, addresses, None), settings)
    }

    fn of(fleet: Fleet, settings: ProxySettings) -> Self {
        Self::told(fleet, settings, ErrorPages::default(), vec![])
    }

    /// With errors in the words of `pages`, and with observers.
    fn told(
        fleet: Fleet,
        settings: ProxySettings,
        pages: ErrorPages,
        observers: Vec<Box<dyn Observer>>,
    ) -> Self {
        Self::served_by(Workers::here(), Door::Plain, fleet, settings, pages, observers)
    }

    /// Behind a listener of another kind.
    fn behind(door: Door, settings: ProxySettings, addresses: Vec<Address>) -> Self {
        let fleet = Fleet::new(Protocol::Http1, addresses, None);
        Self::served_by(Workers::here(), door, fleet, settings, ErrorPages::default(), vec![])
    }

    fn served_by(
        workers: Workers,
        door: Door,
        fleet: Fleet,
        settings: ProxySettings,
        pages: ErrorPages,
        observers: Vec<Box<dyn Observer>>,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = listener.local_addr().unwrap();
        let (drain, signal) = Drain::new();
        let settings = Arc::new(settings);
        let serving = Proxy::new(fleet.clone(), Echo, workers, settings, pages, observers);
        let places = Arc::clone(serving.places());
        tokio::spawn(async move { serving.serve(listener, door, signal).await.unwrap() });
        Self { fleet, proxy, places, drain }
    }

    /// Waits until every connection's place is free, which is a moment after its end is read.
    pub(crate) async fn vacant(&self) {
        let vacant = async {
            while self.places.networks() > 0 {
                tokio::task::yield_now().await;
            }
        };
        soon(vacant).await;
    }

    pub(crate) async fn client(&self) -> Wire {
        Wire(TcpStream::connect(self.proxy).await.unwrap())
    }

    /// Sends `request` over a new connection and reads until the proxy closes it.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.client().await;
        client.write(request).await;
        client.rest().await
    }
}

/// An instance: each connection is handled by `serve`, in a task of its own.
pub(crate) async fn instance<F>(serve: impl Fn(Wire) -> F + Send + 'static) -> Address
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(Wire(stream)));
        }
    });
    Address::Tcp(address)
}

/// An instance that answers each request with `answer`, and what it was sent.
pub(crate) async fn answering(answer: &'static str) -> (Address, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let log = Arc::clone(&seen);
    let address = instance(move |mut wire| {
        let log = Arc::clone(&log);
        async move {
            while let Some(request) = wire.request().await {
                log.lock().unwrap().push(request);
                wire.write(answer).await;
            }
        }
    })
    .await;
    (address, seen)
}
