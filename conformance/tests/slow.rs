//! Thousands of clients that are slow or silent (FAULTS b9, c16): of the healthy requests to
//! another instance, 99 in 100 take less than half a second meanwhile.
//!
//! slowhttptest (Debian's package) plays 5,000 of them at a time, in each of its modes. All
//! come from one address, so the bound on connections per address is raised to let them in.
//! Who is healthy comes from another address, and connects anew for every request.
//!
//! Healthy requests begin on time, whatever became of those before: a server that stands still
//! for a second is seen by all that begin in it, not by one that waits. So a single packet that
//! is lost changes nothing, and a standstill of 600 ms fails.
//!
//! On a machine that has other things to do any request may take long. That excuses nobody: who is
//! in time is in time. It only says what it means to be late. Two witnesses tell: how much of the
//! processors others took, and what the same requests took that went to a server which has nothing
//! to do with ten, the control. The latter alone says too little: it hardly needs a processor, and
//! is prompt where ten, which has 5,000 clients, is starved.
//!
//! ```text
//! in time ──────────────────────▶ passed
//! late, the machine ours alone ─▶ failed
//! late, the machine busy ───────▶ once more; then skipped, and listed: "too busy to tell"
//! ```

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    net::{AddressFamily, SocketType, bind, connect, socket},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use ten_conformance::{memory, processors::Processors, service};
use ten_testkit::{Ten, tenant_binary, wait_until};

const WELL: &str = "a.well.localhost";
const SLOW: &str = "a.slow.localhost";
const SLOW_CLIENTS: usize = 5_000;
/// As many as fit into half of a usual bound on open files.
const SILENT_CLIENTS: usize = 9_000;
/// How long they may stay: the time for a first head, and some to spare.
const SILENT_PATIENCE: Duration = Duration::from_secs(40);
/// So many of them may be missing: that a few are lost is not ten's to prevent.
const MISSING: usize = 100;
/// How long each attack lasts; all 5,000 are there after the first few seconds of it.
const ATTACK: Duration = Duration::from_secs(10);
/// What 99 in 100 healthy requests take at most.
const MOST: Duration = Duration::from_millis(500);
/// What 99 in 100 requests to the control take at most on a machine that can tell. A quiet one
/// needs a tenth of it.
const CALM: Duration = Duration::from_millis(100);
/// What others take at most of the processors of such a machine: of two, half of one.
const OTHERS: f64 = 0.25;
/// Between the beginnings of two healthy requests.
const TICK: Duration = Duration::from_millis(20);
/// Of fewer than a hundred requests none may be late; fewer than these say nothing.
const ENOUGH: usize = 50;
/// Threads that wait for an answer need little.
const STACK_BYTES: usize = 128 << 10;
/// Memory that ten may need for them all: some tens of KiB for each.
const MOST_MEMORY_KIB: u64 = 512 << 10;

fn start(settings: &str) -> Ten {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("up to the hard limit");
    let tenant = tenant_binary().display().to_string();
    let config = format!(
        "{settings}\n{}{}",
        service("well", &tenant, ""),
        service("slow", &tenant, "max_concurrency = 100\nqueue_limit = 10000\n"),
    );
    let ten = Ten::with_config(&config).start();
    for host in [WELL, SLOW] {
        assert_eq!(ten.get(host, "/").status, 200);
    }
    ten
}

/// The tenant as an ordinary server, for comparison.
#[derive(Debug)]
struct Control {
    child: Child,
    address: SocketAddr,
}

impl Control {
    fn start() -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr());
        let address = free.expect("a free port");
        let mut command = Command::new(tenant_binary());
        command.env("PORT", address.port().to_string()).stderr(Stdio::null());
        let control = Self { child: command.spawn().expect("the tenant starts"), address };
        assert!(wait_until(ATTACK, || TcpStream::connect(address).is_ok()), "it listens");
        control
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What requests took that began on time, the shortest first.
#[derive(Debug, Default)]
struct Times(Vec<Duration>);

impl Times {
    /// What 99 in 100 of them took at most.
    fn p99(&self) -> Duration {
        self.0[(self.0.len() * 99).div_ceil(100) - 1]
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(times) = self;
        let (middle, worst) = (times[times.len() / 2], times[times.len() - 1]);
        let (count, p99) = (times.len(), self.p99());
        write!(f, "{count}: p50 {middle:.1?}, p99 {p99:.1?}, worst {worst:.1?}")
    }
}

/// What an attack did to healthy requests.
#[derive(Debug)]
struct Run {
    /// Attackers that never came.
    missing: usize,
    healthy: Times,
    control: Times,
    /// What others took of the processors.
    others: f64,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { missing, healthy, control, others } = self;
        let percent = others * 100.0;
        write!(f, "healthy {healthy}; control {control}; ")?;
        write!(f, "{missing} attackers missing; others took {percent:.0} % of the processors")
    }
}

impl Run {
    fn fault(&self) -> Option<&'static str> {
        assert!(self.healthy.0.len() >= ENOUGH, "too few requests to tell: {self}");
        match (self.missing > MISSING, self.healthy.p99() >= MOST) {
            (true, _) => Some("not all attackers came"),
            (_, true) => Some("healthy requests took too long"),
            _ => None,
        }
    }

    fn is_on_a_busy_machine(&self) -> bool {
        self.others >= OTHERS || self.control.p99() >= CALM
    }
}

/// Holds a run to its bounds, and a second one where the first cannot tell.
fn judge(run: impl Fn() -> Run) {
    for _ in 0..2 {
        let run = run();
        println!("{run}");
        match run.fault() {
            None => return,
            Some(fault) => assert!(run.is_on_a_busy_machine(), "{fault}: {run}"),
        }
    }
    println!("SKIP the machine is too busy to tell whether slow clients harm others, twice");
}

