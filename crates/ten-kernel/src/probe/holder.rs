//! Who listens on a TCP port: /proc/net/tcp has the socket's inode, and one of the processes'
//! descriptors leads to it (proc_pid_net(5), proc_pid_fd(5)). Of other users' processes only
//! root sees them. A Unix socket's listener is told by the kernel itself (unix(7), SO_PEERCRED).

use std::{fs, io, path::Path};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
    sockopt::socket_peercred,
};

/// The state of a listening socket in /proc/net/tcp (TCP_LISTEN).
const LISTEN: &str = "0A";

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

/// Who listens on a port of this network namespace; `None` where nobody does, or where it
/// cannot be seen.
pub fn holder(port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| listens(line, port)).collect::<Vec<_>>())
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let links: Vec<_> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let has_one = |pid: &u32| {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        let mut targets = descriptors.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        targets.any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
    };
    let names = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pid = pids.find(has_one)?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Holder { pid, name: name.trim_end().to_owned() })
}

/// The pid of whoever listens on a Unix socket. Fails with [`io::ErrorKind::WouldBlock`] where
/// so many wait to be accepted that one more would have to wait for that.
pub fn listener(path: &Path) -> io::Result<u32> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    let pid = socket_peercred(&socket)?.pid;
    Ok(pid.as_raw_nonzero().get().cast_unsigned())
}

/// The inode of a line's socket if it listens on the port.
fn listens(line: &str, port: u16) -> Option<String> {
    let fields: Vec<_> = line.split_ascii_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let is_it = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == LISTEN;
    is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_whoever_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(holder(port).map(|holder| holder.pid), Some(std::process::id()));
        drop(listener);
        assert_eq!(holder(port), None);
    }

    #[test]
    fn a_listener_that_accepts_nobody_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let deaf = std::os::unix::net::UnixListener::bind(&path).unwrap();
        // Room for one (listen(2)).
        rustix::net::listen(&deaf, 0).unwrap();
        assert_eq!(listener(&path).unwrap(), std::process::id());
        assert_eq!(listener(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
