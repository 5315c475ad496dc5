//! What a whole `tenement.toml` means.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use crate::{Backoff, CrashLimit, InstanceName, ProxySettings, ServiceName, ServiceSpec};

/// A valid configuration: every reference in it leads somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The folder of the config file; relative paths start here. Absolute.
    pub folder: PathBuf,
    /// `[settings]`.
    pub settings: Settings,
    /// `[service.*]`, by name.
    pub services: BTreeMap<ServiceName, Arc<ServiceSpec>>,
    /// `[instances]`: spawned once the server listens.
    pub instances: Vec<InstanceName>,
    /// `[routing]`.
    pub routing: Routing,
}

/// `[settings]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where everything that must last lives. Absolute.
    pub data_dir: PathBuf,
    /// Host that keeps the management surface where `[routing]` puts tenants on the domain.
    pub admin_host: Option<String>,
    /// Delays between restarts.
    pub backoff: Backoff,
    /// When restarting ends.
    pub crash_limit: CrashLimit,
    /// How long deleted data can be brought back.
    pub trash_retention: Duration,
    /// How clients are treated.
    pub proxy: ProxySettings,
    /// HTTPS, where there is a certificate for it.
    pub tls: Option<TlsSettings>,
}

/// `[settings.tls]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// Whether it is served, where nobody says otherwise.
    pub enabled: bool,
    /// The port of HTTPS; 0: any free one.
    pub https_port: u16,
    /// The port of plain HTTP, where clients are told to use HTTPS; 0: any free one.
    pub http_port: u16,
    /// The certificates, the server's own first; PEM. Absolute.
    pub cert_file: PathBuf,
    /// The key of the first certificate; PEM. Absolute.
    pub key_file: PathBuf,
}

/// `[routing]`: what hosts other than an instance's own lead to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routing {
    /// What `{domain}` itself serves.
    pub default: Option<ServiceName>,
    /// One more label in front of `{domain}`; lower case.
    pub subdomain: BTreeMap<String, ServiceName>,
    /// Path prefixes on `{domain}`, each with its leading slash and without a trailing one.
    pub path: BTreeMap<String, ServiceName>,
}
