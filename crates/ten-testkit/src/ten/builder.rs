//! What a server is started with.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use super::Ten;
use crate::{binaries, certificate::SETTINGS, history::History, leftovers::Footprint};

/// Stands for the path of the tenant in a config.
const TENANT: &str = "@tenant";

/// How to start a server.
#[derive(Debug)]
pub struct Builder {
    config: String,
    scheme: &'static str,
    /// For which there is a certificate.
    names: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    access_log: Option<PathBuf>,
}

impl Builder {
    /// Has it serve HTTPS, with a certificate for these names.
    pub fn https(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(ToString::to_string).collect();
        self.scheme = "https";
        self.config += SETTINGS;
        self.args.retain(|arg| !arg.starts_with("--port"));
        self
    }

    /// One more argument of `ten serve`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    /// One more variable in the server's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Has its stdout, which is the access log, written to a file instead of to what the test tells.
    pub fn access_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.access_log = Some(path.into());
        self
    }

    /// Starts the server and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it ends or keeps silent instead; the message holds what it said.
    pub fn start(self) -> Ten {
        let mut ten = self.prepare();
        ten.start();
        ten
    }

    /// Writes the config, and starts nothing yet.
    pub fn prepare(self) -> Ten {
        // Tenants of other uids must get through to their folders.
        let open = fs::Permissions::from_mode(0o755);
        let made = tempfile::Builder::new().prefix("ten-").permissions(open).tempdir();
        let folder = made.expect("a temporary folder");
        let path = folder.path().canonicalize().expect("the temporary folder");
        let config = self.config.replace(TENANT, &binaries::tenant_binary().to_string_lossy());
        let footprint = Footprint::new(&path, &config);
        let history = History::new();
        let Self { scheme, names, args, env, access_log, .. } = self;
        let server = None;
        let ten =
            Ten { folder, path, scheme, names, args, env, access_log, history, footprint, server };
        ten.write_config(&config);
        if !ten.names.is_empty() {
            ten.renew_certificate();
        }
        ten
    }
}

impl Ten {
    /// A server with this `tenement.toml`. `@tenant` in it stands for the path of the tenant
    /// that does as it is told. The data dir is given by an argument, not by the config.
    ///
    /// A service that keeps the default `socket` must have a name that no other test uses:
    /// that path is the same for every server of the machine.
    pub fn with_config(config: &str) -> Builder {
        Builder {
            config: config.into(),
            scheme: "http",
            names: Vec::new(),
            args: vec!["--port=0".into()],
            env: Vec::new(),
            access_log: None,
        }
    }
}