/// Asks the healthy instance, and the control, all the time that `attack` takes, and returns what
/// that says, the number of attackers that never came.
fn meanwhile(ten: &Ten, attack: impl FnOnce() -> usize) -> Run {
    let (stop, stopped) = mpsc::channel::<()>();
    let (address, control) = (ten.address(), Control::start());
    let processors = Processors::now();
    thread::scope(|scope| {
        let asking = scope.spawn(move || {
            let (tens, controls) = (mpsc::channel(), mpsc::channel());
            let began = Instant::now();
            for number in 1.. {
                for (to, (times, _)) in [(address, &tens), (control.address, &controls)] {
                    let times = times.clone();
                    let ask = move || times.send(ask(to)).expect("somebody counts");
                    let thread = thread::Builder::new().stack_size(STACK_BYTES);
                    thread.spawn_scoped(scope, ask).expect("a thread");
                }
                let next = (TICK * number).saturating_sub(began.elapsed());
                if stopped.recv_timeout(next) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            let times = |(sender, receiver): (mpsc::Sender<_>, mpsc::Receiver<_>)| {
                // Whoever still waits has another one.
                drop(sender);
                let mut times: Vec<Duration> = receiver.into_iter().collect();
                times.sort_unstable();
                Times(times)
            };
            (times(tens), times(controls))
        });
        let missing = attack();
        let others = processors.others_since();
        drop(stop);
        let (healthy, control) = asking.join().expect("healthy requests");
        Run { missing, healthy, control, others }
    })
}

/// How long one request takes.
fn ask(address: SocketAddr) -> Duration {
    let began = Instant::now();
    healthy(address).expect("a healthy answer");
    began.elapsed()
}

/// One request, from an address that no attacker has.
fn healthy(address: SocketAddr) -> io::Result<()> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0)))?;
    connect(&socket, &address)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(ATTACK))?;
    let request = format!("GET / HTTP/1.1\r\nHost: {WELL}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.starts_with("HTTP/1.1 200 ") {
        true => Ok(()),
        false => Err(io::Error::other(answer)),
    }
}

/// Runs slowhttptest. How many of its connections there were, whatever became of them.
fn slowhttptest(ten: &Ten, mode: &[&str], path: &str) -> usize {
    let output = Command::new("slowhttptest")
        .args(mode)
        .args(["-c", &SLOW_CLIENTS.to_string(), "-r", "2000", "-p", "5", "-i", "1"])
        .args(["-l", &ATTACK.as_secs().to_string()])
        // By way of a proxy: the names of instances are in no resolver.
        .args(["-d", &ten.address().to_string(), "-u", &format!("http://{SLOW}{path}")])
        .stdin(Stdio::null())
        .output()
        .expect("slowhttptest is installed: cargo xtask test sees to it");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers = |word: &str| {
        let lines = said.lines().filter(|line| line.contains(word));
        // Colours stand between the word and its number.
        let number = |line: &str| line.rsplit(['m', ' ', '\t']).find_map(|n| n.parse().ok());
        lines.filter_map(number).collect::<Vec<usize>>()
    };
    let (open, closed) = (numbers("connected:"), numbers("closed:"));
    let all = open.iter().zip(&closed).map(|(open, closed)| open + closed).max();
    all.unwrap_or_else(|| panic!("slowhttptest ended with {}: {said}", output.status))
}

/// What a mode does to healthy requests. `arrived` says how many attackers there were, given those
/// that slowhttptest tells of.
fn withstands(mode: &[&str], path: &str, arrived: impl Fn(&Ten, usize) -> usize) {
    judge(|| {
        let ten = start("[settings.proxy]\nmax_connections_per_ip = 10000");
        let run = meanwhile(&ten, || {
            let told = slowhttptest(&ten, mode, path);
            SLOW_CLIENTS.saturating_sub(arrived(&ten, told))
        });
        let memory = memory::peak_kib(&ten);
        println!("{mode:?}: {memory} KiB");
        assert!(memory < MOST_MEMORY_KIB, "{memory} KiB: {run}");
        run
    });
}

#[test]
fn slow_headers_harm_nobody_else() {
    withstands(&["-H", "-x", "24"], "/", |_, told| told);
}

#[test]
fn slow_bodies_harm_nobody_else() {
    withstands(&["-B", "-s", "8192", "-x", "10"], "/body", |_, told| told);
}

#[test]
fn thousands_of_ranges_harm_nobody_else() {
    // They are answered so fast that slowhttptest ends before it tells of them.
    let served = |ten: &Ten, _| ten.get(SLOW, "/count").text().parse().expect("a number");
    withstands(&["-R", "-a", "10", "-b", "3000"], "/", served);
}

#[test]
fn slow_readers_harm_nobody_else() {
    withstands(
        &["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32"],
        "/stream?chunks=1000&bytes=10000",
        |_, told| told,
    );
}

#[test]
fn silent_clients_harm_nobody_else() {
    judge(|| {
        let ten = start("");
        meanwhile(&ten, || {
            let connect = |_| TcpStream::connect(ten.address()).expect("the kernel accepts");
            let silent: Vec<_> = (0..SILENT_CLIENTS).map(connect).collect();
            // Every one of them is given up, without having said a word.
            let ended = wait_until(SILENT_PATIENCE, || silent.iter().all(has_ended));
            assert!(ended, "some of them are still there");
            0
        })
    });
}

fn has_ended(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let peeked = stream.peek(&mut [0]);
    !peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}
