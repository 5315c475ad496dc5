//! What a request makes the tenant do.
//!
//! | path | does |
//! |---|---|
//! | `/` | says its `TENEMENT_INSTANCE` |
//! | `/pid`, `/env`, `/fds`, `/proc` | what it sees: own pid, environment, open files, pids in /proc |
//! | `/count`, `/connections` | requests that this process has had, connections it has accepted |
//! | `/headers` | the request as it arrived |
//! | `/slow?ms=` | answers after that |
//! | `/crowd?ms=` | the same, with the most that ever were in it at one time, and which of all it was |
//! | `/body` | length and checksum of the request's body |
//! | `/stream?chunks=&bytes=` | an answer in chunks |
//! | `/sse?count=&ms=` | server-sent events |
//! | `/ws` | upgrades, then echoes bytes |
//! | `/health?set=` | 200, or the status that was set |
//! | `/exit?code=`, `/abort`, `/signal?pid=&sig=` | ends itself or others |
//! | `/fork?kind=` | leaves a relative (`family`) and says its pid |
//! | `/write?path=&text=`, `/read?path=` | files |
//! | `/hoard?kind=&path=&amount=` | what fills a disk, or leads out of a limit (`hoard`) |
//! | `/flood?lines=` | that many lines on stdout |
//!
//! What the system refuses is answered with 403 and its error.

