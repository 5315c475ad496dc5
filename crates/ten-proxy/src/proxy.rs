//! A request's way: check → route → gate → forward, and rescue for whatever fails.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::Full;
use ten_domain::{ProxySettings, Route};
use tokio::time::sleep;

use crate::{
    ErrorPages, Lease, Management, Observer, Target, Upstreams,
    check::{self, Aim, BadRequest, BadResponse},
    forward::{self, Connection, Failure, Message},
    head::{Name, Request, Response},
    headers::{self, Origin, Told},
    interim::Interims,
    listen::{Channel, Client, Departure, Places},
    pool::{Answered, Pool},
    record::{Observers, Recording},
    reply::{Download, Reply},
    request_id::{RequestId, RequestIds},
    rescue::{self, Asked, Fault, rescue},
    tunnel::Switch,
    upload::{RequestBody, Upload},
    workers::Workers,
};

/// Most leases that one request uses. The first may lead to a process that has just died; the
/// second to one that dies as it starts; then the instance is at fault, not the moment.
const MAX_LEASES: usize = 3;
/// How long a browser waits for a wake before it is shown so, where its service wants that. Most
/// wakes are over by then, and what a visitor waits for longer needs a word (SPEC 5).
const WAKING_PAGE_AFTER: Duration = Duration::from_secs(1);

/// A process that had a request and broke off. A request is sent to one process twice at most,
/// the second time over a new connection, and to two processes at most: what one breaks off may
/// be the fault of the moment or the connection, what two break off is the request's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Breaker {
    process: u64,
    twice: bool,
}

/// The data plane. Cheap to clone; clones share one bound on connections.
pub struct Proxy<U, M>(Arc<Parts<U, M>>);

struct Parts<U, M> {
    upstreams: U,
    management: M,
    places: Arc<Places>,
    ids: RequestIds,
    workers: Workers,
    settings: Arc<ProxySettings>,
    pages: ErrorPages,
    observers: Observers,
}

impl<U, M> Clone for Proxy<U, M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<U: Upstreams, M: Management> Proxy<U, M> {
    /// A data plane that leases instances from `upstreams` and leaves requests for ten
    /// itself to `management`, at work on `workers`, as `settings` allow. What goes wrong is
    /// told in the words of `pages`, and `observers` are told of everything.
    pub fn new(
        upstreams: U,
        management: M,
        workers: Workers,
        settings: Arc<ProxySettings>,
        pages: ErrorPages,
        observers: Vec<Box<dyn Observer>>,
    ) -> Self {
        let places = Places::new(&settings);
        let (ids, observers) = (RequestIds::new(), observers.into());
        let parts =
            Parts { upstreams, management, places, ids, workers, settings, pages, observers };
        Self(Arc::new(parts))
    }

    /// What clients are allowed.
    pub(crate) fn settings(&self) -> &Arc<ProxySettings> {
        &self.0.settings
    }

    /// The places for connections.
    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.0.places
    }

    /// Who serves the clients.
    pub(crate) fn workers(&self) -> &Workers {
        &self.0.workers
    }

    /// Answers one request, whatever happens; one that is `refused` already, with that alone. What
    /// the client is to be told before is in `interims` after each step.
    pub(crate) async fn answer(
        &self,
        client: &Client,
        request: &Request,
        upload: Upload,
        interims: &Interims,
        refused: Option<Fault>,
    ) -> Reply<U::Lease> {
        let origin = client.origin(&request.fields, self.settings());
        let given = || origin.id().map(|id| RequestId::Given(id.into()));
        let id = given().unwrap_or_else(|| self.0.ids.next());
        let asked = Asked::new(request, &id, !upload.is_empty());
        let peer = origin.address;
        let mut recording = Recording::begin(&self.0.observers, peer, request, &id);
        let (origin, asked) = (&origin, &asked);
        let exchange = Serving { proxy: self, client, request, origin, asked, interims };
        let answer = match refused {
            Some(fault) => Err(fault),
            None => exchange.route(upload, &mut recording).await,
        };
        let reply = answer.unwrap_or_else(|fault| {
            recording.own_answer(fault.kind());
            Reply::page(rescue(&fault, asked, &self.0.pages))
        });
        reply.recorded(recording)
    }
}

