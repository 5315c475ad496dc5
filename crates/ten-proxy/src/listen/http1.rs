//! One connection of HTTP/1.0 and HTTP/1.1.

use std::{io, pin::pin, sync::Arc};

use bytes::BytesMut;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

use super::{
    Client,
    course::{Course, HeadTimer},
    socket::ClientSocket,
};
use crate::{Management, Proxy, Upstreams, body::MAX_BUFFER};

/// Headers for which hyper has room without asking for memory; more has to be set.
const HYPER_HEADERS: usize = 100;

/// Serves requests one after the other. `read` is what the client has sent so far.
pub(super) async fn serve<U: Upstreams, M: Management>(
    proxy: Proxy<U, M>,
    mut client: Client,
    read: BytesMut,
) -> hyper::Result<()> {
    let settings = Arc::clone(proxy.settings());
    let guest = Arc::clone(client.place.guest());
    let course = Arc::new(Course::new(Arc::clone(&settings), Arc::clone(&guest)));
    client.course = Some(Arc::clone(&course));
    let mut drain = client.drain.clone();
    let client = Arc::new(client);
    let socket = ClientSocket::new(Arc::clone(&client.stream), Arc::clone(&course), read);
    let timer = HeadTimer(Arc::clone(&course));
    let service = service_fn(move |request| {
        let (proxy, client, course) = (proxy.clone(), Arc::clone(&client), Arc::clone(&course));
        let busy = guest.is_busy();
        async move {
            if !busy {
                // Closed to make room, in the moment in which this request came.
                return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
            }
            let answer = proxy.answer(client, request).await;
            course.answered();
            answer.map_err(|never| match never {})
        }
    });
    let mut http = http1::Builder::new();
    http.timer(timer)
        .header_read_timeout(settings.head_timeout)
        .max_buf_size(MAX_BUFFER.max(settings.max_head_bytes));
    if settings.max_headers > HYPER_HEADERS {
        http.max_headers(settings.max_headers);
    }
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service).with_upgrades());
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
