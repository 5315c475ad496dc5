//! The front's process: everything that meets the network, and all policy.

use std::{io, path::PathBuf, process::ExitCode};

use ten_config::{ConfigErrors, Source};
use ten_domain::{Config, Isolation, LayoutError, Network, ServiceSpec};
use ten_kernel::Cage;
use ten_proxy::IdentityError;
use ten_store::StoreError;
use ten_warden::{ConnectError, Event};
use tokio::sync::{mpsc, oneshot};

use crate::{
    app::{App, error_pages},
    certificates::Shown,
    serve::{Birth, listed},
};

/// Why a front cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// It was not started by a warden.
    #[error("`ten front` is started by `ten serve`, never by hand")]
    NoWarden(#[source] io::Error),
    /// The warden cannot be understood.
    #[error("cannot talk to the warden")]
    Connect(#[from] ConnectError),
    /// What it was told at birth is not readable.
    #[error("the warden's note to its front cannot be read")]
    Birth(#[source] serde_json::Error),
    /// The config was valid when the server started, and is not any more: a variable of the
    /// environment or an `env_file` has changed.
    #[error("the config is not valid any more:\n{0}")]
    Config(#[source] ConfigErrors),
    /// HTTPS cannot be served with what it could be served with when the server started.
    #[error("cannot use the certificate")]
    Certificate(#[from] IdentityError),
    /// Its folders are no layout any more.
    #[error("the config does not go with this data_dir any more: {}", listed(.0))]
    Layout(Vec<LayoutError>),
    /// The store cannot be used.
    #[error("cannot use the store")]
    Store(#[from] StoreError),
    /// The cage cannot be entered, and outside of it no stranger is met.
    #[error("cannot give up what a front must not have: {0}")]
    Cage(#[source] ten_kernel::Failure),
    /// Something the kernel refused.
    #[error("cannot {what}")]
    Io {
        /// What it refused.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Serves until the warden says to stop, or is gone.
pub fn front() -> Result<ExitCode, FrontError> {
    let io = |what| move |source| FrontError::Io { what, source };
    let socket = ten_kernel::take_given().map_err(FrontError::NoWarden)?;
    // For the fleet, the API and the admin socket. Clients have threads of their own (`Workers`),
    // so that no list of ten thousand instances stands in the way of a request.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io("start the runtime"))?;
    runtime.block_on(async {
        let (boot, warden, events) = ten_warden::connect(socket).await?;
        let birth: Birth = serde_json::from_slice(&boot.note).map_err(FrontError::Birth)?;
        let source = Source::from_text(&birth.config_path, birth.config_text.clone());
        let source = source.map_err(|error| FrontError::Io {
            what: "use the config's folder",
            source: io::Error::other(error),
        })?;
        let config = ten_config::parse(&source, &|name| std::env::var(name).ok());
        let config = config.map_err(FrontError::Config)?;
        let (to_fleet, launches) = mpsc::channel(EVENTS);
        let (terminate, terminated) = oneshot::channel();
        let (to_certificates, shown) = mpsc::channel(SHOWN);
        let mut listening = tokio::spawn(sort(events, to_fleet, to_certificates, terminate));
        let pages = error_pages(config.settings.proxy.error_pages.as_deref());
        let drain = config.settings.proxy.drain_timeout;
        tell_what_is_open(&config);
        encage(&birth)?;
        let heard = Heard { launches, shown };
        let app = App::start(config, birth, pages, boot, warden.clone(), heard).await?;
        // Reading ten thousand instances leaves much behind that is not needed again.
        ten_kernel::give_back_free_heap();
        tokio::select! {
            _ = &mut listening => {
                // Its tenants live on for the next one; we cannot.
                tracing::error!("the warden is gone");
                return Ok(ExitCode::FAILURE);
            }
            Ok(()) = terminated => app.stop(drain).await,
        }
        warden.farewell();
        // Ends once that is said.
        listening.await.map_err(|error| FrontError::Io {
            what: "listen to the warden",
            source: io::Error::other(error),
        })?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What the front reads beside its own folder: random numbers, what its threads may use of the
/// processors, and what instances use of the memory.
const READS: [&str; 3] = ["/dev/urandom", "/proc/self/cgroup", "/sys/fs/cgroup"];

/// What the walls promise and this kernel cannot hold is said, at each start.
fn tell_what_is_open(config: &Config) {
    let shares = |spec: &ServiceSpec| {
        spec.isolation == Isolation::Namespace && spec.network == Network::Host
    };
    let services = config.services.values().filter(|spec| shares(spec));
    let open: Vec<_> = services.map(|spec| spec.name.as_str()).collect();
    if !open.is_empty() && !ten_kernel::closes_abstract_sockets() {
        tracing::warn!(
            services = open.join(", "),
            "this kernel leaves the abstract Unix sockets of instances open to each other (ten doctor)"
        );
    }
}

/// Gives up all that the front does not need, before the first byte of a stranger's. Still the
/// process has one thread, and all later ones are in the cage too.
fn encage(birth: &Birth) -> Result<(), FrontError> {
    if ten_kernel::landlock_abi().is_none() {
        tracing::warn!(
            "this kernel has no Landlock: the front goes without that layer of its cage (ten doctor)"
        );
    }
    let cage = Cage {
        user: birth.front_user,
        home: birth.state_dir.clone(),
        reads: READS.map(PathBuf::from).into(),
    };
    cage.enter().map_err(FrontError::Cage)
}

/// Answers about files on their way. Nobody asks twice before there was one.
const SHOWN: usize = 4;
/// Events on their way to the supervisor. Past this many, the warden's wait in its own queue.
const EVENTS: usize = 1024;

/// What the warden says, for whom it is.
pub(crate) struct Heard {
    /// For the supervisor.
    pub(crate) launches: mpsc::Receiver<Event>,
    /// For whoever serves HTTPS.
    pub(crate) shown: mpsc::Receiver<Shown>,
}

/// Tells apart whom an event is for. Ends with the warden.
async fn sort(
    mut events: mpsc::Receiver<Event>,
    to_fleet: mpsc::Sender<Event>,
    to_certificates: mpsc::Sender<Shown>,
    terminate: oneshot::Sender<()>,
) {
    let mut terminate = Some(terminate);
    while let Some(event) = events.recv().await {
        match event {
            // A front that is stopping already needs no second word.
            Event::Terminate => drop(terminate.take().map(|terminate| terminate.send(()))),
            // Who has given up waiting asks again.
            Event::Shown(shown) => drop(to_certificates.try_send(shown)),
            Event::Reload => tracing::warn!("reloading the config is not supported yet: restart"),
            // The fleet is gone only when the whole front is.
            launch => drop(to_fleet.send(launch).await),
        }
    }
}
