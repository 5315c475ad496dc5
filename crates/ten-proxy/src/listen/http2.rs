//! One connection of HTTP/2 (RFC 9113), without TLS by prior knowledge.
//!
//! ```text
//! TcpStream ─▶ FrameSocket (counts frames) ─▶ hyper, h2 ─▶ as_http1 ─▶ Proxy::answer
//!                                                └──◀── Watched (times answers) ◀──┘
//! ```
//!
//! What h2 refuses by itself, and tests hold it to: uppercase and connection-specific headers,
//! doubled or unknown pseudo-headers, lengths that do not fit, heads above a size, endless
//! CONTINUATION, streams that are reset before they are looked at. A client that resets a stream
//! or leaves drops the request with all that it holds. What h2 does not refuse: a fragment in a
//! path, which it drops.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::BytesMut;
use http::{
    HeaderValue, Request, Uri,
    header::{COOKIE, HOST},
};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{sleep, sleep_until};

use super::{
    Client,
    frame_socket::FrameSocket,
    places::{Guest, dismissed},
    streams::{Allowance, Streams, Verdict},
};
use crate::{Management, Proxy, Upstreams, rescue::Fault};

/// Bytes of a request's body that may wait for an instance to take them.
const STREAM_WINDOW: u32 = 256 << 10;
/// Bytes that may wait on all streams of a connection together.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of an answer that may wait for a client to take them, beyond one piece of its body.
const MAX_WAITING: usize = 64 << 10;
/// How long a connection may take to end once that was decided.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Serves requests side by side. `read` is what the client has sent so far, its preface first.
pub(super) async fn serve<U: Upstreams, M: Management>(
    proxy: Proxy<U, M>,
    client: Client,
    read: BytesMut,
) -> hyper::Result<()> {
    let settings = Arc::clone(proxy.settings());
    let mut drain = client.drain.clone();
    let socket = FrameSocket::new(Arc::clone(&client.stream), read, settings.body_timeout);
    let guest = Arc::clone(client.place.guest());
    let client = Arc::new(client);
    let allowance = Allowance { idle: settings.idle_timeout, stall: settings.body_timeout };
    let streams = Streams::new(allowance, Arc::clone(&guest));
    let begun = Arc::clone(&streams);
    let service = service_fn(move |request| {
        let (proxy, client) = (proxy.clone(), Arc::clone(&client));
        // The first of a connection is in the place of the connection.
        let further = (!begun.are_none()).then(|| client.place.further()).transpose();
        let (further, refused) = match further {
            Ok(further) => (further, None),
            Err(crowded) => (None, Some(Fault::Crowded(crowded))),
        };
        let live = begun.begin();
        async move {
            let answer = proxy.answer(client, as_http1(request), refused).await;
            answer.map(|answer| answer.map(|body| live.watch(body, further)))
        }
    });
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(settings.max_streams)
            .max_header_list_size(settings.max_head_bytes as u32)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(MAX_WAITING)
            .keep_alive_interval(settings.idle_timeout)
            .serve_connection(TokioIo::new(socket), service)
    );
    tokio::select! {
        served = connection.as_mut() => return served,
        () = dismissed(&guest, &mut drain) => {}
        () = useless(&streams) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        served = connection => served,
        () = stuck(&streams, &guest) => Ok(()),
        () = drain.cut() => Ok(()),
    }
}

/// Waits until a connection is of no use any more.
async fn useless<B>(streams: &Streams<B>) {
    while let Verdict::Well(again) = streams.judge() {
        sleep_until(again).await;
    }
}

/// Waits until a connection that was told to end gets nowhere. What is asked while it is being
/// told is still answered.
async fn stuck<B>(streams: &Streams<B>, guest: &Guest) {
    loop {
        sleep(LAST_WORDS).await;
        let in_the_way = guest.is_leaving() && streams.are_none();
        if in_the_way || !matches!(streams.judge(), Verdict::Well(_)) {
            return;
        }
    }
}

/// Gives a request the form that it would have had in HTTP/1.1: a `Host`, and one `Cookie`
/// (RFC 9113, sections 8.3.1 and 8.2.3).
fn as_http1(mut request: Request<Incoming>) -> Request<Incoming> {
    // Any other scheme is left for `check` to refuse, with the absolute target that has it.
    let web = matches!(request.uri().scheme_str(), None | Some("http" | "https"));
    if let Some(authority) = request.uri().authority().filter(|_| web) {
        let authority = HeaderValue::from_str(authority.as_str());
        let headers = request.headers_mut();
        // Where there are both and they differ, `check` says so, as of an absolute target.
        if let (Ok(authority), false) = (authority, headers.contains_key(HOST)) {
            headers.insert(HOST, authority);
            let path = request.uri().path_and_query().cloned();
            *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
        }
    }
    let cookies = request.headers().get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let crumbs: Vec<_> = cookies.collect();
    if crumbs.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        request.headers_mut().insert(COOKIE, joined);
    }
    request
}
