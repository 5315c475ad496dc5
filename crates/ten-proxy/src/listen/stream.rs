//! One request of HTTP/2 and its answer, in a task of its own.
//!
//! ```text
//! head ──▶ Proxy::answer ──▶ head of the answer ──▶ body, piece by piece ──▶ END_STREAM
//!               │ 100, 103 …                           │
//!               └──────────── client resets ───────────┴──▶ all of it is dropped
//! ```
//!
//! A piece is taken of the answer when the client has room for it. Who opens no window for so
//! long that nothing is left of `body_timeout` is reset, and the instance is free.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{
    HeaderMap, StatusCode,
    header::{COOKIE, EXPECT, HOST},
};
use ten_domain::ProxySettings;

use super::{
    Client,
    patience::{Patience, Terms},
    places::{Crowded, Further},
};
use crate::{
    Management, Proxy, Upstreams,
    body::Source,
    buffer::{self, Buffer},
    check::BadRequest,
    head::{Limits, Request},
    headers::{self, Headers},
    interim::{Interim, Interims},
    reply::{Reply, ReplyError},
    rescue::Fault,
    stream::{Inbox, Received, poll_room},
    upload::Upload,
};

/// Largest piece of an answer, in bytes: a frame of the size that every client takes (RFC 9113,
/// section 4.2).
const MAX_PIECE: usize = 16 << 10;

/// Where a request is served.
pub(super) struct Stream<'a, U, M> {
    pub(super) proxy: &'a Proxy<U, M>,
    pub(super) client: &'a Client,
    pub(super) respond: SendResponse<Bytes>,
}

/// Answers a request. One that `has_place` is served in that of its connection; another one gets
/// its own, or that there is none.
pub(super) async fn serve<U: Upstreams, M: Management>(
    mut stream: Stream<'_, U, M>,
    request: http::Request<RecvStream>,
    has_place: bool,
) {
    let settings = stream.proxy.settings();
    let terms = Terms::of(settings);
    let (head, body) = request.into_parts();
    let interims = Interims::default();
    let expects = head
        .headers
        .get(EXPECT)
        .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let invitation = expects.then(|| interims.clone());
    let body = Received::new(body);
    let inbox = body.inbox();
    let upload = Upload::http2(body, terms, invitation);
    let (_further, crowded) = match has_place {
        true => (None, None),
        false => match stream.further(&inbox).await {
            Some(Ok(further)) => (Some(further), None),
            Some(Err(crowded)) => (None, Some(crowded)),
            None => return,
        },
    };
    let (head, fault) = as_http1(&head, settings);
    let refused = fault.map(Fault::BadRequest).or(crowded.map(Fault::Crowded));
    interims.begin(head.version);
    let Some(mut reply) = stream.answer(&head, (upload, &inbox), &interims, refused).await else {
        return;
    };
    let (response, ended) = reply.begin_http2(&head);
    let respond = &mut stream.respond;
    let Ok(to_client) = respond.send_response(response, ended).inspect_err(|error| {
        // The client has left, or the answer has a header that HTTP/2 knows no way to say.
        tracing::debug!(%error, "an answer cannot be sent");
        respond.send_reset(Reason::INTERNAL_ERROR);
    }) else {
        return;
    };
    if ended {
        return;
    }
    let mut sending = Sending { stream: to_client, patience: Patience::default(), terms };
    let sent = poll_fn(|cx| match sending.poll(&mut reply, cx) {
        Poll::Pending => {
            inbox.gather(cx);
            reply.poll_rest(cx).map_err(|error| (Reason::CANCEL, error))?;
            sending.stream.poll_reset(cx).map(|_| Ok(()))
        }
        sent => sent,
    });
    if let Err((reason, error)) = sent.await {
        tracing::debug!(%error, "an answer broke off");
        sending.stream.send_reset(reason);
    }
}

