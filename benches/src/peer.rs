//! The proxies that stand side by side, each before the same two upstreams.
//!
//! Each does what ten does by default: it keeps connections to the upstream, streams bodies both
//! ways, says `X-Forwarded-*` and `X-Request-Id`, and writes no access log unless that is asked for. Each has one port
//! for the upstream on a Unix socket and one for the upstream on a TCP port.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use ten_testkit::{Ten, wait_until};

use crate::{
    Failure,
    admin::Admin,
    exchange::{ask, tcp},
    usage,
};

/// How long a peer may take to accept.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the upstream of a case listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// On a Unix socket.
    Socket,
    /// On a port of 127.0.0.1.
    Port,
}

impl Upstream {
    /// As the config spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Port => "port",
        }
    }

    /// The host under which ten has it. The others do not look at hosts.
    pub(crate) fn host(self) -> String {
        format!("one.origin-{}.localhost", self.name())
    }
}

/// A proxy that runs.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// The processes that requests pass through.
    pub(crate) pids: Vec<u32>,
    /// Where it takes requests for either upstream.
    pub(crate) socket: SocketAddr,
    pub(crate) port: SocketAddr,
    /// Where it takes requests for the upstream on a socket over HTTP/2, if it does.
    pub(crate) h2: Option<SocketAddr>,
    /// Where it does over TLS, in either version, and the processes that those pass through.
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) tls_pids: Vec<u32>,
    /// Held for their ends.
    _process: Option<Process>,
    _folder: Option<TempDir>,
}

impl Peer {
    pub(crate) fn address(&self, upstream: Upstream) -> SocketAddr {
        match upstream {
            Upstream::Socket => self.socket,
            Upstream::Port => self.port,
        }
    }
}

/// A child, told to end when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // SIGTERM, so that nginx's master takes its worker along.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

/// A server whose two services are the upstream, on a socket and on a port. The other peers
/// reach the same two processes without it.
pub(crate) struct Origin {
    ten: Ten,
    /// The same with TLS, before processes of its own.
    secure: Ten,
    /// The socket's path, and host and port.
    addresses: [String; 2],
    /// Where access logs are written, if they are.
    logs: Option<TempDir>,
}

impl Origin {
    pub(crate) fn start(access_log: bool) -> Result<Self, Failure> {
        let binary = env::current_exe().map(|path| path.with_file_name("origin"));
        let binary = binary.map_err(|source| Failure::Path { path: "origin".into(), source })?;
        let section = |upstream: Upstream| {
            let (name, binary) = (upstream.name(), binary.display());
            format!(
                "[service.origin-{name}]\ncommand = \"{binary} {name}\"\nlisten = \"{name}\"\n\
                 isolation = \"process\"\nsocket = \"{{instance_dir}}/s\"\nidle_timeout = 0\n"
            )
        };
        let config = section(Upstream::Socket) + &section(Upstream::Port);
        let folder =
            || TempDir::new().map_err(|source| Failure::Path { path: env::temp_dir(), source });
        let logs = access_log.then(folder).transpose()?;
        let ten = match &logs {
            Some(folder) => {
                Ten::with_config(&format!("[settings]\naccess_log = \"text\"\n{config}"))
                    .access_log(folder.path().join("ten"))
            }
            None => Ten::with_config(&config),
        };
        let ten = ten.start();
        let host = Upstream::Socket.host();
        let secure = Ten::with_config(&section(Upstream::Socket)).https(&[&host]).start();
        let admin = Admin::of(&ten);
        let wake = |upstream: Upstream| {
            let mut stream = tcp(ten.address())
                .map_err(|source| Failure::Unanswered { host: upstream.host(), source })?;
            ask(&mut *stream, "GET", &upstream.host(), "/")?;
            let instance = admin.instance(&format!("origin-{}", upstream.name()), "one")?;
            let address = instance.address.unwrap_or_default();
            Ok(address.strip_prefix("unix:").unwrap_or(&address).to_owned())
        };
        let addresses = [wake(Upstream::Socket)?, wake(Upstream::Port)?];
        Ok(Self { ten, secure, addresses, logs })
    }

