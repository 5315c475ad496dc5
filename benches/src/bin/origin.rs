//! The upstream of every proxy that is measured: quick, and the same for all.
//!
//! Listens as an instance does, on `SOCKET_PATH` or `127.0.0.1:PORT`, with one thread. All
//! proxies keep their connections to it at the same time, and some make many at once.

use std::{convert::Infallible, env, error::Error, io, net::Ipv4Addr, os::fd::AsFd};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ten_testkit::http::allow_many_files;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};

/// The answer to `/`: as short as those of an API.
const SMALL: Bytes = Bytes::from_static(b"hello from afar\n");
/// The answer to `/10MB`.
static LARGE: [u8; 10_000_000] = [b'x'; 10_000_000];

/// Connections that wait to be accepted; the library's own limits are less than a case has.
const BACKLOG: i32 = 4096;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    allow_many_files();
    let port = env::var("PORT").ok().filter(|_| env::args().any(|arg| arg == "port"));
    match port {
        Some(port) => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?)).await?;
            deepen(&listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(serve(stream));
            }
        }
        None => {
            let listener = UnixListener::bind(env::var("SOCKET_PATH")?)?;
            deepen(&listener)?;
            loop {
                tokio::spawn(serve(listener.accept().await?.0));
            }
        }
    }
}

/// Listening once more changes the backlog alone (listen(2) in Linux).
fn deepen(listener: &impl AsFd) -> io::Result<()> {
    Ok(rustix::net::listen(listener, BACKLOG)?)
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let connection =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
    if let Err(error) = connection.await {
        eprintln!("a connection broke off: {error}");
    }
}

/// Takes what it is sent, whole, and answers.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = match request.uri().path() {
        "/10MB" => Bytes::from_static(&LARGE),
        _ => SMALL,
    };
    let mut upload = request.into_body();
    // What breaks off in the middle ends the connection by itself.
    while let Some(Ok(_)) = upload.frame().await {}
    Ok(Response::new(Full::new(body)))
}
