//! One connection of HTTP/1.0 and HTTP/1.1.

use std::{pin::pin, sync::Arc};

use bytes::BytesMut;
use http::Method;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

use super::{
    Client,
    course::{Course, HeadTimer},
    places::dismissed,
    socket::ClientSocket,
};
use crate::{Management, Proxy, Upstreams, body::MAX_BUFFER, rescue::Fault, seldom::Seldom};

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
    let busy = Arc::clone(&guest);
    let service = service_fn(move |request| {
        let (proxy, client, course) = (proxy.clone(), Arc::clone(&client), Arc::clone(&course));
        busy.is_busy();
        async move {
            // Only this method can stand in place of a refused head, and only the last one does.
            let refused = (request.method() == Method::CONNECT).then(|| course.refused()).flatten();
            let answer = proxy.answer(client, request, refused.map(Fault::from)).await;
            course.answered();
            answer
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
    let served = {
        let dismissed = pin!(Seldom::new(dismissed(&guest, &mut drain)));
        tokio::select! {
            biased;
            served = connection.as_mut() => Some(served),
            () = dismissed => None,
        }
    };
    if let Some(served) = served {
        return served;
    }
    tokio::select! {
        biased;
        served = connection.as_mut() => return served,
        () = guest.parts() => {}
        () = drain.cut() => return Ok(()),
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        served = connection => served,
        () = drain.cut() => Ok(()),
    }
}