impl<U: Upstreams, M: Management> Stream<'_, U, M> {
    /// Waits for a place. `None`: the client does not.
    async fn further(&mut self, inbox: &Inbox) -> Option<Result<Further, Crowded>> {
        let Self { client, respond, .. } = self;
        let mut further = pin!(client.place.further());
        poll_fn(|cx| {
            inbox.gather(cx);
            match further.as_mut().poll(cx) {
                Poll::Ready(further) => Poll::Ready(Some(further)),
                Poll::Pending => respond.poll_reset(cx).map(|_| None),
            }
        })
        .await
    }

    /// Waits for the answer, and sends what goes ahead of it. `None`: the client does not wait.
    async fn answer(
        &mut self,
        head: &Request,
        (upload, inbox): (Upload, &Inbox),
        interims: &Interims,
        refused: Option<Fault>,
    ) -> Option<Reply<U::Lease>> {
        let respond = &mut self.respond;
        let mut answer = pin!(self.proxy.answer(self.client, head, upload, interims, refused));
        poll_fn(|cx| {
            inbox.gather(cx);
            let answer = answer.as_mut().poll(cx);
            while let Some(interim) = interims.next() {
                send_ahead(respond, &interim);
            }
            match answer {
                Poll::Ready(reply) => Poll::Ready(Some(reply)),
                Poll::Pending => respond.poll_reset(cx).map(|_| None),
            }
        })
        .await
    }
}

fn send_ahead(respond: &mut SendResponse<Bytes>, interim: &Interim) {
    let mut response = http::Response::new(());
    *response.status_mut() = StatusCode::from_u16(interim.status()).unwrap_or_default();
    interim.headers(response.headers_mut());
    if let Err(error) = respond.send_informational(response) {
        tracing::debug!(%error, "something ahead of an answer cannot be sent");
    }
}

/// The body of an answer on its way.
struct Sending {
    stream: SendStream<Bytes>,
    patience: Patience,
    terms: Terms,
}

impl Sending {
    /// Sends what there is. Ready when all was sent, or the client takes no more of it.
    fn poll<L>(
        &mut self,
        reply: &mut Reply<L>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), (Reason, ReplyError)>> {
        loop {
            let data = ready!(reply.poll_data(cx));
            let Some(data) = data.map_err(|error| (Reason::INTERNAL_ERROR, error))? else {
                let mut trailers = HeaderMap::new();
                headers::trailers(reply.trailers(), &mut trailers);
                let sent = match trailers.is_empty() {
                    true => self.stream.send_data(Bytes::new(), true),
                    false => self.stream.send_trailers(trailers),
                };
                let sent = sent.map_err(|error| (Reason::INTERNAL_ERROR, error.into()));
                return Poll::Ready(sent);
            };
            let wanted = data.len().min(MAX_PIECE);
            let mut gone = false;
            let room = poll_room(&mut self.stream, wanted, cx).map(|room| {
                gone = room.is_none();
                io::Result::Ok(room.unwrap_or_default())
            });
            let room = ready!(self.patience.with(1, self.terms, cx, room));
            let room = room.map_err(|error| (Reason::CANCEL, error.into()))?;
            if gone {
                return Poll::Ready(Ok(()));
            }
            let piece = Bytes::copy_from_slice(&data[..room]);
            reply.take(room);
            let last = reply.has_ended();
            let sent = self.stream.send_data(piece, last);
            sent.map_err(|error| (Reason::INTERNAL_ERROR, error.into()))?;
            if last {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Gives a request the form that it would have had in HTTP/1.1: a `Host`, and one `Cookie`
/// (RFC 9113, sections 8.3.1 and 8.2.3); or what can be had of that, and what is wrong with it.
fn as_http1(
    head: &http::request::Parts,
    settings: &ProxySettings,
) -> (Request, Option<BadRequest>) {
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
    let limits = Limits { bytes: settings.max_head_bytes, headers: settings.max_headers };
    Request::of_http2(Buffer::of(text), limits)
}
