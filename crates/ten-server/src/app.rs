//! The one place where the front's parts are put together.
//!
//! ```text
//! listeners ─▶ Proxy ─▶ Upstreams ─▶ Fleet ─▶ warden
//!                └────▶ Management ─▶ API ─┤
//! admin socket ─▶ Admin ──────────────▶ API ┘
//! ```

use std::{
    fs::File,
    io,
    net::{SocketAddr, TcpListener},
    os::fd::AsFd,
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustix::{
    net::Shutdown,
    process::{Resource, getrlimit},
};

use ten_domain::{AccessLog, Config, OpenFiles, RouteTable};
use ten_logs::Logs;
use ten_proxy::{
    AccessLogger, Certificates, Door, Drain, DrainSignal, Drained, ErrorPages, Proxy, Workers,
};
use ten_runtime::HostEnvironment;
use ten_store::Store;
use ten_supervisor::{Beginning, Fleet};
use ten_warden::{Boot, LaunchId, WardenHandle};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    FrontError, admin,
    archive::Archives,
    auth::{Auth, Verifier},
    certificates::OwnFiles,
    convert::Site,
    exec,
    front::Heard,
    handlers::{self, Api},
    management::ToApi,
    serve::{Birth, Https, ground},
    upstreams::ToFleet,
};

/// A server at work.
#[derive(Debug)]
pub(crate) struct App {
    fleet: Fleet,
    drain: Drain,
    stopping: CancellationToken,
    /// The listeners once more, to close their ears when serving ends.
    sockets: Vec<TcpListener>,
    admin: JoinHandle<()>,
    access_log: Option<AccessLogger>,
}

impl App {
    /// Builds everything, begins to serve, then spawns what `[instances]` names.
    pub(crate) async fn start(
        config: Config,
        birth: Birth,
        pages: ErrorPages,
        boot: Boot,
        warden: WardenHandle,
        heard: Heard,
    ) -> Result<Self, FrontError> {
        let config = Arc::new(config);
        let store = Store::open(&birth.state_dir)?;
        let io = |what| move |source| FrontError::Io { what, source };
        let logs = Logs::new();
        let ground = ground(&config, &birth, HostEnvironment::default());
        let ground = ground.map_err(FrontError::Layout)?;
        let limit = getrlimit(Resource::Nofile).current;
        let files = OpenFiles(limit.unwrap_or(u64::MAX));
        let beginning = Beginning {
            config: Arc::clone(&config),
            ground,
            warden: warden.clone(),
            next_launch: boot.next_launch,
            living: boot.living,
            known: store.all().await?,
            store: store.clone(),
            keeper: boot.keeper,
            logs: logs.clone(),
            files,
        };
        let fleet = Fleet::start(beginning, heard.launches);

        let addresses: Result<Vec<SocketAddr>, _> =
            boot.listeners.iter().map(|listener| listener.local_addr()).collect();
        let addresses = addresses.map_err(io("read the listeners' addresses"))?;
        let stopping = CancellationToken::new();
        let verifier = Verifier::new(store)
            .map_err(|error| io("get random bytes")(io::Error::other(error)))?;
        let scheme = if birth.https.is_some() { "https" } else { "http" };
        let port = addresses.first().map_or(0, SocketAddr::port);
        let site = Site { scheme, domain: birth.domain.clone(), port };
        let doors = match birth.https {
            None => vec![Door::Plain; addresses.len()],
            Some(Https { certificate, .. }) => {
                let files = OwnFiles::new(certificate, warden, heard.shown)?;
                // The server may have been started long before this front.
                files.look().await;
                doors(Arc::new(files), &addresses)
            }
        };
        let api = handlers::router(Api {
            fleet: fleet.clone(),
            logs,
            archives: Arc::new(Archives::default()),
            commands: Arc::new(Semaphore::new(exec::AT_ONCE)),
            config: Arc::clone(&config),
            site: Arc::new(site),
            auth: Arc::new(Auth::new(birth.operator, verifier)),
            stopping: stopping.clone(),
        });
        let routes = Arc::new(RouteTable::new(&birth.domain, &config));
        let workers = Workers::start().map_err(io("start the threads that serve clients"))?;
        let upstreams = ToFleet::new(fleet.clone(), routes);
        let settings = Arc::new(config.settings.proxy.clone());
        let access_log = access_log(settings.access_log).map_err(io("write the access log"))?;
        let observers = access_log.iter().map(AccessLogger::observer).collect();
        let api_of_clients = ToApi(api.clone());
        let proxy = Proxy::new(upstreams, api_of_clients, workers, settings, pages, observers);
        let (drain, signal) = Drain::new();
        let sockets = boot.listeners.iter().map(TcpListener::try_clone).collect::<Result<_, _>>();
        let sockets = sockets.map_err(io("share the listeners"))?;
        for (listener, door) in boot.listeners.into_iter().zip(doors.clone()) {
            let (proxy, signal): (_, DrainSignal) = (proxy.clone(), signal.clone());
            tokio::spawn(async move {
                if let Err(error) = proxy.serve(listener, door, signal).await {
                    tracing::error!("cannot accept requests: {error}");
                }
            });
        }
        let admin = admin::serve(boot.admin, api).map_err(io("use the admin socket"))?;
        // What is served comes last: whoever waits for that has read the rest.
        for (address, door) in addresses.iter().zip(&doors).rev() {
            let domain = &birth.domain;
            match door {
                Door::Plain => tracing::info!("listening on http://{address} for {domain}"),
                Door::Secure(_) => tracing::info!("listening on https://{address} for {domain}"),
                Door::Moved { port } => {
                    tracing::info!("sending clients of http://{address} to HTTPS on port {port}");
                }
            }
        }
        // A front that takes over finds them as its predecessor, and operators, left them.
        if boot.next_launch == LaunchId::FIRST {
            spawn_configured(&config, &fleet);
        }
        Ok(Self { fleet, drain, stopping, sockets, admin: tokio::spawn(admin), access_log })
    }

