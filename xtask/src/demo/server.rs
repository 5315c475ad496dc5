//! The `ten serve` of the demo, in a temporary folder.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;
use ten_testkit::{process, process::Process, wait_until};

use crate::{failure::Failure, packages::path_outside_homes, tree};

/// What comes before the address in the line that says that the server is ready.
const ANNOUNCEMENT: &str = "listening on http://";
/// The port that is tried first.
const PORT: u16 = 8080;
/// Lines of the server's log that a failure ends with.
const LAST_LINES: usize = 30;
/// How long a debug build may take to listen on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long it may take to stop: the example's stop_timeout (10 s) and more.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// How long the kernel may take to finish off what was killed.
const LEFTOVER_DEADLINE: Duration = Duration::from_secs(2);

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    folder: TempDir,
    child: Child,
    address: SocketAddr,
    started_in: Duration,
    lines: Lines,
}

/// The newest lines of its log.
type Lines = Arc<Mutex<VecDeque<String>>>;

impl Server {
    /// Starts it on the example, with another idle_timeout, and waits until it listens.
    pub(crate) fn start(idle_seconds: u64) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("ten-demo-").tempdir();
        let folder = folder.map_err(Failure::io("make a temporary folder"))?;
        let config = folder.path().join("tenement.toml");
        fs::write(&config, demo_config(idle_seconds)?)
            .map_err(Failure::io(format!("write {}", config.display())))?;
        let began = Instant::now();
        let mut child = Command::new(ten_binary())
            .args(["serve", "--port", &free_port().to_string(), "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .env("PATH", path_outside_homes())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for us: we then stop it, once and in order.
            .process_group(0)
            .spawn()
            .map_err(Failure::io("start ten"))?;
        let lines = Lines::default();
        let announced = read_lines(child.stderr.take().expect("piped"), Arc::clone(&lines));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut server = Self { folder, child, address, started_in: Duration::ZERO, lines };
        match announced.recv_timeout(START_DEADLINE) {
            Ok(address) => server.address = address,
            Err(_) => return Err(server.never_listened()),
        }
        server.started_in = began.elapsed();
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From its start until it listened.
    pub(crate) fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Its data dir.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What `ten` prints with these arguments.
    pub(crate) fn ten(&self, args: &[&str]) -> Result<String, Failure> {
        let mut command = Command::new(ten_binary());
        command.args(args).arg("--data-dir").arg(self.data_dir()).stdin(Stdio::null());
        let output = command.output().map_err(Failure::io("run ten"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(Failure::new(format!("`ten {}` failed", args.join(" ")))
                .with(String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        self.child.try_wait().map_err(Failure::io("look after ten"))
    }

    /// What it said last.
    pub(crate) fn last_lines(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<_> = lines.iter().map(|line| format!("  ten: {line}")).collect();
        lines.join("\n")
    }

    /// Stops it, and makes sure that nothing is left.
    pub(crate) fn stop(&mut self) -> Result<(), Failure> {
        let mut status = self.ended()?;
        if status.is_none() {
            let pid = self.child.id();
            process::signal(pid, Signal::TERM).map_err(Failure::io("stop ten"))?;
            wait_until(STOP_DEADLINE, || {
                status = self.child.try_wait().unwrap_or_default();
                status.is_some()
            });
        }
        match status {
            Some(status) if status.success() => {}
            Some(status) => return Err(Failure::new(format!("ten serve ended with {status}"))),
            None => {
                let text = format!("ten serve did not stop within {} s", STOP_DEADLINE.as_secs());
                return Err(Failure::new(text));
            }
        }
        let mut left = Vec::new();
        let gone = wait_until(LEFTOVER_DEADLINE, || {
            left = self.leftovers();
            left.is_empty()
        });
        match gone {
            true => Ok(()),
            false => Err(Failure::new("the server left something").with(left.join("\n"))),
        }
    }

    /// Whatever still carries the name of its folder, and its port.
    fn leftovers(&self) -> Vec<String> {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let mut left = Vec::new();
        for process in self.processes() {
            left.push(format!("process {}: {}", process.pid, process.argv.join(" ")));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        left.extend(mounts.lines().filter(|line| line.contains(&folder)).map(str::to_owned));
        if TcpStream::connect(self.address).is_ok() {
            left.push(format!("a listener on {}", self.address));
        }
        left
    }

    /// Processes that were started for its folder, whose name is in no other.
    fn processes(&self) -> Vec<Process> {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let names = |text: &String| text.contains(&folder);
        let all = process::all().into_iter();
        all.filter(|process| process.argv.iter().chain(&process.env).any(names)).collect()
    }

    fn never_listened(&mut self) -> Failure {
        let text = match self.ended() {
            Ok(Some(status)) => format!("ten serve ended with {status} instead of listening"),
            _ => format!("ten serve did not listen within {} s", START_DEADLINE.as_secs()),
        };
        Failure::new(text).with(self.last_lines())
    }
}

impl Drop for Server {
    /// Where `stop` was not reached or did not succeed, at once. What the story or `stop` has
    /// to say about that is said already, so errors here are nobody's news.
    fn drop(&mut self) {
        // The first signal asks, the second insists (see `ten serve`).
        for patience in [Duration::from_secs(10), Duration::from_secs(6)] {
            if matches!(self.child.try_wait(), Ok(None)) {
                let _ = process::signal(self.child.id(), Signal::TERM);
                wait_until(patience, || !matches!(self.child.try_wait(), Ok(None)));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A server that was killed leaves its tenants running.
        for process in self.processes() {
            let _ = process::signal(process.pid, Signal::KILL);
        }
    }
}

/// The `ten` that was built beside us.
fn ten_binary() -> PathBuf {
    ten_testkit::ten_binary()
}

/// 8080 if nobody has it, else whatever the kernel has.
fn free_port() -> u16 {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)) {
        Ok(_) => PORT,
        Err(_) => 0,
    }
}

/// The example's config as it stands, but for how soon its instances sleep and, because the
/// copy lies elsewhere, where its program is.
fn demo_config(idle_seconds: u64) -> Result<String, Failure> {
    let example = tree::root().join("examples/notes");
    let path = example.join("tenement.toml");
    let text = fs::read_to_string(&path);
    let text = text.map_err(Failure::io(format!("read {}", path.display())))?;
    let is_idle = |line: &&str| line.starts_with("idle_timeout");
    let Some(line) = text.lines().find(is_idle) else {
        return Err(Failure::new(format!("{} has no idle_timeout", path.display())));
    };
    let workdir = toml::Value::from(example.to_string_lossy().into_owned());
    Ok(text.replace(line, &format!("idle_timeout = {idle_seconds}\nworkdir = {workdir}")))
}

/// Keeps the newest lines, and sends the address when it is announced.
fn read_lines(stderr: ChildStderr, lines: Lines) -> mpsc::Receiver<SocketAddr> {
    let (announce, announced) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let address = line.split_once(ANNOUNCEMENT).map(|(_, rest)| rest);
            let address = address.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            if let Some(address) = address {
                // Nobody waits for a second one.
                let _ = announce.send(address);
            }
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == LAST_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    });
    announced
}
