//! The admin socket: the API for operators on this host, who are known by their uid.

use std::{future::Future, io, os::unix::net};

use axum::Router;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::auth::Peer;

/// Answers on the admin socket for as long as the returned future is polled. Once `stopping`,
/// streams that would never end by themselves do.
///
/// # Errors
///
/// If the listener cannot be registered with the runtime.
pub(crate) fn serve(
    listener: net::UnixListener,
    api: Router,
    stopping: CancellationToken,
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
                    if stopping.is_cancelled() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    })
}

async fn connection(stream: UnixStream, api: Router) {
    let peer = match stream.peer_cred() {
        Ok(credentials) => Peer { uid: credentials.uid() },
        Err(error) => return tracing::warn!("an operator without credentials: {error}"),
    };
    let answer = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        api.clone().call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new());
    // A client that leaves in the middle has nothing to be told.
    if let Err(error) = http.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!("an operator's connection ended: {error}");
    }
}
