//! What this host can do for a config: each thing works or is missing, with what to do.
//!
//! ```text
//! Inquiry ──► kernel, isolation, limits, storage, network, server, services ──► Group of Check
//! ```
//!
//! Wherever that changes nothing, things are tried rather than looked up: real walls are raised,
//! ports are bound, services are planned. What is missing is told in the words with which a start
//! fails, from the types of those failures. Nothing is repaired here, and nothing is printed.

mod isolation;
mod kernel;
mod limits;
mod network;
mod server;
mod storage;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ten_domain::{Config, ServiceSpec};

use crate::Ground;

/// What a start of `ten serve` itself needs, whatever its services are.
const SERVE: &str = "ten serve";

/// What is asked about.
#[derive(Debug)]
pub struct Inquiry<'a> {
    /// The services to be run, where there is a config.
    pub services: Option<(&'a Config, &'a Ground)>,
    /// The data folder. Absolute; it need not exist.
    pub data_dir: &'a Path,
    /// The admin socket of the server.
    pub socket: &'a Path,
    /// Where requests are to be accepted.
    pub listen: &'a [SocketAddr],
    /// Whether HTTPS can be served with its certificate, where it is to be.
    pub certificate: Option<Result<(), Lack>>,
}

/// What is missing, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What.
    pub detail: String,
    /// What to do.
    pub fix: String,
}

/// Checks that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they are about.
    pub name: &'static str,
    /// In the order in which they are best read.
    pub checks: Vec<Check>,
}

/// One thing that this host has or lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The thing.
    pub name: String,
    /// Whether it is there.
    pub verdict: Verdict,
    /// What was found: a version, or why it does not work.
    pub detail: String,
}

/// Whether something is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is, and works as far as `detail` says.
    Works,
    /// It is not.
    Missing {
        /// What to do about it, where that is known.
        fix: Option<String>,
        /// Who cannot do without it; `None`: nobody here.
        needed_by: Option<String>,
    },
}

impl Check {
    fn works(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Works, detail: detail.into() }
    }

    fn missing(name: impl Into<String>, detail: impl Into<String>) -> Self {
        let verdict = Verdict::Missing { fix: None, needed_by: None };
        Self { name: name.into(), verdict, detail: detail.into() }
    }

    fn fix(mut self, how: impl Into<String>) -> Self {
        if let Verdict::Missing { fix, .. } = &mut self.verdict {
            *fix = Some(how.into());
        }
        self
    }

    fn needed_by(mut self, whom: Option<String>) -> Self {
        if let Verdict::Missing { needed_by, .. } = &mut self.verdict {
            *needed_by = whom;
        }
        self
    }

    /// Whether something that was asked for cannot work without it.
    pub fn is_lacking(&self) -> bool {
        matches!(self.verdict, Verdict::Missing { needed_by: Some(_), .. })
    }
}

/// Looks at everything. The calling process must have one thread: it forks.
pub fn examine(inquiry: &Inquiry<'_>) -> Vec<Group> {
    let running = ten_kernel::listener(inquiry.socket);
    let server = running.as_ref().ok().copied();
    let services = Services(inquiry.services.map(|(config, _)| config));
    let group = |name, checks| Group { name, checks };
    vec![
        group("kernel", kernel::checks()),
        group("isolation", isolation::checks(services)),
        group("limits", limits::checks(services, server)),
        group("storage", storage::checks(services, inquiry.data_dir)),
        group("network", network::checks(inquiry.listen, inquiry.certificate.as_ref(), server)),
        group("server", server::checks(services, inquiry.socket, &running)),
        group("services", server::starts(inquiry.services)),
    ]
}

/// Those of the config, where there is one.
#[derive(Debug, Clone, Copy)]
struct Services<'a>(Option<&'a Config>);

impl Services<'_> {
    /// The services that ask for something, as one text.
    fn that(self, asks: impl Fn(&ServiceSpec) -> bool) -> Option<String> {
        let all = self.0.into_iter().flat_map(|config| config.services.values());
        let names: Vec<_> = all.filter(|spec| asks(spec)).map(|spec| spec.name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

/// The file that a program's name means in the PATH of whoever asks.
fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A small file of the kernel's; empty where there is none.
fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The pid of the server, or why there is none.
type Running = io::Result<u32>;

#[cfg(test)]
mod tests;
