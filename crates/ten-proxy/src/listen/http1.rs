//! One connection of HTTP/1.0 and HTTP/1.1: one request after the other, each answered before
//! the next is looked at.
//!
//! ```text
//! accepted ──────head_timeout──────▶ closed     (silent, or 408)
//! idle ──idle_timeout──▶ closed
//!   └─first byte──▶ head ──head_timeout──▶ 408, closed
//!                    └─▶ Proxy::answer ──▶ written ──▶ idle, closed, or a tunnel
//! ```
//!
//! All of it is one task, which also reads the connection to the instance: a request wakes no
//! other.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::time::Instant;

use super::{
    Client, Departure,
    linger::Linger,
    patience::{Patience, Terms},
    places::{Guest, dismissed},
    reader::{NoHead, Reader},
};
use crate::{
    Management, Proxy, Upstreams,
    alarm::Alarm,
    body::{Broke, Outgoing, Sink},
    head::Request,
    interim::Interims,
    reply::Reply,
    rescue::Fault,
    seldom::Seldom,
    tunnel,
    upload::{Shelf, Upload},
    wire::Wire,
};

/// Serves requests one after the other. `read` is what the client has sent so far.
pub(super) async fn serve<U: Upstreams, M: Management>(
    proxy: Proxy<U, M>,
    client: Client,
    read: BytesMut,
) -> io::Result<()> {
    let mut drain = client.drain.clone();
    let cut = pin!(Seldom::new(async move { drain.cut().await }));
    tokio::select! {
        biased;
        served = Connection::new(proxy, client, &read).serve() => served,
        () = cut => Ok(()),
    }
}

struct Connection<U, M> {
    proxy: Proxy<U, M>,
    client: Arc<Client>,
    guest: Arc<Guest>,
    /// With us between two requests, and while one without a body is answered.
    reader: Option<Box<Reader>>,
    shelf: Shelf,
    interims: Interims,
    writer: Writer,
    alarm: Alarm,
    /// Ready once the client is to leave.
    dismissal: Option<Pin<Box<Seldom<Dismissal>>>>,
}

type Dismissal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the client sent next.
enum Next {
    Request(Request),
    Refused(Fault),
    /// Nothing more.
    Nothing,
}

/// What becomes of the connection.
enum After {
    Keep,
    Close,
    /// Somebody else has ended it.
    Ended,
}

impl<U: Upstreams, M: Management> Connection<U, M> {
    fn new(proxy: Proxy<U, M>, client: Client, read: &[u8]) -> Self {
        let guest = Arc::clone(client.place.guest());
        let (wire, terms) = (client.wire(), Terms::of(proxy.settings()));
        let (settings, interims) = (proxy.settings(), Interims::default());
        let reader =
            Reader::new(wire.clone(), Arc::clone(&guest), settings, interims.clone(), read);
        let (waiting, mut drain) = (Arc::clone(&guest), client.drain.clone());
        let dismissal: Dismissal = Box::pin(async move { dismissed(&waiting, &mut drain).await });
        Self {
            proxy,
            client: Arc::new(client),
            guest,
            reader: Some(reader),
            shelf: Shelf::default(),
            interims,
            writer: Writer {
                wire,
                terms,
                patience: Patience::default(),
                answers: 0,
                ahead: Vec::new(),
            },
            alarm: Alarm::default(),
            dismissal: Some(Box::pin(Seldom::new(dismissal))),
        }
    }

    async fn serve(mut self) -> io::Result<()> {
        loop {
            let after = match self.next().await? {
                Next::Request(request) => self.exchange(request).await?,
                Next::Refused(fault) => self.refuse(fault).await?,
                Next::Nothing => After::Close,
            };
            match after {
                After::Keep => {}
                After::Ended => return Ok(()),
                After::Close => break,
            }
        }
        let wire = &self.writer.wire;
        let mut linger = Linger::begin();
        poll_fn(|cx| linger.poll(cx, wire)).await
    }