/// One request on its way.
struct Serving<'a, U, M> {
    proxy: &'a Proxy<U, M>,
    client: &'a Client,
    request: &'a Request,
    origin: &'a Origin,
    asked: &'a Asked<'a>,
    interims: &'a Interims,
}

impl<U: Upstreams, M: Management> Serving<'_, U, M> {
    fn upstreams(&self) -> &U {
        &self.proxy.0.upstreams
    }

    async fn route(
        &self,
        upload: Upload,
        recording: &mut Recording,
    ) -> Result<Reply<U::Lease>, Fault> {
        let aim = check::request(self.request)?;
        let name = match &self.client.channel {
            Channel::Plain => None,
            Channel::Secure { name } => name.as_deref(),
            Channel::Moved { port } => {
                recording.own_answer("https");
                return Ok(Reply::page(rescue::moved(&aim, *port, self.asked)?));
            }
        };
        let routes = self.upstreams().routes();
        let target = match routes.resolve(&aim.host, aim.path(), name, self.client.local)? {
            Route::Management => return Box::pin(self.manage(&aim, upload)).await,
            Route::Instance(instance) => Target::Instance(instance),
            Route::Service(service) => Target::Service(service),
        };
        drop(routes);
        self.gate(&aim, upload, target, recording).await
    }

    async fn manage(&self, aim: &Aim<'_>, upload: Upload) -> Result<Reply<U::Lease>, Fault> {
        let id = self.asked.id().to_header();
        let caller = SocketAddr::new(self.origin.address, self.client.peer.port());
        let mut request = http::Request::new(RequestBody::new(upload));
        // Both were held to what they may consist of.
        *request.method_mut() =
            Method::from_bytes(self.request.method()).map_err(|_| BadRequest::RequestLine)?;
        *request.uri_mut() = aim.target().concat().parse().map_err(|_| BadRequest::Target)?;
        let headers: &mut HeaderMap = request.headers_mut();
        for field in self.request.fields.iter().filter(|field| field.known != Name::Claim) {
            headers::Headers::add(headers, field.name, &[field.value]);
        }
        headers.insert(headers::X_REQUEST_ID, id.clone());
        let mut response = tokio::select! {
            biased;
            response = self.proxy.0.management.call(request, caller) => response,
            () = Departure::of(self.client) => return Err(Fault::Gone),
        };
        response.headers_mut().insert(headers::X_REQUEST_ID, id);
        Ok(Reply::managed(response))
    }

    /// Leases and forwards, again where that is safe and may help.
    async fn gate(
        &self,
        aim: &Aim<'_>,
        mut upload: Upload,
        target: Target,
        recording: &mut Recording,
    ) -> Result<Reply<U::Lease>, Fault> {
        let (client, request) = (self.client, self.request);
        let upgrade = headers::upgrade(request, !upload.is_empty());
        let id = self.asked.id().as_str().as_bytes();
        let told = Told { peer: &client.told, origin: self.origin, id };
        let message = Message { request, aim, told, upgrade, interims: self.interims };
        recording.passes_on(&upload);
        let (mut leases, mut breaker, mut last) = (0, None::<Breaker>, None::<Fault>);
        loop {
            let lease = match self.upstreams().try_lease(&target) {
                Some(lease) => lease,
                None => {
                    if let Some(answer) = self.asleep(aim, &target) {
                        recording.own_answer("asleep-answer");
                        return Ok(Reply::page(answer));
                    }
                    recording.waits();
                    let lease = Box::pin(self.wait(&target)).await;
                    recording.waited();
                    lease?
                }
            };
            leases += 1;
            recording.leased(lease.instance());
            let process = lease.process();
            let proven = breaker == Some(Breaker { process, twice: true });
            if let Some(fault) = last.take_if(|_| proven) {
                self.asked.failed_at(lease.instance());
                return Err(fault);
            }
            let connection = if breaker.is_none() { Connection::Any } else { Connection::Fresh };
            let since = recording.clock();
            let sent = tokio::select! {
                biased;
                sent = forward::send(&lease, client, &message, upload, connection) => sent,
                () = Departure::of(client) => return Err(Fault::Gone),
            };
            let fault = match sent {
                Ok((answered, pool)) => {
                    recording.head(since);
                    let switched = switched(&answered.head, upgrade);
                    let switched = switched.inspect_err(|_| {
                        self.asked.failed_at(lease.instance());
                    })?;
                    return reply(answered, pool, lease, switched).map_err(Fault::from);
                }
                Err(Failure::Unsent(fault, unsent)) if leases < MAX_LEASES => {
                    lease.report_unreachable();
                    upload = unsent;
                    fault
                }
                Err(Failure::Lost(fault, true))
                    if leases < MAX_LEASES && breaker.is_none_or(|it| it.process == process) =>
                {
                    let twice = breaker.is_some();
                    if twice {
                        // It is dying, then, and its successor may have the request.
                        lease.report_unreachable();
                    }
                    breaker = Some(Breaker { process, twice });
                    upload = Upload::Empty;
                    fault
                }
                Err(
                    Failure::Unsent(fault, _) | Failure::Lost(fault, _) | Failure::Final(fault),
                ) => {
                    self.asked.failed_at(lease.instance());
                    return Err(fault);
                }
            };
            let instance = lease.instance();
            tracing::debug!(%instance, fault = &fault as &dyn std::error::Error, "trying again");
            last = Some(fault);
        }
    }

    /// The answer that needs no process, if its service has left one and none runs.
    fn asleep(&self, aim: &Aim<'_>, target: &Target) -> Option<http::Response<Full<Bytes>>> {
        if !matches!(self.request.method(), b"GET" | b"HEAD") {
            return None;
        }
        let service = self.upstreams().service(target)?;
        let answer = service.asleep.answer(aim.path())?;
        self.upstreams().sleeps(target).then(|| rescue::asleep(answer, self.asked))
    }

    /// Waits for a lease, for as long as the client does.
    async fn wait(&self, target: &Target) -> Result<U::Lease, Fault> {
        let upstreams = self.upstreams();
        let service = upstreams.service(target);
        let shown = service.is_some_and(|it| it.waking_page)
            && rescue::is_navigation(self.request)
            && !upstreams.runs(target);
        tokio::select! {
            biased;
            lease = upstreams.lease(target, self.origin.address) => Ok(lease?),
            () = self.client.gone() => Err(Fault::Gone),
            // The wake goes on without whoever began it, and the browser comes back.
            () = sleep(WAKING_PAGE_AFTER), if shown => Err(Fault::Waking),
        }
    }
}

