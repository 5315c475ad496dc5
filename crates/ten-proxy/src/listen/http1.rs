//! One connection of HTTP/1.0 and HTTP/1.1.

use std::{pin::pin, sync::Arc};

use bytes::BytesMut;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

use super::{
    Client, HEAD_TIMEOUT,
    course::{Course, HeadTimer},
    socket::ClientSocket,
};
use crate::{Management, Proxy, Upstreams, body::MAX_BUFFER};

/// Serves requests one after the other. `read` is what the client has sent so far.
pub(super) async fn serve<U: Upstreams, M: Management>(
    proxy: Proxy<U, M>,
    mut client: Client,
    read: BytesMut,
) -> hyper::Result<()> {
    let course = Arc::<Course>::default();
    client.course = Some(Arc::clone(&course));
    let mut drain = client.drain.clone();
    let client = Arc::new(client);
    let socket = ClientSocket::new(Arc::clone(&client.stream), Arc::clone(&course), read);
    let timer = HeadTimer(Arc::clone(&course));
    let service = service_fn(move |request| {
        let (proxy, client, course) = (proxy.clone(), Arc::clone(&client), Arc::clone(&course));
        async move {
            let answer = proxy.answer(client, request).await;
            course.answered();
            answer
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(timer)
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_BUFFER)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades()
    );
    tokio::select! {
        served = connection.as_mut() => served,
        () = drain.draining() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                served = connection => served,
                () = drain.cut() => Ok(()),
            }
        }
    }
}