    /// Waits for the next head.
    async fn next(&mut self) -> io::Result<Next> {
        let Some(mut reader) = self.reader.take() else { return Ok(Next::Nothing) };
        let settings = Arc::clone(self.proxy.settings());
        let now = Instant::now();
        self.guest.is_silent(now);
        let mut idle = self.writer.answers > 0;
        let mut end = match idle {
            true => now + settings.idle_timeout,
            false => self.guest.came() + settings.head_timeout,
        };
        let mut parting: Option<Dismissal> = None;
        let next = poll_fn(|cx| {
            if let Poll::Ready(head) = reader.poll_head(cx) {
                return Poll::Ready(match head {
                    Ok(Some(request)) => Ok(Next::Request(request)),
                    Ok(None) => Ok(Next::Nothing),
                    Err(NoHead::Refused(fault)) => Ok(Next::Refused(fault.into())),
                    Err(NoHead::Broken(error)) => Err(error),
                });
            }
            if self.is_dismissed(cx) {
                let guest = &self.guest;
                let parting = parting.get_or_insert_with(|| {
                    let guest = Arc::clone(guest);
                    Box::pin(async move { guest.parts().await })
                });
                if parting.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Ok(Next::Nothing));
                }
            }
            if idle && self.guest.is_heard() {
                (idle, end) = (false, Instant::now() + settings.head_timeout);
            }
            match self.alarm.is_over(end, cx) {
                true if reader.is_in_head() => Poll::Ready(Ok(Next::Refused(Fault::SlowHead))),
                true => Poll::Ready(Ok(Next::Nothing)),
                false => Poll::Pending,
            }
        });
        let next = next.await;
        self.reader = Some(reader);
        next
    }

    /// Whether the client is to leave, at the latest after the request that is under way.
    fn is_dismissed(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(dismissal) = &mut self.dismissal
            && dismissal.as_mut().poll(cx).is_ready()
        {
            self.dismissal = None;
        }
        self.dismissal.is_none()
    }

    /// Answers a head that makes no sense or has no end. What follows it cannot be read.
    async fn refuse(&mut self, fault: Fault) -> io::Result<After> {
        self.guest.is_busy();
        let request = self.reader.as_mut().map(|reader| reader.take_sound()).unwrap_or_default();
        let (client, interims) = (&self.client, &self.interims);
        let fault = Some(fault);
        let mut reply = self.proxy.answer(client, &request, Upload::Empty, interims, fault).await;
        self.write(&request, &mut reply, false).await?;
        Ok(After::Close)
    }

    async fn exchange(&mut self, request: Request) -> io::Result<After> {
        self.guest.is_busy();
        let upload = match &self.reader {
            Some(reader) if !reader.has_whole_body() => {
                let lent = self.reader.take().map(|reader| self.shelf.lend(reader));
                lent.map_or(Upload::Empty, Upload::http1)
            }
            _ => Upload::Empty,
        };
        let mut reply = {
            let (client, interims) = (&self.client, &self.interims);
            interims.begin(request.version);
            // Pinned where it is made: it is large, and would be copied on its way.
            let answer = pin!(self.proxy.answer(client, &request, upload, interims, None));
            self.writer.ahead_of(answer, interims).await?
        };
        let leaves = poll_fn(|cx| Poll::Ready(self.is_dismissed(cx))).await;
        let mut keeps = request.keeps_alive() && !leaves && !reply.closes();
        if self.reader.is_none() {
            // Nobody reads on. Unless the rest is here, the connection ends, and the answer says so.
            self.reader = self.shelf.take();
            keeps &= self.reader.as_mut().is_none_or(|reader| reader.skip_body());
        }
        let kept = self.write(&request, &mut reply, keeps).await?;
        if let Some(switch) = reply.take_switch() {
            let rest = self.reader.take().map(|reader| reader.into_rest()).unwrap_or_default();
            let (wire, drain) = (self.writer.wire.clone(), self.client.drain.clone());
            tunnel::run((wire, rest, self.writer.terms), switch, drain).await;
            return Ok(After::Ended);
        }
        drop(reply);
        if self.reader.is_none() {
            self.reader = self.shelf.take();
        }
        let Some(reader) = self.reader.as_mut().filter(|_| kept) else { return Ok(After::Close) };
        if !reader.skip_body() {
            return Ok(After::Close);
        }
        reader.reuse(request);
        Ok(After::Keep)
    }

    /// Writes an answer; whether another can follow it.
    async fn write(
        &mut self,
        request: &Request,
        reply: &mut Reply<U::Lease>,
        keeps: bool,
    ) -> io::Result<bool> {
        self.writer.answers += 1;
        let unbounded = reply.ends_with_connection(request);
        let (mut head, form, keeps) = reply.begin_http1(request, keeps);
        if !self.writer.ahead.is_empty() {
            head.splice(..0, std::mem::take(&mut self.writer.ahead));
        }
        let mut outgoing = Outgoing::new(head, form);
        let (writer, mut departure) = (&mut self.writer, Departure::of(&self.client));
        let sent = poll_fn(|cx| match outgoing.poll(cx, reply, writer) {
            Poll::Pending => {
                reply.poll_rest(cx).map_err(Broke::Source)?;
                // Where the instance has nothing to say for now, no write shows that it left.
                let gone = || Err(Broke::Sink(io::ErrorKind::ConnectionAborted.into()));
                Pin::new(&mut departure).poll(cx).map(|()| gone())
            }
            sent => sent,
        });
        let sent = sent.await;
        if unbounded && matches!(sent, Err(Broke::Source(_))) {
            // The end of the connection would be the end of the answer.
            self.writer.wire.resets()?;
        }
        sent.map_err(Broke::into_io)?;
        Ok(keeps)
    }
}

/// What a client of HTTP/1 is sent.
struct Writer {
    wire: Wire,
    terms: Terms,
    patience: Patience,
    /// So far.
    answers: u64,
    /// What goes ahead of the next one and was not sent yet.
    ahead: Vec<u8>,
}

impl Writer {
    /// Waits for an answer, and sends what goes ahead of it.
    async fn ahead_of<T>(
        &mut self,
        mut answer: Pin<&mut impl Future<Output = T>>,
        interims: &Interims,
    ) -> io::Result<T> {
        poll_fn(|cx| {
            let answer = answer.as_mut().poll(cx);
            while let Some(interim) = interims.next() {
                interim.to_http1(&mut self.ahead);
            }
            if let Poll::Ready(answer) = answer {
                return Poll::Ready(Ok(answer));
            }
            while !self.ahead.is_empty() {
                match ready!(self.wire.poll_write(cx, &[IoSlice::new(&self.ahead)]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    written => drop(self.ahead.drain(..written)),
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl Sink for Writer {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.wire.poll_write(cx, pieces);
        self.patience.with(self.answers, self.terms, cx, written)
    }
}
