//! The admin socket: the API for operators on this host, who are known by their uid.

use std::{future::Future, io, os::unix::net, time::Duration};

use axum::Router;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tower_service::Service as _;

use crate::auth::Peer;

/// How long accepting rests after an error. What is missing (a descriptor, memory) comes
/// back when anyone gives it back, and the kernel has no event for that.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers on the admin socket for as long as the returned future is polled.
///
/// # Errors
///
/// If the listener cannot be registered with the runtime.
pub(crate) fn serve(
    listener: net::UnixListener,
    api: Router,
) -> io::Result<impl Future<Output = ()>> {
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    Ok(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(connection(stream, api.clone()));
                }
                Err(error) => {
                    tracing::warn!("cannot accept an operator's connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

async fn connection(stream: UnixStream, api: Router) {
    let peer = match stream.peer_cred() {
        // Our own data plane must never be talked into speaking to us as an operator.
        Ok(credentials) if credentials.pid() == Some(std::process::id().cast_signed()) => {
            return tracing::error!("the front connected to its own admin socket: refused");
        }
        Ok(credentials) => Peer { uid: credentials.uid() },
        Err(error) => return tracing::warn!("an operator without credentials: {error}"),
    };
    let answer = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        api.clone().call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new());
    // A command inside an instance takes the connection over.
    let served = http.serve_connection(TokioIo::new(stream), answer).with_upgrades();
    // A client that leaves in the middle has nothing to be told.
    if let Err(error) = served.await {
        tracing::debug!("an operator's connection ended: {error}");
    }
}
