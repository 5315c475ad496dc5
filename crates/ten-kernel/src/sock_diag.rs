//! Asking the kernel who listens on a TCP port (sock_diag(7)).
//!
//! Connecting would ask the same, but it costs several times as much, disturbs the program
//! that listens, can meet itself inside the ephemeral range, and does not tell *whose* the
//! socket is: whoever took the port first would be believed to be its owner.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    },
};

/// `SOCK_DIAG_BY_FAMILY` (linux/sock_diag.h).
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` (linux/netlink.h): one question, one answer.
const REQUEST: u16 = 1;
/// `NLMSG_ERROR` (linux/netlink.h): the answer is an errno.
const ERROR: u16 = 2;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// `TCP_LISTEN` (net/tcp_states.h).
const LISTEN: u8 = 10;
/// `INET_DIAG_CGROUP_ID` (linux/inet_diag.h).
const CGROUP_ID: u16 = 21;
/// sizeof(struct nlmsghdr).
const HEADER: usize = 16;
/// sizeof(struct inet_diag_req_v2).
const QUESTION: usize = 56;
/// sizeof(struct inet_diag_msg).
const ANSWER: usize = 72;
/// Room for the answer and its attributes, which are a few dozen bytes.
const ROOM: usize = 4096;

/// Who has a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// The uid that made it.
    pub uid: u32,
    /// The cgroup in which it was made: the inode of its folder (cgroups(7)). `None` where
    /// the kernel does not tell.
    pub cgroup: Option<u64>,
}

/// A way to ask. Needs no privilege.
#[derive(Debug)]
pub struct SockDiag(OwnedFd);

impl SockDiag {
    /// Opens it, for the network namespace of this process.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        Ok(Self(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?))
    }

    /// Takes one that was made elsewhere: it asks of the network namespace in which it was made
    /// ([`Wanted::SockDiag`](crate::Wanted)).
    pub fn of(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Who would accept a connection to this address; `None` where nobody would. Never waits:
    /// the kernel answers while it is asked.
    pub fn listening(&self, at: SocketAddr) -> io::Result<Option<Listening>> {
        send(&self.0, &question(at), SendFlags::empty())?;
        let mut buffer = [0; ROOM];
        let (length, _) = recv(&self.0, &mut buffer[..], RecvFlags::empty())?;
        answer(&buffer[..length])
    }
}

/// `struct nlmsghdr`, then `struct inet_diag_req_v2`, both in the host's byte order but for
/// addresses and ports. The address asked for is the source: a listener has no other end.
fn question(at: SocketAddr) -> [u8; HEADER + QUESTION] {
    let mut message = [0; HEADER + QUESTION];
    let mut put = |at: usize, bytes: &[u8]| message[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &((HEADER + QUESTION) as u32).to_ne_bytes());
    put(4, &BY_FAMILY.to_ne_bytes());
    put(6, &REQUEST.to_ne_bytes());
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    put(HEADER, &[family.as_raw() as u8, TCP]);
    put(HEADER + 4, &(1u32 << LISTEN).to_ne_bytes());
    put(HEADER + 8, &at.port().to_be_bytes());
    match at.ip() {
        IpAddr::V4(ip) => put(HEADER + 12, &ip.octets()),
        IpAddr::V6(ip) => put(HEADER + 12, &ip.octets()),
    }
    // Any interface; any cookie (INET_DIAG_NOCOOKIE).
    put(HEADER + 48, &[0xff; 8]);
    message
}

fn answer(message: &[u8]) -> io::Result<Option<Listening>> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "sock_diag answered too little");
    match u16::from_ne_bytes(bytes(message, 4).ok_or_else(short)?) {
        BY_FAMILY => {}
        ERROR => {
            let error = i32::from_ne_bytes(bytes(message, HEADER).ok_or_else(short)?);
            return match Errno::from_raw_os_error(-error) {
                Errno::NOENT => Ok(None),
                errno => Err(errno.into()),
            };
        }
        other => return Err(io::Error::other(format!("sock_diag answered with type {other}"))),
    }
    let state = *message.get(HEADER + 1).ok_or_else(short)?;
    let uid = u32::from_ne_bytes(bytes(message, HEADER + 64).ok_or_else(short)?);
    let attributes = message.get(HEADER + ANSWER..).unwrap_or_default();
    Ok((state == LISTEN).then(|| Listening { uid, cgroup: cgroup(attributes) }))
}

/// Finds the cgroup among the attributes: length (2 bytes, header included), kind (2), value,
/// padded to four bytes (`struct rtattr`, rtnetlink(7)).
fn cgroup(mut attributes: &[u8]) -> Option<u64> {
    loop {
        let length = usize::from(u16::from_ne_bytes(bytes(attributes, 0)?));
        if u16::from_ne_bytes(bytes(attributes, 2)?) == CGROUP_ID {
            return Some(u64::from_ne_bytes(bytes(attributes, 4)?));
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn bytes<const N: usize>(message: &[u8], at: usize) -> Option<[u8; N]> {
    message.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn ask(at: &str) -> Option<Listening> {
        SockDiag::open().unwrap().listening(at.parse().unwrap()).unwrap()
    }

    #[test]
    fn tells_who_listens_and_when_nobody_does() {
        let own = rustix::process::geteuid().as_raw();
        for bind in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let listener = TcpListener::bind(bind).unwrap();
            let port = listener.local_addr().unwrap().port();
            let found = ask(&format!("127.0.0.1:{port}"));
            assert_eq!(found.map(|listening| listening.uid), Some(own), "{bind}");
            // A connection is not a listener, nor does its end leave one.
            let _connection = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            drop(listener);
            assert_eq!(ask(&format!("127.0.0.1:{port}")), None, "{bind}");
        }
    }

    #[test]
    fn another_address_is_another_listener() {
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(ask(&format!("127.0.0.1:{port}")), None);
        assert!(ask(&format!("127.0.0.2:{port}")).is_some());
    }

    #[test]
    fn names_the_cgroup_by_its_inode() {
        use std::os::unix::fs::MetadataExt as _;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = ask(&listener.local_addr().unwrap().to_string()).unwrap();
        let Some(cgroup) = found.cgroup else {
            return println!("SKIP the kernel names no cgroup of a socket");
        };
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let inodes: Vec<u64> = roots
            .iter()
            .filter_map(|root| Some(std::fs::metadata(format!("{root}/{path}")).ok()?.ino()))
            .collect();
        assert!(inodes.contains(&cgroup), "{cgroup} is none of {inodes:?}");
    }

    #[test]
    fn a_short_answer_is_an_error_and_no_panic() {
        for length in 0..HEADER + ANSWER {
            let mut message = vec![0; length];
            if length >= 6 {
                message[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
            }
            let _ = answer(&message);
        }
    }
}