    /// ten itself. Its front is what requests pass through; the warden sees none of them.
    pub(crate) fn ten(&self) -> Peer {
        Peer {
            name: "ten",
            pids: self.ten.front().into_iter().collect(),
            socket: self.ten.address(),
            port: self.ten.address(),
            h2: Some(self.ten.address()),
            tls: Some(self.secure.address()),
            tls_pids: self.secure.front().into_iter().collect(),
            _process: None,
            _folder: None,
        }
    }

    /// Another proxy before the same upstreams; `None` where it is not installed.
    pub(crate) fn other(&self, kind: Kind) -> Result<Option<Peer>, Failure> {
        let Some(program) = kind.program() else { return Ok(None) };
        let folder =
            TempDir::new().map_err(|source| Failure::Path { path: env::temp_dir(), source })?;
        let [socket, port, h2, tls] = [(); 4].map(|()| free_port(kind));
        let (socket, port, h2, tls) = (socket?, port?, h2?, tls?);
        let config = folder.path().join("config");
        let ports = [socket, port, h2, tls].map(|address| address.port());
        let identity = [self.secure.certificate(), self.secure.key()];
        let mut text = kind.config(folder.path(), ports, &self.addresses, &identity);
        if let Some(folder) = &self.logs {
            // Gathered, as ten does.
            let path = folder.path().join("nginx");
            let log = format!("access_log {} combined buffer=64k flush=1s", path.display());
            text = text.replace("access_log off", &log);
        }
        fs::write(&config, text)
            .map_err(|source| Failure::Path { path: config.clone(), source })?;
        let log = folder.path().join("log");
        let said = fs::File::create(&log).map_err(|source| Failure::Path { path: log, source })?;
        let child = Command::new(program)
            .args(kind.args())
            .arg(&config)
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .map_err(|source| Failure::Spawn { program: kind.name(), source })?;
        let process = Process(child);
        let pid = process.0.id();
        // nginx listens before it has the worker that accepts.
        let workers = || match kind {
            Kind::Floor | Kind::Haproxy | Kind::Caddy => Ok(vec![pid]),
            Kind::Nginx => usage::children(pid),
        };
        let ready = || workers().is_ok_and(|pids| !pids.is_empty());
        if !wait_until(PATIENCE, || tcp(socket).is_ok() && tcp(port).is_ok() && ready()) {
            let program = kind.name();
            return Err(Failure::NeverAccepted { program, patience: PATIENCE });
        }
        let peer = kind.name();
        let pids = workers().map_err(|source| Failure::Usage { peer, pid, source })?;
        Ok(Some(Peer {
            name: kind.name(),
            tls: Some(tls).filter(|_| kind == Kind::Nginx),
            tls_pids: pids.clone(),
            pids,
            socket,
            port,
            h2: Some(h2).filter(|_| kind == Kind::Nginx),
            _process: Some(process),
            _folder: Some(folder),
        }))
    }
}

/// What ten is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    /// What ten is made of, and nothing else: `bin/floor`.
    Floor,
    Haproxy,
    Caddy,
}

impl Kind {
    /// Those that one can do without.
    pub(crate) const OTHERS: [Self; 2] = [Self::Haproxy, Self::Caddy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Floor => "floor",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    /// Where Debian's packages put programs, whatever the caller's `PATH`; the floor is beside
    /// this program.
    fn program(self) -> Option<PathBuf> {
        let folders = match self {
            Self::Floor => vec![env::current_exe().ok()?.parent()?.to_owned()],
            _ => vec!["/usr/sbin".into(), "/usr/bin".into()],
        };
        let mut paths = folders.iter().map(|folder| folder.join(self.name()));
        paths.find(|path| path.exists())
    }

    /// Before the path of the config.
    fn args(self) -> &'static [&'static str] {
        match self {
            Self::Nginx => &["-c"],
            Self::Floor => &[],
            Self::Haproxy => &["-db", "-f"],
            Self::Caddy => &["run", "--adapter", "caddyfile", "--config"],
        }
    }

