//! `ten serve`, the warden's process.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use ten_config::Source;
use ten_domain::{Config, Layout, LayoutError, Network, TlsSettings};
use ten_proxy::{ErrorPages, ErrorPagesError};
use ten_runtime::{Ground, HostEnvironment};
use ten_warden::{FrontCommand, Keeping, OpenError, Options, Warden, WayOutOptions};

use crate::{
    CertificateError, DataDir, archive::ARCHIVE_VERB, certificates::Pem, planner::Planner, state,
};

/// The hidden verb with which the warden starts the front.
pub const FRONT_VERB: &str = "front";
/// The data folder whose cgroups have the plain name.
const DEFAULT_DATA_DIR: &str = "/var/lib/tenement";
/// Where operators connect, in the data folder.
pub(crate) const ADMIN_SOCKET: &str = "ten.sock";
/// Where ten keeps what lives only as long as a process, a folder for each boot of the
/// machine. No instance id begins with a dot.
const RUN_DIR: &str = ".run";

/// What `ten serve` was told.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The config, and what it means.
    pub source: Source,
    /// What it means.
    pub config: Config,
    /// Where everything that must last lives.
    pub data_dir: DataDir,
    /// Where requests arrive.
    pub listen: Listen,
    /// The domain under which instances have their hosts.
    pub domain: String,
}

/// Where requests arrive, and how.
#[derive(Debug, Clone)]
pub enum Listen {
    /// In plain HTTP.
    Plain(Vec<SocketAddr>),
    /// In HTTPS, and beside it clients of plain HTTP are sent on to that.
    Secure {
        /// On which addresses.
        addresses: Vec<IpAddr>,
        /// With which ports and files.
        tls: TlsSettings,
    },
}

impl Listen {
    /// All of them; those of HTTPS first, and then as many that send clients on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Plain(addresses) => addresses.clone(),
            Self::Secure { addresses, tls } => [tls.https_port, tls.http_port]
                .iter()
                .flat_map(|port| addresses.iter().map(|ip| SocketAddr::new(*ip, *port)))
                .collect(),
        }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The warden cannot have what it needs.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The front's own folder cannot be had.
    #[error("cannot prepare {path}")]
    State {
        /// Where it is to be.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// ten's own would lie where nothing hides it from tenants.
    #[error("{path} is a link, and the walls do not hide what it leads to")]
    Linked {
        /// The link.
        path: PathBuf,
    },
    /// The config's folders are no layout below this data folder.
    #[error("the config does not go with this data_dir: {}", listed(.0))]
    Layout(Vec<LayoutError>),
    /// Which boot this is cannot be told.
    #[error("cannot read the boot id of this machine")]
    Boot(#[source] std::io::Error),
    /// The operator's own pages cannot be used.
    #[error("cannot use the error pages")]
    ErrorPages(#[from] ErrorPagesError),
    /// HTTPS cannot be served.
    #[error("cannot serve HTTPS")]
    Certificate(#[from] CertificateError),
    /// What fronts are told cannot be written down.
    #[error("cannot describe the server to its front")]
    Note(#[source] serde_json::Error),
}

impl ServeError {
    /// What to do about it, where something can be done.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Open(error) => Some(error.remedy()),
            Self::Certificate(error) => Some(error.remedy()),
            Self::ErrorPages(_) => Some("mend the folder `error_pages`, or remove the key"),
            Self::State { .. } => Some(
                "run ten as the user that owns data_dir, or name another one; of two databases, \
                 remove the one that is not meant; a root who has not all users (in a container \
                 with a user namespace) runs it as an ordinary user",
            ),
            Self::Linked { .. } => Some("put in its place what it leads to, or mount that there"),
            Self::Layout(_) => Some("begin these variables with {instance_dir}"),
            Self::Boot(_) | Self::Note(_) => None,
        }
    }
}

/// What every front is told at birth: enough to be the same server as its predecessor,
/// whatever has become of the config file meanwhile.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Birth {
    pub(crate) config_path: PathBuf,
    pub(crate) config_text: String,
    pub(crate) data_dir: DataDir,
    pub(crate) run_dir: PathBuf,
    /// The folder that is the front's own.
    pub(crate) state_dir: PathBuf,
    /// Whom it belongs to where ten is root.
    pub(crate) front_user: u32,
    /// As whom `ten serve` was started.
    pub(crate) operator: u32,
    pub(crate) domain: String,
    /// Where HTTPS is served, with what.
    pub(crate) https: Option<Https>,
}

/// HTTPS as it was when the server started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Https {
    pub(crate) certificate: Pem,
    key_file: PathBuf,
}