    /// Stops accepting, lets requests end for a while, then stops every instance.
    pub(crate) async fn stop(self, drain: Duration) {
        tracing::info!("stopping: waiting for requests in flight, then for instances");
        self.stopping.cancel();
        for socket in &self.sockets {
            // The warden holds it too, so closing it would leave clients in a backlog that
            // nobody serves. This refuses them at once (shutdown(2), on a listening socket).
            if let Err(error) = rustix::net::shutdown(socket, Shutdown::Both) {
                tracing::warn!("clients may wait in vain: {error}");
            }
        }
        if self.drain.drain(drain).await == Drained::Cut {
            tracing::warn!("requests were still in flight after {drain:?} (drain_timeout)");
        }
        self.fleet.shutdown().await;
        self.admin.abort();
        if let Some(log) = self.access_log {
            log.close().await;
        }
        tracing::info!("stopped");
    }
}

/// What the listeners are for where HTTPS is served: one half of them for that, the other to send
/// clients on to it ([`Listen::addresses`](crate::Listen::addresses)).
fn doors(certificates: Arc<dyn Certificates>, addresses: &[SocketAddr]) -> Vec<Door> {
    let https = &addresses[..addresses.len() / 2];
    let moved = https.iter().map(|https| Door::Moved { port: https.port() });
    https.iter().map(|_| Door::Secure(Arc::clone(&certificates))).chain(moved).collect()
}

/// The access log, on the stdout of `ten serve`, which its front has too. ten's own log is on
/// stderr. Written past the standard library's buffer, which would hold lines back.
fn access_log(format: AccessLog) -> io::Result<Option<AccessLogger>> {
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    AccessLogger::start(format, File::from(stdout))
}

/// The pages of the folder, which were fine when `ten serve` began. A front that comes after
/// does not stay away because of them.
pub(crate) fn error_pages(folder: Option<&Path>) -> ErrorPages {
    let pages = folder.map_or_else(|| Ok(ErrorPages::default()), ErrorPages::load);
    pages.unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "errors are told in ten's words");
        ErrorPages::default()
    })
}

/// Spawns what `[instances]` names. One that fails does not stop the others.
fn spawn_configured(config: &Config, fleet: &Fleet) {
    for name in config.instances.clone() {
        let fleet = fleet.clone();
        tokio::spawn(async move {
            if let Err(denied) = fleet.spawn(name.clone(), vec![], true).await {
                tracing::error!(instance = %name, "not spawned: {denied}");
            }
        });
    }
}