    fn config(
        self,
        folder: &Path,
        ports: [u16; 4],
        [socket, tcp]: &[String; 2],
        [chain, key]: &[PathBuf; 2],
    ) -> String {
        let [a, b, h2, tls] = ports;
        let (chain, key) = (chain.display(), key.display());
        let folder = folder.display();
        match self {
            // A pool at least as large as the concurrency: with a smaller one nginx reconnects
            // all the time, which costs it 40 % more.
            Self::Nginx => format!(
                "user root; worker_processes 1; daemon off; pid {folder}/pid;\n\
                 error_log stderr;\nevents {{ worker_connections 4096; }}\nhttp {{\n\
                 access_log off; keepalive_requests 1000000000; client_max_body_size 0;\n\
                 client_body_temp_path {folder}; proxy_temp_path {folder};\n\
                 fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};\n\
                 proxy_http_version 1.1; proxy_request_buffering off; proxy_max_temp_file_size 0;\n\
                 proxy_set_header Connection \"\"; proxy_set_header Host $http_host;\n\
                 proxy_set_header X-Forwarded-For $remote_addr;\n\
                 proxy_set_header X-Forwarded-Host $http_host;\n\
                 proxy_set_header X-Forwarded-Proto $scheme;\n\
                 proxy_set_header X-Request-Id $request_id;\n\
                 upstream a {{ server unix:{socket}; keepalive 512; keepalive_requests 1000000000; }}\n\
                 upstream b {{ server {tcp}; keepalive 512; keepalive_requests 1000000000; }}\n\
                 server {{ listen 127.0.0.1:{a}; location / {{ proxy_pass http://a; }} }}\n\
                 server {{ listen 127.0.0.1:{h2} http2; location / {{ proxy_pass http://a; }} }}\n\
                 server {{ listen 127.0.0.1:{tls} ssl http2; location / {{ proxy_pass http://a; }}\n\
                 ssl_certificate {chain}; ssl_certificate_key {key};\n\
                 ssl_protocols TLSv1.2 TLSv1.3; }}\n\
                 server {{ listen 127.0.0.1:{b}; location / {{ proxy_pass http://b; }} }}\n}}\n"
            ),
            Self::Floor => format!("{a} {socket}\n{b} {tcp}\n"),
            Self::Haproxy => {
                let listen = |port: u16, upstream: &str| {
                    format!(
                        "listen p{port}\n bind 127.0.0.1:{port}\n \
                         http-request set-header X-Forwarded-Host %[req.hdr(host)]\n \
                         http-request set-header X-Forwarded-Proto http\n \
                         server origin {upstream} pool-max-conn 512\n"
                    )
                };
                let defaults = "global\n nbthread 1\n maxconn 4096\ndefaults\n mode http\n \
                     timeout client 60s\n timeout server 60s\n timeout connect 10s\n \
                     http-reuse always\n option forwardfor\n unique-id-format %[uuid()]\n \
                     unique-id-header X-Request-Id\n";
                let socket = listen(a, &format!("unix@{socket}"));
                defaults.to_owned() + &socket + &listen(b, tcp)
            }
            Self::Caddy => {
                let site = |port: u16, upstream: &str| {
                    format!(
                        "http://:{port} {{\nbind 127.0.0.1\nreverse_proxy {upstream} {{\n\
                         header_up X-Request-Id {{http.request.uuid}}\ntransport http {{\n\
                         keepalive_idle_conns 512\nkeepalive_idle_conns_per_host 512\n\
                         }}\n}}\n}}\n"
                    )
                };
                let global = "{\nadmin off\nauto_https off\n}\n".to_owned();
                global + &site(a, &format!("unix/{socket}")) + &site(b, tcp)
            }
        }
    }
}

/// Free now; whoever listens on it next is told at once.
fn free_port(kind: Kind) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map_err(|source| Failure::Spawn { program: kind.name(), source })
}
