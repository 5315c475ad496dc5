//! A new connection to an instance, over TCP or a Unix socket. Sockets in another network than
//! ours are whoever's who gives out leases.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Mode, OFlags};
use ten_domain::Address;
use tokio::net::{TcpStream, UnixStream};

use crate::{
    files::{self, Files},
    upstreams::Lease,
    wire::Socket,
};

/// Longest time to wait for an instance to accept. It listens on this machine, so only a full
/// backlog takes time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before asking again whether a Unix socket's backlog has room.
const BACKLOG_PAUSE: Duration = Duration::from_millis(1);
/// Longest path that fits a Unix socket's address, without its final NUL (unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// Connects, waiting while the instance's backlog is full, or while there is no descriptor: those
/// of idle connections are taken for it.
pub(crate) async fn connect(lease: &impl Lease, files: &Files) -> io::Result<Socket> {
    let mut none = None;
    let connecting = async {
        loop {
            match once(lease).await {
                Err(error) if files::are_none(&error) => none = Some(error),
                done => return done,
            }
            if let Some(error) = &none {
                files.complain(error);
            }
            if files.close_idle() == 0 {
                tokio::time::sleep(files::PAUSE).await;
            }
        }
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(done) => done,
        Err(late) => Err(none.unwrap_or(late.into())),
    }
}

async fn once(lease: &impl Lease) -> io::Result<Socket> {
    if let Some(connection) = lease.connection() {
        return Ok(UnixStream::from_std(connection)?.into());
    }
    Ok(match lease.address() {
        Address::Tcp(to) => tcp(TcpStream::connect(to).await?)?.into(),
        Address::Private(to) => tcp(lease.socket().await?.connect(*to).await?)?.into(),
        Address::Unix(path) => unix(path).await?.into(),
    })
}

fn tcp(stream: TcpStream) -> io::Result<TcpStream> {
    // Nobody listens, and the kernel picked this very port as ours: TCP's simultaneous open
    // connects a socket to itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn unix(path: &Path) -> io::Result<UnixStream> {
    let reachable = Reachable::new(path)?;
    loop {
        match UnixStream::connect(reachable.path()).await {
            // A full backlog: connect(2) says EAGAIN, and there is no event to wait for.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(BACKLOG_PAUSE).await;
            }
            done => return done,
        }
    }
}

/// A spelling of a socket's path that is short enough for an address. A long one is reached
/// through a descriptor of its folder (proc_pid_fd(5)), open while this value lives.
struct Reachable {
    path: PathBuf,
    _folder: Option<OwnedFd>,
}

impl Reachable {
    fn new(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= MAX_SOCKET_PATH {
            return Ok(Self { path: path.into(), _folder: None });
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty())?;
        let mut short = OsString::from(format!("/proc/self/fd/{}/", folder.as_raw_fd()));
        short.push(name);
        Ok(Self { path: short.into(), _folder: Some(folder) })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
