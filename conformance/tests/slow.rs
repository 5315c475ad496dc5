//! Thousands of clients that are slow or silent (FAULTS c16): a healthy request to another
//! instance never takes half a second meanwhile.
//!
//! slowhttptest (Debian's package) plays 5,000 of them at a time, in each of its modes. All
//! come from one address, so the bound on connections per address is raised to let them in.
//! Who is healthy comes from another address, and connects anew for every request.
//!
//! On a machine that has other things to do any request may take long. So the same request also
//! goes to a server that has nothing to do with ten, and what that takes at worst is forgiven.

use std::{
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
use ten_conformance::{memory, service};
use ten_testkit::{Ten, tenant_binary, wait_until};

const WELL: &str = "a.well.localhost";
const SLOW: &str = "a.slow.localhost";
const SLOW_CLIENTS: usize = 5_000;
/// As many as fit into half of a usual bound on open files.
const SILENT_CLIENTS: usize = 9_000;
/// How long they may stay: the time for a first head, and some to spare.
const SILENT_PATIENCE: Duration = Duration::from_secs(40);
/// How long each attack lasts; all 5,000 are there after the first few seconds of it.
const ATTACK: Duration = Duration::from_secs(10);
/// The worst that a healthy request may take.
const MOST: Duration = Duration::from_millis(500);
/// Between two healthy requests.
const TICK: Duration = Duration::from_millis(50);
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

/// What healthy requests have taken at worst, and how many there were.
#[derive(Debug, Default)]
struct Healthy {
    worst: Duration,
    /// Of those to the control.
    control: Duration,
    count: usize,
}

impl Healthy {
    fn judge(&self) {
        assert!(self.worst < MOST + self.control, "a healthy request took too long: {self:?}");
    }
}

/// Asks the healthy instance all the time that `attack` takes, and returns what that says.
fn meanwhile<T>(ten: &Ten, attack: impl FnOnce() -> T) -> (Healthy, T) {
    let (stop, stopped) = mpsc::channel::<()>();
    let (address, control) = (ten.address(), Control::start());
    thread::scope(|scope| {
        let asking = scope.spawn(move || {
            let mut healthy = Healthy::default();
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                healthy.control = healthy.control.max(ask(control.address));
                healthy.worst = healthy.worst.max(ask(address));
                healthy.count += 1;
            }
            healthy
        });
        let said = attack();
        drop(stop);
        (asking.join().expect("healthy requests"), said)
    })
}

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

/// Runs slowhttptest. How many of its connections were open, at most, and how many there were.
fn slowhttptest(ten: &Ten, mode: &[&str], path: &str) -> (usize, usize) {
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
    let all = all.unwrap_or_else(|| panic!("slowhttptest ended with {}: {said}", output.status));
    (open.into_iter().max().unwrap_or(0), all)
}

/// `arrived` says how many of the attackers did, given those that slowhttptest tells of.
fn withstands(mode: &[&str], path: &str, arrived: impl FnOnce(&Ten, usize) -> usize) {
    let ten = start("[settings.proxy]\nmax_connections_per_ip = 10000");
    let (healthy, (open, all)) = meanwhile(&ten, || slowhttptest(&ten, mode, path));
    println!("{mode:?}: {all} slow clients, {open} at a time; {healthy:?}");
    let arrived = arrived(&ten, all);
    assert!(arrived > SLOW_CLIENTS / 2, "only {arrived} of them");
    healthy.judge();
    let memory = memory::peak_kib(&ten);
    assert!(memory < MOST_MEMORY_KIB, "{memory} KiB");
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
    let ten = start("");
    let attack = || {
        let connect = |_| TcpStream::connect(ten.address()).expect("the kernel accepts");
        let silent: Vec<_> = (0..SILENT_CLIENTS).map(connect).collect();
        // Every one of them is given up, without having said a word.
        wait_until(SILENT_PATIENCE, || silent.iter().all(has_ended))
    };
    let (healthy, ended) = meanwhile(&ten, attack);
    println!("{SILENT_CLIENTS} silent clients; {healthy:?}");
    healthy.judge();
    assert!(ended, "some of them are still there");
}

fn has_ended(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let peeked = stream.peek(&mut [0]);
    !peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}