/// The protocol that an instance switches to, if it does. Nothing else than was `offered` may
/// follow on the connection.
fn switched(head: &Response, offered: Option<&[u8]>) -> Result<Option<Vec<u8>>, BadResponse> {
    if head.status != 101 {
        return Ok(None);
    }
    let offered = offered.ok_or(BadResponse::Upgrade)?;
    // The client may have offered several.
    let chosen = head.fields.all(Name::Upgrade).next().unwrap_or(offered);
    let all_offered = headers::tokens(chosen).all(|it| headers::has_token(offered, it));
    if all_offered { Ok(Some(chosen.to_vec())) } else { Err(BadResponse::Upgrade) }
}

/// Makes an instance's answer ours.
fn reply<L: Lease>(
    answered: Answered,
    pool: Pool,
    lease: L,
    switched: Option<Vec<u8>>,
) -> Result<Reply<L>, BadResponse> {
    let Answered { head, answer, uploading } = answered;
    let Some(protocol) = switched else {
        return Ok(Reply::passed(head, Download::new(answer, uploading, pool, lease)));
    };
    let (socket, rest, counted) = answer.into_tunnel().ok_or(BadResponse::Upgrade)?;
    let recording = Recording::default();
    let switch = Switch { protocol, socket, rest, counted, recording, lease };
    Ok(Reply::switched(head, switch))
}
