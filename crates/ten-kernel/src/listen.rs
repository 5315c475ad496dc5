//! Listening sockets, with a backlog that holds a burst, and Unix sockets at any depth.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::FileTypeExt,
    },
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, fchmod, open},
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
        sockopt::set_socket_reuseaddr,
    },
};

/// Connections that may wait to be accepted: what arrives while a front is being replaced.
/// The kernel caps it at net.core.somaxconn, 4096 by default (listen(2)).
pub const BACKLOG: i32 = 4096;
/// The longest path that fits a Unix socket's address with its NUL (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// A non-blocking TCP listener. Port 0 takes a free one.
pub fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    // Connections of the previous run in TIME_WAIT must not keep us from the port.
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// A blocking Unix listener whose file only its owner can use. A socket found at `path` is
/// replaced: the caller knows that nobody serves it. Anything else there is an error.
pub fn listen_unix(path: &Path) -> io::Result<OwnedFd> {
    remove_socket(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Linux gives the file the mode of the socket, so there is no moment when it is open to all.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind_unix(&socket, path)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Removes a socket's file; anything that is not a socket is left alone, and so is nothing.
pub fn remove_socket(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Ok(()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(why) => Err(why),
    }
}

/// A path too long for an address is reached through its folder's descriptor, which leaves
/// only the name limited.
fn bind_unix(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    if path.as_os_str().len() <= SOCKET_PATH_MAX {
        return Ok(bind(socket, &SocketAddrUnix::new(path)?)?);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let folder = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    Ok(bind(socket, &SocketAddrUnix::new(&short)?)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::PermissionsExt, net::UnixListener};

    use super::*;

    #[test]
    fn replaces_a_stale_socket_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let listener = listen_unix(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        drop(listener);
        remove_socket(&path).unwrap();
        remove_socket(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert_eq!(listen_unix(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn binds_deep_below_the_limit_of_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(100)).join("e".repeat(100));
        fs::create_dir_all(&deep).unwrap();
        let path = deep.join("s");
        let _listener = listen_unix(&path).unwrap();
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    }

    #[test]
    fn tells_the_port_it_took() {
        let listener = listen_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let taken = listener.local_addr().unwrap();
        assert_ne!(taken.port(), 0);
        assert_eq!(listen_tcp(taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