/// Serves until told to stop. The calling process becomes the warden, and must have no
/// other thread.
///
/// # Errors
///
/// Where the data folder or an address is in use, or something cannot be had. Nothing runs then.
pub fn serve(options: ServeOptions) -> Result<ExitCode, ServeError> {
    let ServeOptions { source, config, data_dir, listen, domain } = options;
    if let Some(folder) = &config.settings.proxy.error_pages {
        ErrorPages::load(folder)?;
    }
    let addresses = listen.addresses();
    let (https, shown) = match listen {
        Listen::Plain(_) => (None, vec![]),
        Listen::Secure { tls, .. } => {
            let https = Https { certificate: Pem::read(&tls)?, key_file: tls.key_file.clone() };
            (Some(https), vec![tls.cert_file, tls.key_file])
        }
    };
    if let Some(path) = data_dir.link() {
        return Err(ServeError::Linked { path });
    }
    let birth_dir = data_dir.clone();
    let data_dir = data_dir.path().to_owned();
    let boot_id = ten_kernel::procfs::boot_id().map_err(ServeError::Boot)?;
    let run_dir = data_dir.join(RUN_DIR).join(boot_id.get(..8).unwrap_or(&boot_id));
    let state_failed = |source| ServeError::State { path: state::folder(&data_dir), source };
    let state_dir = state::prepare(&data_dir).map_err(state_failed)?;
    state::close(&data_dir, &config).map_err(state_failed)?;
    state::hand_over(&data_dir).map_err(state_failed)?;
    let birth = Birth {
        config_path: source.path().into(),
        config_text: source.text().into(),
        data_dir: birth_dir,
        run_dir: run_dir.clone(),
        state_dir,
        front_user: state::user(&data_dir),
        operator: ten_kernel::own_uid(),
        domain,
        https,
    };
    let note = serde_json::to_vec(&birth).map_err(ServeError::Note)?;
    let services = config.services.values().map(AsRef::as_ref);
    let environment = HostEnvironment::new(std::env::vars_os()).knowing_users_of(services);
    let private_networks = private_networks(&config);
    let ground = ground(&config, &birth, environment).map_err(ServeError::Layout)?;
    let planner: Arc<dyn ten_warden::Planner> = Arc::new(Planner { ground, config });
    let warden = Warden::open(Options {
        run_dir,
        cgroup_name: own_name("tenement", &data_dir),
        way_out: WayOutOptions { device: own_name("ten", &data_dir), expected: private_networks },
        listen: addresses,
        admin_socket: data_dir.join(ADMIN_SOCKET),
        front: own(FRONT_VERB),
        front_group: ten_kernel::is_root().then_some(birth.front_user),
        keeping: Keeping {
            data_dir: data_dir.clone(),
            planner: Arc::clone(&planner),
            scratch: birth.run_dir.join("archives"),
            archiver: own(ARCHIVE_VERB),
        },
        note,
        shown,
        planner,
        data_dir,
    })?;
    Ok(warden.run())
}

/// Whether a service asks for one.
fn private_networks(config: &Config) -> bool {
    config.services.values().any(|spec| matches!(spec.network, Network::Private { .. }))
}

/// This same binary with a hidden verb, even if its file was replaced meanwhile.
fn own(verb: &str) -> FrontCommand {
    let argv = vec!["ten".into(), verb.into()];
    FrontCommand { program: "/proc/self/exe".into(), argv }
}

/// What all launches of a server have in common. The front plans nothing, and needs no environment.
pub(crate) fn ground(
    config: &Config,
    birth: &Birth,
    environment: HostEnvironment,
) -> Result<Ground, Vec<LayoutError>> {
    let services = config.services.values().map(AsRef::as_ref);
    Ok(Ground {
        folder: config.folder.clone(),
        data_dir: birth.data_dir.path().into(),
        run_dir: birth.run_dir.clone(),
        environment,
        key_file: birth.https.as_ref().map(|https| https.key_file.clone()),
        layout: Layout::of(services, &birth.data_dir.names())?,
    })
}

/// All that is wrong, on one line.
pub(crate) fn listed(errors: &[LayoutError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Servers of one host must share neither a folder of cgroups nor a network device. The usual
/// data folder has the plain name; others are told apart by a hash of their path.
fn own_name(prefix: &str, data_dir: &Path) -> String {
    if DataDir::at(Path::new(DEFAULT_DATA_DIR)).is_ok_and(|usual| usual.path() == data_dir) {
        return "tenement".into();
    }
    format!("{prefix}-{:08x}", state::hash(data_dir) as u32)
}
