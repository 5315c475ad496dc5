//! The least that a proxy made of hyper and tokio costs per request: a reused connection to the
//! upstream, and nothing else. No checks, no routes, no headers of its own, no time limits.
//!
//! What ten costs above this is ten's; what this costs above nginx is the price of the library.

use std::{
    env,
    error::Error,
    fs,
    net::Ipv4Addr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::http1::{SendRequest, handshake},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream, UnixStream};

type Fault = Box<dyn Error + Send + Sync>;

/// An upstream, and the connections to it that nobody uses.
struct Upstream {
    address: String,
    idle: Mutex<Vec<SendRequest<Incoming>>>,
}

/// The only argument is a file with a line for each port: the port, and the upstream's address.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let path = env::args().nth(1).ok_or("whoever starts this names a file")?;
    let mut ports = tokio::task::JoinSet::new();
    for line in fs::read_to_string(path)?.lines() {
        let (port, address) = line.split_once(' ').ok_or("a line is a port and an address")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?)).await?;
        let upstream = Upstream { address: address.into(), idle: Mutex::default() };
        ports.spawn(accept(listener, Arc::new(upstream)));
    }
    ports.join_all().await.into_iter().collect()
}

async fn accept(listener: TcpListener, upstream: Arc<Upstream>) -> Result<(), Fault> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let upstream = Arc::clone(&upstream);
        tokio::spawn(async move {
            let service = service_fn(|request| forward(Arc::clone(&upstream), request));
            let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                eprintln!("a connection broke off: {error}");
            }
        });
    }
}

async fn forward(
    upstream: Arc<Upstream>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Fault> {
    let idle = upstream.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut sender = match idle {
        Some(sender) => sender,
        None => upstream.connect().await?,
    };
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| Answer { body, used: Some((sender, upstream)) }))
}

impl Upstream {
    fn put(&self, sender: SendRequest<Incoming>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
    }

    async fn connect(&self) -> Result<SendRequest<Incoming>, Fault> {
        if self.address.starts_with('/') {
            let (sender, connection) =
                handshake(TokioIo::new(UnixStream::connect(&self.address).await?)).await?;
            tokio::spawn(connection);
            return Ok(sender);
        }
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// An answer on its way, whose connection is idle after it.
struct Answer {
    body: Incoming,
    used: Option<(SendRequest<Incoming>, Arc<Upstream>)>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        let Some((mut sender, upstream)) = self.used.take() else { return };
        if sender.is_ready() {
            upstream.put(sender);
            return;
        }
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                upstream.put(sender);
            }
        });
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
