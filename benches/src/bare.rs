//! A program without ten: spawned by the standard library, asked as soon as it accepts.
//!
//! What this measures is the least that any wake can take: the program's own start, and one
//! request. There is no proxy, no record of the process, nobody who reads its output.

use std::{
    env, fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    Failure,
    exchange::{Stream, ask, tcp, unix},
    program::{Listen, PATIENCE, Program},
};

/// Time between two looks at a crowd: finer would take the processors away from it.
const CROWD_PAUSE: Duration = Duration::from_millis(1);
/// Below the ports that the kernel gives to outgoing connections, where an attempt on a port
/// without a listener can connect to itself, and below those that ten gives away.
const PORTS: std::ops::Range<u16> = 20000..30000;

/// Where bare programs have their files, and which port is next.
pub(crate) struct Ground {
    folder: TempDir,
    next_port: u16,
}

/// A program that has been given its place.
struct Placed {
    command: Command,
    address: Address,
    program: &'static str,
}

/// A program that runs, killed and reaped when dropped.
pub(crate) struct Started {
    child: Child,
    address: Address,
    program: &'static str,
}

#[derive(Debug, Clone)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Ground {
    pub(crate) fn new() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("bare-").tempdir();
        let folder = folder.map_err(|source| Failure::Path { path: env::temp_dir(), source })?;
        Ok(Self { folder, next_port: PORTS.start })
    }

    /// From the spawn of the program to the first byte of its first answer.
    pub(crate) fn wake(&mut self, program: &Program) -> Result<Duration, Failure> {
        let placed = self.place(program, "one")?;
        let start = Instant::now();
        let started = placed.start()?;
        let mut stream = loop {
            if let Some(stream) = started.try_connect(start)? {
                break stream;
            }
            thread::sleep(program.pause);
        };
        let answer = ask(&mut *stream, "GET", "localhost", "/")?;
        Ok(answer.first_byte - start)
    }

    /// From the first spawn to the last answer of `n` copies, started by as many threads as
    /// there are processors.
    pub(crate) fn crowd(&mut self, program: &Program, n: usize) -> Result<Duration, Failure> {
        let mut shares: Vec<Vec<Placed>> = Vec::new();
        let threads = thread::available_parallelism().map_or(1, usize::from);
        shares.resize_with(threads, Vec::new);
        for i in 0..n {
            shares[i % threads].push(self.place(program, &i.to_string())?);
        }
        let start = Instant::now();
        let mut end = start;
        let mut running = Vec::new();
        thread::scope(|scope| {
            let spawn = |share| scope.spawn(move || start_all(share, start));
            let threads: Vec<_> = shares.into_iter().map(spawn).collect();
            for thread in threads {
                let (ended, started) = thread.join().expect("a share of the crowd")?;
                end = end.max(ended);
                running.extend(started);
            }
            Ok(end - start)
        })
    }

    /// So many copies that run and have been asked once.
    pub(crate) fn run(&mut self, program: &Program, n: usize) -> Result<Vec<Started>, Failure> {
        let placed = (0..n).map(|i| self.place(program, &i.to_string()));
        let placed = placed.collect::<Result<_, _>>()?;
        start_all(placed, Instant::now()).map(|(_, started)| started)
    }

    fn place(&mut self, program: &Program, id: &str) -> Result<Placed, Failure> {
        let folder = self.folder.path().join(id);
        let socket = folder.join("s");
        let prepared = fs::create_dir_all(&folder).and_then(|()| forget(&socket));
        prepared.map_err(|source| Failure::Path { path: folder.clone(), source })?;
        let port = self.free_port(program)?;
        let mut command = Command::new(&program.argv[0]);
        command.args(&program.argv[1..]).current_dir(&program.workdir).env_clear();
        for name in ["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"] {
            command.envs(env::var_os(name).map(|value| (name, value)));
        }
        command.env("PORT", port.to_string()).env("SOCKET_PATH", &socket);
        command.env("DATA_DIR", &folder).env("TENEMENT_INSTANCE", format!("bare:{id}"));
        for (name, value) in &program.env {
            command.env(name, value.replace("{instance_dir}", &folder.display().to_string()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let address = match program.listen {
            Listen::Socket => Address::Unix(socket),
            Listen::Port => Address::Tcp((Ipv4Addr::LOCALHOST, port).into()),
        };
        Ok(Placed { command, address, program: program.name })
    }

    /// Each port is used once in a long while: connections to the last one linger.
    fn free_port(&mut self, program: &Program) -> Result<u16, Failure> {
        let candidates = (self.next_port..PORTS.end).chain(PORTS.start..self.next_port);
        let free =
            candidates.into_iter().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let port = free.ok_or_else(|| Failure::Spawn {
            program: program.name,
            source: io::ErrorKind::AddrInUse.into(),
        })?;
        self.next_port = if PORTS.contains(&(port + 1)) { port + 1 } else { PORTS.start };
        Ok(port)
    }
}

impl Placed {
    fn start(mut self) -> Result<Started, Failure> {
        let program = self.program;
        let child = self.command.spawn().map_err(|source| Failure::Spawn { program, source })?;
        Ok(Started { child, address: self.address, program })
    }
}

impl Started {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection, where it accepts by now.
    fn try_connect(&self, start: Instant) -> Result<Option<Box<dyn Stream>>, Failure> {
        let connected = match &self.address {
            Address::Tcp(address) => tcp(*address),
            Address::Unix(path) => unix(path),
        };
        match connected {
            Ok(stream) => Ok(Some(stream)),
            Err(_) if start.elapsed() < PATIENCE => Ok(None),
            Err(_) => Err(Failure::NeverAccepted { program: self.program, patience: PATIENCE }),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a share of a crowd and asks each once. Says when the last had answered.
fn start_all(share: Vec<Placed>, start: Instant) -> Result<(Instant, Vec<Started>), Failure> {
    let started = share.into_iter().map(Placed::start).collect::<Result<Vec<_>, _>>()?;
    let mut silent: Vec<&Started> = started.iter().collect();
    let mut end = start;
    while !silent.is_empty() {
        let mut still = Vec::new();
        for one in silent {
            match one.try_connect(start)? {
                Some(mut stream) => {
                    end = end.max(ask(&mut *stream, "GET", "localhost", "/")?.first_byte);
                }
                None => still.push(one),
            }
        }
        silent = still;
        thread::sleep(CROWD_PAUSE);
    }
    Ok((end, started))
}

fn forget(socket: &Path) -> io::Result<()> {
    fs::remove_file(socket).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}
