//! A request's way: check → route → gate → forward, and rescue for whatever fails.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::UPGRADE};
use http_body::Body;
use http_body_util::Full;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use ten_domain::{ProxySettings, Route};
use tokio::time::sleep;

use crate::{
    ErrorPages, Lease, Management, Observer, Target, Upstreams,
    body::{Download, Reply, Upload},
    check::{self, BadRequest, BadResponse},
    forward::{self, Connection, Failure},
    headers::{self, Origin},
    listen::{Client, Places},
    pool::{Answer, Returning},
    record::{Observers, Recorded, Recording},
    request_id::RequestIds,
    rescue::{self, Asked, Fault, rescue},
    tunnel::{self, Upgrade},
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

    /// Answers one request, whatever happens; one that is `refused` already, with that alone.
    pub(crate) async fn answer(
        self,
        client: Arc<Client>,
        request: Request<Incoming>,
        refused: Option<Fault>,
    ) -> Result<Response<Recorded<Reply<U::Lease>>>, Infallible> {
        let origin = client.origin(request.headers(), self.settings());
        let id = origin.id().unwrap_or_else(|| self.0.ids.next());
        let asked = Asked::new(&request, id);
        let makes_sense = || !matches!(refused, Some(Fault::BadRequest(_)));
        let (observers, peer) = (&self.0.observers, origin.address);
        let mut recording = Recording::begin(observers, peer, &request, makes_sense, asked.id());
        let answer = match refused {
            Some(fault) => Err(fault),
            None => self.route(client, request, &origin, &asked, &mut recording).await,
        };
        let answer = answer.unwrap_or_else(|fault| {
            recording.own_answer(fault.kind());
            rescue(&fault, &asked, &self.0.pages).map(Reply::Page)
        });
        recording.status(answer.status());
        Ok(answer.map(|body| Recorded::new(body, recording)))
    }

    async fn route(
        &self,
        client: Arc<Client>,
        request: Request<Incoming>,
        origin: &Origin,
        asked: &Asked,
        recording: &mut Recording,
    ) -> Result<Response<Reply<U::Lease>>, Fault> {
        if request.method() == Method::CONNECT {
            return Err(BadRequest::Connect.into());
        }
        let host = check::request(&request, self.0.settings.max_headers)?;
        let routes = self.0.upstreams.routes();
        let target = match routes.resolve(&host, request.uri().path(), None, client.local)? {
            Route::Management => {
                let caller = SocketAddr::new(origin.address, client.peer.port());
                return Ok(Box::pin(self.manage(caller, request, asked.id())).await);
            }
            Route::Instance(instance) => Target::Instance(instance),
            Route::Service(service) => Target::Service(service),
        };
        self.gate(client, request, target, origin, asked, recording).await
    }

    async fn manage(
        &self,
        caller: SocketAddr,
        mut request: Request<Incoming>,
        id: &HeaderValue,
    ) -> Response<Reply<U::Lease>> {
        request.headers_mut().insert(headers::X_REQUEST_ID, id.clone());
        let mut response = self.0.management.call(request, caller).await;
        response.headers_mut().insert(headers::X_REQUEST_ID, id.clone());
        response.map(Reply::Managed)
    }

    /// Leases and forwards, again where that is safe and may help.
    async fn gate(
        &self,
        client: Arc<Client>,
        mut request: Request<Incoming>,
        target: Target,
        origin: &Origin,
        asked: &Asked,
        recording: &mut Recording,
    ) -> Result<Response<Reply<U::Lease>>, Fault> {
        let upgrade = headers::upgrade(&request);
        headers::to_instance(request.headers_mut(), &client.told, asked.id(), upgrade.clone());
        origin.restore(request.headers_mut());
        let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let upgrade =
            upgrade.zip(on_upgrade).map(|(protocol, client)| Upgrade { protocol, client });
        let mut request: Request<Upload> = forward::prepare(request, &self.0.settings);
        recording.passes_on(request.body());
        let (mut leases, mut breaker, mut last) = (0, None::<Breaker>, None::<Fault>);
        loop {
            let lease = match self.0.upstreams.try_lease(&target) {
                Some(lease) => lease,
                None => {
                    if let Some(answer) = self.asleep(&request, &target, asked) {
                        recording.own_answer("asleep-answer");
                        return Ok(answer.map(Reply::Page));
                    }
                    recording.waits();
                    let lease = Box::pin(self.wait(&client, origin, &request, &target)).await;
                    recording.waited();
                    lease?
                }
            };
            leases += 1;
            recording.leased(lease.instance());
            let process = lease.process();
            let proven = breaker == Some(Breaker { process, twice: true });
            if let Some(fault) = last.take_if(|_| proven) {
                asked.failed_at(lease.instance());
                return Err(fault);
            }
            let connection = if breaker.is_none() { Connection::Any } else { Connection::Fresh };
            let has_body = !request.body().is_end_stream();
            let since = recording.clock();
            let sent = tokio::select! {
                biased;
                sent = forward::send(&lease, &client, request, connection) => sent,
                // Without a body, hyper reads on and sees the end itself.
                () = client.gone(), if has_body => return Err(Fault::Gone),
            };
            let fault = match sent {
                Ok((response, returning)) => {
                    recording.head(since);
                    check::response(&response)
                        .inspect_err(|_| asked.failed_at(lease.instance()))?;
                    return reply(response, returning, lease, upgrade, client, recording);
                }
                Err(Failure::Unsent(fault, unsent)) if leases < MAX_LEASES => {
                    lease.report_unreachable();
                    request = unsent;
                    fault
                }
                Err(Failure::Lost(fault, Some(copy)))
                    if leases < MAX_LEASES && breaker.is_none_or(|it| it.process == process) =>
                {
                    let twice = breaker.is_some();
                    if twice {
                        // It is dying, then, and its successor may have the request.
                        lease.report_unreachable();
                    }
                    breaker = Some(Breaker { process, twice });
                    request = copy;
                    fault
                }
                Err(
                    Failure::Unsent(fault, _) | Failure::Lost(fault, _) | Failure::Final(fault),
                ) => {
                    asked.failed_at(lease.instance());
                    return Err(fault);
                }
            };
            let instance = lease.instance();
            tracing::debug!(%instance, fault = &fault as &dyn std::error::Error, "trying again");
            last = Some(fault);
        }
    }

    /// The answer that needs no process, if its service has left one and none runs.
    fn asleep(
        &self,
        request: &Request<Upload>,
        target: &Target,
        asked: &Asked,
    ) -> Option<Response<Full<Bytes>>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let service = self.0.upstreams.service(target)?;
        let answer = service.asleep.answer(request.uri().path())?;
        self.0.upstreams.sleeps(target).then(|| rescue::asleep(answer, asked))
    }

    /// Waits for a lease, for as long as the client does.
    async fn wait(
        &self,
        client: &Client,
        origin: &Origin,
        request: &Request<Upload>,
        target: &Target,
    ) -> Result<U::Lease, Fault> {
        let service = self.0.upstreams.service(target);
        let shown = service.is_some_and(|it| it.waking_page)
            && rescue::is_navigation(request)
            && !self.0.upstreams.runs(target);
        tokio::select! {
            biased;
            lease = self.0.upstreams.lease(target, origin.address) => Ok(lease?),
            () = client.gone() => Err(Fault::Gone),
            // The wake goes on without whoever began it, and the browser comes back.
            () = sleep(WAKING_PAGE_AFTER), if shown => Err(Fault::Waking),
        }
    }
}

