//! Finding out whether an instance is ready, and whether it still is.
//!
//! The kernel tells nobody when a process begins to listen, so we try: once a millisecond
//! while an instance starts, never while it sleeps.

use std::{error::Error, io, time::Duration};

use http_body_util::Empty;
use hyper::{Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use ten_domain::{Address, HealthCheck};
use ten_runtime::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::instance::Watch;

/// Time between two attempts on a starting instance.
const PERIOD: Duration = Duration::from_millis(1);
/// A loopback connection that takes longer than this has met a full backlog; try again.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Waits until one of the places accepts, and says which.
pub(crate) async fn accepting(listener: &Listener) -> Address {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let unix = listener.unix.clone().map(Address::Unix);
        let tcp = listener.tcp.map(Address::Tcp);
        for address in [unix, tcp].into_iter().flatten() {
            if matches!(timeout(CONNECT_TIMEOUT, connect(&address)).await, Ok(Ok(_))) {
                return address;
            }
        }
    }
}

/// Waits until the health path answers 2xx.
pub(crate) async fn healthy(address: &Address, check: &HealthCheck) {
    while !passes(address, check).await {
        sleep(PERIOD).await;
    }
}

/// One health check.
pub(crate) async fn passes(address: &Address, check: &HealthCheck) -> bool {
    matches!(timeout(check.timeout, ask(address, &check.path)).await, Ok(Ok(true)))
}

async fn ask(address: &Address, path: &str) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let stream = TokioIo::new(connect(address).await?);
    let (mut sender, connection) = http1::handshake(stream).await?;
    // Ends with this check, also where the check is given up.
    let _driving = Watch(tokio::spawn(connection).abort_handle());
    let request = Request::get(path)
        .header(header::HOST, "localhost")
        .header(header::USER_AGENT, "tenement-health")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?.status().is_success())
}

/// Either kind of stream.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(address: &Address) -> io::Result<Box<dyn Stream>> {
    match address {
        Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Address::Tcp(to) => {
            let stream = TcpStream::connect(to).await?;
            // Inside the ephemeral range an attempt can meet itself (a simultaneous open,
            // RFC 9293, section 3.5) and would keep the instance from binding.
            if stream.local_addr()? == stream.peer_addr()? {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Ok(Box::new(stream))
        }
    }
}
