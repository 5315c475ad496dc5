//! What a server is started with.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use super::Ten;
use crate::{binaries, history::History, leftovers::Footprint};

/// Stands for the path of the tenant in a config.
const TENANT: &str = "@tenant";

/// How to start a server.
#[derive(Debug)]
pub struct Builder {
    config: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    access_log: Option<PathBuf>,
}

impl Builder {
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
        let Self { args, env, access_log, .. } = self;
        let ten = Ten { folder, path, args, env, access_log, history, footprint, server: None };
        ten.write_config(&config);
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
        Builder { config: config.into(), args: Vec::new(), env: Vec::new(), access_log: None }
    }
}