use std::{
    env, fs,
    io::{self, Write},
    process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use ten_testkit::Checksum;

use crate::{family, hoard::hoard, http::Exchange};

#[derive(Debug, Default)]
pub(crate) struct Routes {
    requests: AtomicU64,
    connections: AtomicU64,
    /// What `/health` answers; 0 until one is set.
    health: AtomicU64,
    crowd: Mutex<Crowd>,
}

/// Who is in `/crowd`.
#[derive(Debug, Default)]
struct Crowd {
    now: u64,
    most: u64,
    so_far: u64,
}

impl Routes {
    pub(crate) fn accepted(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answer(&self, exchange: &mut Exchange) -> io::Result<()> {
        let count = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let path = exchange.path.clone();
        match path.as_str() {
            "/" => exchange.reply(200, &env::var("TENEMENT_INSTANCE").unwrap_or_default()),
            "/pid" => exchange.reply(200, &process::id().to_string()),
            "/env" => exchange.reply(200, &environment()),
            "/count" => exchange.reply(200, &count.to_string()),
            "/connections" => {
                let connections = self.connections.load(Ordering::Relaxed);
                exchange.reply(200, &connections.to_string())
            }
            "/headers" => exchange.reply(200, &request_head(exchange)),
            "/health" => self.health(exchange),
            "/fds" => told(exchange, open_files()),
            "/proc" => told(exchange, visible_pids()),
            "/read" => told(exchange, fs::read_to_string(parameter(exchange, "path"))),
            "/write" => {
                let written = fs::write(parameter(exchange, "path"), parameter(exchange, "text"));
                told(exchange, written.map(|()| "written".into()))
            }
            "/hoard" => {
                let (kind, path) = (parameter(exchange, "kind"), parameter(exchange, "path"));
                told(exchange, hoard(&kind, &path, exchange.number("amount", u64::MAX)))
            }
            "/signal" => told(exchange, signal(exchange)),
            "/fork" => told(exchange, fork(exchange)),
            "/flood" => told(exchange, flood(exchange.number("lines", 1))),
            "/slow" => {
                thread::sleep(milliseconds(exchange, 0));
                exchange.reply(200, "slow")
            }
            "/crowd" => self.crowd(exchange),
            "/body" => body(exchange),
            "/stream" => stream(exchange),
            "/sse" => events(exchange),
            "/ws" => {
                let protocol = exchange.header("upgrade").unwrap_or("echo").to_owned();
                exchange.echo(&protocol)
            }
            "/exit" => process::exit(i32::try_from(exchange.number("code", 0)).unwrap_or(1)),
            "/abort" => process::abort(),
            _ => exchange.reply(404, "no such path"),
        }
    }

    fn crowd(&self, exchange: &mut Exchange) -> io::Result<()> {
        let place = {
            let mut crowd = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
            (crowd.now, crowd.so_far) = (crowd.now + 1, crowd.so_far + 1);
            crowd.most = crowd.most.max(crowd.now);
            crowd.so_far
        };
        thread::sleep(milliseconds(exchange, 0));
        let most = {
            let mut crowd = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
            // Before the answer: its end lets the next one in.
            crowd.now -= 1;
            crowd.most
        };
        exchange.reply(200, &format!("{most} {place}"))
    }

    fn health(&self, exchange: &mut Exchange) -> io::Result<()> {
        if exchange.parameter("set").is_some() {
            self.health.store(exchange.number("set", 200), Ordering::Relaxed);
            return exchange.reply(200, "set");
        }
        match self.health.load(Ordering::Relaxed) {
            0 => exchange.reply(200, "healthy"),
            status => exchange.reply(status, "as told"),
        }
    }
}

fn told(exchange: &mut Exchange, result: io::Result<String>) -> io::Result<()> {
    match result {
        Ok(text) => exchange.reply(200, &text),
        Err(error) => exchange.reply(403, &error.to_string()),
    }
}

fn parameter(exchange: &Exchange, name: &str) -> String {
    exchange.parameter(name).unwrap_or_default().to_owned()
}

fn milliseconds(exchange: &Exchange, default: u64) -> Duration {
    Duration::from_millis(exchange.number("ms", default))
}

fn environment() -> String {
    env::vars_os()
        .map(|(name, value)| format!("{}={}\n", name.display(), value.display()))
        .collect()
}

fn request_head(exchange: &Exchange) -> String {
    let mut text = format!("{} {}\n", exchange.method, exchange.path);
    for (name, value) in exchange.headers() {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text
}

fn open_files() -> io::Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        // The descriptor that lists the others is gone by now.
        if let Ok(target) = fs::read_link(entry.path()) {
            text.push_str(&format!("{} {}\n", entry.file_name().display(), target.display()));
        }
    }
    Ok(text)
}

fn visible_pids() -> io::Result<String> {
    let names = fs::read_dir("/proc")?.flatten().map(|entry| entry.file_name());
    let pids = names.filter(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
    Ok(pids.map(|pid| format!("{}\n", pid.display())).collect())
}

fn signal(exchange: &Exchange) -> io::Result<String> {
    let number = |name| i32::try_from(exchange.number(name, 0)).map_err(io::Error::other);
    let pid = Pid::from_raw(number("pid")?).ok_or(io::ErrorKind::InvalidInput)?;
    let signal = Signal::from_named_raw(number("sig")?).ok_or(io::ErrorKind::InvalidInput)?;
    kill_process(pid, signal)?;
    Ok("sent".into())
}

fn fork(exchange: &Exchange) -> io::Result<String> {
    let kind = parameter(exchange, "kind").parse().map_err(io::Error::other)?;
    family::fork(kind).map(|pid| pid.to_string())
}

fn flood(lines: u64) -> io::Result<String> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    for line in 0..lines {
        writeln!(stdout, "flood {line}")?;
    }
    stdout.flush()?;
    Ok(lines.to_string())
}

fn body(exchange: &mut Exchange) -> io::Result<()> {
    let mut sum = Checksum::default();
    exchange.read_body(|bytes| sum.add(bytes))?;
    exchange.reply(200, &sum.to_string())
}

fn stream(exchange: &mut Exchange) -> io::Result<()> {
    let chunk = vec![b'x'; usize::try_from(exchange.number("bytes", 1000)).unwrap_or(1000)];
    exchange.start_chunks("application/octet-stream")?;
    for _ in 0..exchange.number("chunks", 10) {
        exchange.chunk(&chunk)?;
    }
    exchange.chunk(b"")
}

fn events(exchange: &mut Exchange) -> io::Result<()> {
    let pause = milliseconds(exchange, 10);
    exchange.start_chunks("text/event-stream")?;
    for event in 0..exchange.number("count", 10) {
        exchange.chunk(format!("data: {event}\n\n").as_bytes())?;
        thread::sleep(pause);
    }
    exchange.chunk(b"")
}
