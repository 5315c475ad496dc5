//! `ten serve`, the warden's process.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde::{Deserialize, Serialize};
use ten_config::Source;
use ten_proxy::{ErrorPages, ErrorPagesError};
use ten_warden::{FrontCommand, OpenError, Options, Warden, WayOutOptions};

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
    /// The config, valid.
    pub source: Source,
    /// Where everything that must last lives. Absolute.
    pub data_dir: PathBuf,
    /// Where requests arrive.
    pub listen: Vec<SocketAddr>,
    /// The domain under which instances have their hosts.
    pub domain: String,
    /// Whether a service asks for a private network.
    pub private_networks: bool,
    /// The folder with pages in place of ten's own, which every front reads.
    pub error_pages: Option<PathBuf>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The warden cannot have what it needs.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Which boot this is cannot be told.
    #[error("cannot read the boot id of this machine")]
    Boot(#[source] std::io::Error),
    /// The operator's own pages cannot be used.
    #[error("cannot use the error pages")]
    ErrorPages(#[from] ErrorPagesError),
    /// What fronts are told cannot be written down.
    #[error("cannot describe the server to its front")]
    Note(#[source] serde_json::Error),
}

impl ServeError {
    /// What to do about it, where something can be done.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Open(error) => Some(error.remedy()),
            Self::ErrorPages(_) => Some("mend the folder `error_pages`, or remove the key"),
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
    pub(crate) data_dir: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) domain: String,
}

/// Serves until told to stop. The calling process becomes the warden, and must have no
/// other thread.
///
/// # Errors
///
/// Where the data folder or an address is in use, or something cannot be had. Nothing runs then.
pub fn serve(options: ServeOptions) -> Result<ExitCode, ServeError> {
    let ServeOptions { source, data_dir, listen, domain, private_networks, error_pages } = options;
    if let Some(folder) = error_pages {
        ErrorPages::load(&folder)?;
    }
    let boot_id = ten_kernel::procfs::boot_id().map_err(ServeError::Boot)?;
    let run_dir = data_dir.join(RUN_DIR).join(boot_id.get(..8).unwrap_or(&boot_id));
    let birth = Birth {
        config_path: source.path().into(),
        config_text: source.text().into(),
        data_dir: data_dir.clone(),
        run_dir: run_dir.clone(),
        domain,
    };
    let note = serde_json::to_vec(&birth).map_err(ServeError::Note)?;
    let warden = Warden::open(Options {
        run_dir,
        cgroup_name: own_name("tenement", &data_dir),
        way_out: WayOutOptions { device: own_name("ten", &data_dir), expected: private_networks },
        listen,
        admin_socket: data_dir.join(ADMIN_SOCKET),
        front: FrontCommand {
            program: "/proc/self/exe".into(),
            argv: vec!["ten".into(), FRONT_VERB.into()],
        },
        note,
        data_dir,
    })?;
    Ok(warden.run())
}

/// Servers of one host must share neither a folder of cgroups nor a network device. The usual
/// data folder has the plain name; others are told apart by a hash of their path.
fn own_name(prefix: &str, data_dir: &Path) -> String {
    if data_dir == Path::new(DEFAULT_DATA_DIR) {
        return "tenement".into();
    }
    // Keyed with zeros, hence the same in every run; no secret and no promise depends on it.
    let mut hasher = DefaultHasher::new();
    data_dir.hash(&mut hasher);
    format!("{prefix}-{:08x}", hasher.finish() as u32)
}
