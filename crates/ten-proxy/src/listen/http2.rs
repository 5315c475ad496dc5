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

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::header::{COOKIE, HOST};
use http_body::{Body, Frame, SizeHint};
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ten_domain::ProxySettings;
use tokio::{
    task::AbortHandle,
    time::{sleep, sleep_until},
};

use super::{
    Client,
    frame_socket::FrameSocket,
    places::{Guest, dismissed},
    streams::{Allowance, Streams, Verdict},
};
use crate::{
    Management, Proxy, Upstreams,
    body::poll_frame,
    buffer::{self, Buffer},
    check::BadRequest,
    head::{Limits, Request, Version},
    headers::Headers,
    listen::Terms,
    reply::{Reply, ReplyError},
    rescue::Fault,
    upload::Upload,
};

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
    mut client: Client,
    read: BytesMut,
) -> hyper::Result<()> {
    let settings = Arc::clone(proxy.settings());
    let mut drain = client.drain.clone();
    client.multiplexed = true;
    let socket = FrameSocket::new(client.wire(), read, &settings);
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
            let (head, body) = http::Request::into_parts(request);
            let upload = Upload::http2(body, Terms::of(proxy.settings()));
            let (head, refused) = match (as_http1(&head, proxy.settings()), refused) {
                (Ok(head), refused) => (head, refused),
                (Err(fault), _) => (Request::unknown(Version::Http2), Some(fault.into())),
            };
            let reply = proxy.answer(&client, &head, upload, refused).await;
            let answer = reply.to_http2();
            Ok::<_, Infallible>(answer.map(|()| live.watch(Outgoing::new(reply), further)))
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
fn as_http1(head: &http::request::Parts, settings: &ProxySettings) -> Result<Request, BadRequest> {
    let mut text = buffer::take();
    text.extend_from_slice(head.method.as_str().as_bytes());
    text.push(b' ');
    // Any other scheme is left to be refused, with the absolute target that has it.
    let web = matches!(head.uri.scheme_str(), None | Some("http" | "https"));
    let authority = head.uri.authority().filter(|_| web && !head.headers.contains_key(HOST));
    // Where there are both and they differ, that is refused as with an absolute target.
    let target = match (authority, head.uri.path_and_query()) {
        (Some(_), Some(target)) => target.as_str().into(),
        (Some(_), None) => "/".into(),
        (None, _) => head.uri.to_string(),
    };
    text.extend_from_slice(target.as_bytes());
    text.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = authority {
        text.add(b"host", &[authority.as_str().as_bytes()]);
    }
    let mut crumbs = head.headers.get_all(COOKIE).iter();
    if let Some(first) = crumbs.next() {
        let rest = crumbs.flat_map(|crumb| [&b"; "[..], crumb.as_bytes()]);
        let parts: Vec<&[u8]> = [first.as_bytes()].into_iter().chain(rest).collect();
        text.add(b"cookie", &parts);
    }
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != COOKIE) {
        text.add(name.as_str().as_bytes(), &[value.as_bytes()]);
    }
    text.extend_from_slice(b"\r\n");
    let limits = Limits { bytes: usize::MAX, headers: settings.max_headers };
    Request::of_http2(Buffer::of(text), limits)
}

/// An answer as hyper takes it.
struct Outgoing<L> {
    reply: Reply<L>,
    /// The rest of the request goes up by itself: hyper asks for no piece of an answer that its
    /// client does not take.
    _upload: Option<AbortOnDrop>,
    done: bool,
}

impl<L> Outgoing<L> {
    fn new(mut reply: Reply<L>) -> Self {
        let upload = reply.take_upload().map(|mut uploading| {
            let passing = tokio::spawn(poll_fn(move |cx| uploading.poll(cx)));
            AbortOnDrop(passing.abort_handle())
        });
        Self { reply, _upload: upload, done: false }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// No field is ever pinned by way of the whole.
impl<L> Unpin for Outgoing<L> {}

impl<L> Body for Outgoing<L> {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let Self { reply, done, .. } = self.get_mut();
        poll_frame(reply, done, cx)
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.reply.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.reply.left().map_or(SizeHint::default(), SizeHint::with_exact)
    }
}
