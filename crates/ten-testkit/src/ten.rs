//! A real `ten serve` in a folder of its own, from start to the check that nothing is left.

mod builder;
mod client;

pub use builder::Builder;
pub use client::CliOutput;

use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    certificate,
    history::History,
    leftovers::Footprint,
    process::{self, Process},
    wait,
};

/// What comes before the scheme and the address in the line that says that the server is ready.
const ANNOUNCEMENT: &str = "listening on ";

/// How long a server may take to announce itself. Generous: other tests use the machine too.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// How long a server may take to stop: a tenant's `stop_timeout` (10 s by default) and more.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// How long the kernel may take to finish off what a stopped server has killed.
const LEFTOVER_DEADLINE: Duration = Duration::from_secs(1);

/// A server with its folder. Dropping it stops it, checks that nothing is left, and fails
/// the test otherwise; where the test has failed already it tells what happened.
#[derive(Debug)]
pub struct Ten {
    folder: TempDir,
    path: PathBuf,
    /// Of the server's URLs.
    scheme: &'static str,
    names: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    access_log: Option<PathBuf>,
    history: History,
    footprint: Footprint,
    server: Option<Server>,
}

#[derive(Debug)]
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Ten {
    /// Starts the server, which must not run, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it ends or keeps silent instead.
    pub fn start(&mut self) {
        assert!(self.server.is_none(), "the server runs already");
        let from = self.history.len();
        let data_dir = self.data_dir();
        let mut child = self
            .command()
            .args(["serve", "--bind", "127.0.0.1", "--data-dir"])
            .arg(&data_dir)
            .arg("--config")
            .arg(self.config_path())
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(match &self.access_log {
                Some(path) => fs::File::create(path).expect("a file").into(),
                None => Stdio::piped(),
            })
            .stderr(Stdio::piped())
            .spawn()
            .expect("ten starts");
        self.history.add("test", format_args!("starts ten serve as {}", child.id()));
        if let Some(stdout) = child.stdout.take() {
            self.history.add_lines("ten", stdout);
        }
        self.history.add_lines("ten", child.stderr.take().expect("piped"));
        let address = self.announced(&mut child, from);
        self.footprint.add_port(address.port());
        self.server = Some(Server { child, address });
    }

    fn announced(&self, child: &mut Child, from: usize) -> SocketAddr {
        let end = Instant::now() + START_DEADLINE;
        while Instant::now() < end {
            let slice = Instant::now() + Duration::from_millis(20);
            if let Some(address) = self.history.wait_for(from, slice, announced_address) {
                return address;
            }
            if let Some(status) = child.try_wait().expect("our child") {
                panic!("ten serve ended with {status} instead of listening");
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        panic!("ten serve did not listen within {START_DEADLINE:?}");
    }

    /// Stops the server as an init system would, and checks that nothing is left. Does
    /// nothing where it does not run.
    ///
    /// # Panics
    ///
    /// When it does not stop in time or cleanly, or leaves something.
    pub fn stop(&mut self) {
        let left = self.stop_and_look();
        assert!(left.is_empty(), "left after stop:\n  {}", left.join("\n  "));
    }

    fn stop_and_look(&mut self) -> Vec<String> {
        self.footprint.note();
        let Some(Server { mut child, .. }) = self.server.take() else { return Vec::new() };
        self.history.add("test", "stops ten");
        let _ = process::signal(child.id(), Signal::TERM);
        let mut left = Vec::new();
        let mut status = None;
        let ended = wait::wait_until(STOP_DEADLINE, || {
            status = child.try_wait().expect("our child");
            status.is_some()
        });
        match status {
            Some(status) if status.success() => {}
            Some(status) => left.push(format!("an unclean end: {status}")),
            None => left.push(format!("ten serve itself, {STOP_DEADLINE:?} after SIGTERM")),
        }
        if !ended {
            let _ = child.kill();
            let _ = child.wait();
        }
        wait::wait_until(LEFTOVER_DEADLINE, || self.footprint.found().is_empty());
        left.extend(self.footprint.found());
        left
    }

    /// Kills the warden outright. Its tenants live on, to be adopted by the next
    /// [`start`](Self::start).
    pub fn kill_warden(&mut self) {
        self.footprint.note();
        let Some(Server { mut child, .. }) = self.server.take() else { return };
        self.history.add("test", format_args!("kills the warden, {}", child.id()));
        child.kill().expect("our child");
        child.wait().expect("our child");
    }

    /// The server's folder for what must last.
    pub fn data_dir(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Its config file.
    pub fn config_path(&self) -> PathBuf {
        self.path.join("tenement.toml")
    }

    /// The certificate that it serves, which its clients must trust; PEM.
    pub fn certificate(&self) -> PathBuf {
        self.path.join("chain.pem")
    }

    /// The key of that.
    pub fn key(&self) -> PathBuf {
        self.path.join("key.pem")
    }

    /// Puts a new certificate for the same names in its place.
    pub fn renew_certificate(&self) {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        certificate::renew(&self.path, &names).expect("a certificate can be written");
    }

    /// Puts another config in its place.
    pub fn write_config(&self, config: &str) {
        fs::write(self.config_path(), config).expect("a config can be written");
    }

    /// Where the server listens.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn address(&self) -> SocketAddr {
        self.server.as_ref().expect("the server runs").address
    }

    /// The pid of the warden: the process that was started.
    pub fn warden(&self) -> u32 {
        self.server.as_ref().expect("the server runs").child.id()
    }

    /// The pid of the front: the warden's child with `front` among its arguments.
    pub fn front(&self) -> Option<u32> {
        let warden = self.warden();
        let is_front = |p: &Process| p.parent == warden && p.argv.iter().any(|arg| arg == "front");
        process::all().into_iter().find(is_front).map(|front| front.pid)
    }

    /// The living processes of one instance of this server, by their environment.
    pub fn processes_of(&self, instance: &str) -> Vec<Process> {
        let marked = process::with_env(&[&format!("TENEMENT_INSTANCE={instance}")]);
        marked.into_iter().filter(|process| process.names(&self.path)).collect()
    }

    /// Sends a signal to a process.
    pub fn signal(&self, pid: u32, signal: Signal) {
        self.history.add("test", format_args!("sends {signal:?} to {pid}"));
        process::signal(pid, signal).unwrap_or_else(|error| panic!("{signal:?} to {pid}: {error}"));
    }

    /// Everything that the server has written since the test began, a line each.
    pub fn server_lines(&self) -> Vec<String> {
        self.history.said("ten", 0)
    }

    /// Waits until something holds.
    ///
    /// # Panics
    ///
    /// When it does not within `deadline`.
    pub fn wait_until(&self, what: &str, deadline: Duration, condition: impl FnMut() -> bool) {
        self.history.add("test", format_args!("waits until {what}"));
        assert!(wait::wait_until(deadline, condition), "not within {deadline:?}: {what}");
    }
}

impl Drop for Ten {
    fn drop(&mut self) {
        let left = self.stop_and_look();
        for process in self.footprint.processes() {
            let _ = process::signal(process.pid, Signal::KILL);
        }
        if !self.footprint.mounts().is_empty() {
            // Removing the folder would reach through the mounts into what they show.
            self.folder.disable_cleanup(true);
        }
        if left.is_empty() && !thread::panicking() {
            return;
        }
        let mut story = format!("what happened:\n{}", self.history.tell());
        for line in &left {
            story.push_str(&format!("left after stop: {line}\n"));
        }
        let _ = io::stderr().write_all(story.as_bytes());
        assert!(thread::panicking(), "the server left something behind; see above");
    }
}

fn announced_address(line: &str) -> Option<SocketAddr> {
    let (_, url) = line.split_once(ANNOUNCEMENT)?;
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(|c: char| c == '/' || c.is_whitespace()).next()?;
    let port = authority.rsplit_once(':')?.1.parse().ok()?;
    Some((Ipv4Addr::LOCALHOST, port).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_is_found_in_a_line() {
        let want = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 41234)));
        for line in [
            "listening on http://127.0.0.1:41234",
            "listening on https://127.0.0.1:41234 for localhost",
            "2026-01-01T00:00:00Z  INFO ten: listening on http://localhost:41234/ with 3 services",
        ] {
            assert_eq!(announced_address(line), want, "{line}");
        }
        assert_eq!(announced_address("listening on /tmp/ten.sock"), None);
    }
}