/// Turns the head of an instance's answer into the head of ours.
fn reply<L: Lease>(
    response: Response<Answer>,
    returning: Returning,
    lease: L,
    upgrade: Option<Upgrade>,
    client: Arc<Client>,
    recording: &mut Recording,
) -> Result<Response<Reply<L>>, Fault> {
    let (mut head, body) = response.into_parts();
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let chosen = switches.then(|| head.headers.remove(UPGRADE)).flatten();
    headers::to_client(&mut head.headers);
    // An instance may speak HTTP/1.0; the client is answered in its own version.
    head.version = http::Version::HTTP_11;
    if !switches {
        let body = Reply::Forwarded(Download::new(body, returning, lease));
        return Ok(Response::from_parts(head, body));
    }
    let mut upgrade = upgrade.ok_or(BadResponse::Upgrade)?;
    if let Some(chosen) = chosen {
        // The client may have offered several.
        upgrade.protocol = chosen;
    }
    let instance = head.extensions.remove::<OnUpgrade>().ok_or(BadResponse::Upgrade)?;
    headers::announce_upgrade(&mut head.headers, upgrade.protocol.clone());
    tunnel::start(upgrade, instance, client, (lease, recording.tunnel()));
    Ok(Response::from_parts(head, Reply::Page(Full::default())))
}
