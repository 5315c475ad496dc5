//! How others get something from inside a tree's walls: through a door that its init keeps.
//!
//! A socket belongs to the network in which it was made, whoever holds it later
//! (network_namespaces(7)), and a process is inside walls only if its parent was. Who is inside
//! needs no privilege for either. So nobody outside ever enters.
//!
//! ```text
//! asker ── what, reply ──► door ──► init ── socket(2), or fork(2): a minder for a command
//!   ▲                                │
//!   └── the socket, the streams ◄── reply ─┘
//! ```
//!
//! Each question brings the socket that its answer goes to. So any number may ask at once,
//! answers need no names, and who stops waiting leaves nothing behind. Init never waits for
//! an asker, and the program never holds an end of a door.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, netlink, recvmsg, sendmsg,
        socket_with, socketpair,
    },
};

use crate::command::{self, CommandLine};

/// The question for somebody who runs a command; see `command.rs`.
const COMMAND: u8 = b'c';

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// A socket to be made in a tree's network; non-blocking and closed on exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// TCP over IPv4, not connected and not bound.
    Tcp,
    /// For a [`SockDiag`](crate::SockDiag).
    SockDiag,
}

impl Wanted {
    fn letter(self) -> u8 {
        match self {
            Self::Tcp => b't',
            Self::SockDiag => b'd',
        }
    }

    fn of(letter: u8) -> Option<Self> {
        [Self::Tcp, Self::SockDiag].into_iter().find(|wanted| wanted.letter() == letter)
    }

    fn make(self) -> Result<OwnedFd, Errno> {
        match self {
            Self::Tcp => socket_with(AddressFamily::INET, SocketType::STREAM, FLAGS, None),
            Self::SockDiag => {
                let protocol = Some(netlink::SOCK_DIAG);
                socket_with(AddressFamily::NETLINK, SocketType::RAW, FLAGS, protocol)
            }
        }
    }
}

/// The outer end. It may be copied and passed on to whoever may ask.
#[derive(Debug)]
pub struct Door(OwnedFd);

impl Door {
    pub(crate) fn pair() -> Result<(Self, Porter), Errno> {
        let (outer, inner) = seqpacket()?;
        Ok((Self(outer), Porter(inner)))
    }

    /// Asks. The answer comes over the socket that is returned: once it is readable, for
    /// [`take_socket`]. Fails with [`io::ErrorKind::WouldBlock`] where init has not got round
    /// to earlier questions yet, and with [`io::ErrorKind::ConnectionRefused`] once it has gone.
    pub fn ask(&self, wanted: Wanted) -> io::Result<OwnedFd> {
        let (ours, theirs) = seqpacket()?;
        self.pass_in(wanted.letter(), &theirs)?;
        Ok(ours)
    }

    /// Asks for a command to be run. What becomes of it is said over the end that is returned:
    /// first for [`take_start`](crate::take_start), then for [`take_end`](crate::take_end).
    /// Dropping that end ends the command: its processes are hung up on, and killed where that
    /// does not end them.
    ///
    /// Fails like [`Door::ask`], and with [`io::ErrorKind::InvalidInput`] and a
    /// [`CommandLineError`](crate::CommandLineError) for what cannot be passed on.
    pub fn run(&self, line: &CommandLine) -> io::Result<OwnedFd> {
        let (ours, theirs) = seqpacket()?;
        command::ask(&ours, line)?;
        self.pass_in(COMMAND, &theirs)?;
        Ok(ours)
    }

    fn pass_in(&self, letter: u8, reply: &OwnedFd) -> io::Result<()> {
        send(&self.0, &[letter], Some(reply.as_fd())).map_err(|errno| match errno {
            Errno::PIPE | Errno::CONNRESET => io::ErrorKind::ConnectionRefused.into(),
            errno => errno.into(),
        })
    }
}

/// A door that was passed on.
impl From<OwnedFd> for Door {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Takes the socket that [`Door::ask`] was about from where its answer comes. Fails with
/// [`io::ErrorKind::WouldBlock`] where it has not come yet, with
/// [`io::ErrorKind::ConnectionRefused`] where it never will, because init has gone, or with
/// what kept init from making it or from passing it on.
pub fn take_socket(answer: impl AsFd) -> io::Result<OwnedFd> {
    let mut errno = [0; 4];
    match receive(answer.as_fd(), &mut errno)? {
        (_, Some(socket)) => Ok(socket),
        (4, None) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
        (_, None) => Err(io::ErrorKind::ConnectionRefused.into()),
    }
}

/// The inner end, held by init.
#[derive(Debug)]
pub(crate) struct Porter(OwnedFd);

impl Porter {
    /// Answers who has asked, and leaves it to `run` where that was for a command. False once
    /// nobody is left who could ask.
    pub(crate) fn answer_all(&self, mut run: impl FnMut(OwnedFd)) -> bool {
        loop {
            let mut letter = [0];
            match receive(self.0.as_fd(), &mut letter) {
                Ok((0, _)) => return false,
                Ok((_, Some(reply))) if letter == [COMMAND] => run(reply),
                Ok((_, reply)) => {
                    if let (Some(wanted), Some(reply)) = (Wanted::of(letter[0]), reply) {
                        answer(wanted, &reply);
                    }
                }
                Err(Errno::AGAIN) => return true,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

fn answer(wanted: Wanted, reply: &OwnedFd) {
    let passed = wanted.make().and_then(|socket| send(reply, b"s", Some(socket.as_fd())));
    if let Err(errno) = passed {
        // Who asked may have gone meanwhile, and then nobody needs to know.
        let _ = send(reply, &errno.raw_os_error().to_ne_bytes(), None);
    }
}

impl AsFd for Porter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Porter {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn seqpacket() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None)
}

fn send(socket: &OwnedFd, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if let Some(fd) = &fd {
        control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(fd)));
    }
    // Asked for each time: whoever has a copy of a socket may make all copies wait.
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags).map(drop)
}

/// How many bytes came, 0 at the end, and the descriptor beside them.
fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got =
        recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    // Padding leaves room for a second one (cmsg(3)); who sends two loses one.
    Ok((got.bytes, fds.flatten().last()))
}

#[cfg(test)]
mod tests {
    use rustix::net::{getsockname, sockopt};

    use super::*;

    #[test]
    fn each_asker_gets_what_it_asked_for() {
        let (door, porter) = Door::pair().unwrap();
        let diag = door.ask(Wanted::SockDiag).unwrap();
        let tcp = door.ask(Wanted::Tcp).unwrap();
        drop(door.ask(Wanted::Tcp).unwrap());
        assert_eq!(take_socket(&tcp).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(porter.answer_all(|_| unreachable!()));
        let (tcp, diag) = (take_socket(tcp).unwrap(), take_socket(diag).unwrap());
        assert_eq!(sockopt::socket_type(&tcp).unwrap(), SocketType::STREAM);
        assert_eq!(sockopt::socket_domain(&diag).unwrap(), AddressFamily::NETLINK);
        assert!(getsockname(&tcp).is_ok());
    }

    #[test]
    fn an_asker_who_would_have_it_wait_is_not_waited_for() {
        let (door, porter) = Door::pair().unwrap();
        let (_ours, theirs) = seqpacket().unwrap();
        while send(&theirs, b"x", None).is_ok() {}
        rustix::io::ioctl_fionbio(&theirs, false).unwrap();
        send(&door.0, b"t", Some(theirs.as_fd())).unwrap();
        let next = door.ask(Wanted::Tcp).unwrap();
        assert!(porter.answer_all(|_| unreachable!()));
        assert!(take_socket(next).is_ok());
    }

    #[test]
    fn a_porter_that_has_gone_refuses_who_waits_and_who_comes() {
        let (door, porter) = Door::pair().unwrap();
        let waiting = door.ask(Wanted::Tcp).unwrap();
        drop(porter);
        assert_eq!(take_socket(&waiting).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let refused = door.ask(Wanted::Tcp).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_porter_who_is_busy_makes_nobody_wait_and_hears_the_end() {
        let (door, porter) = Door::pair().unwrap();
        let waiting: Vec<_> =
            std::iter::from_fn(|| door.ask(Wanted::Tcp).ok()).take(100_000).collect();
        assert_eq!(door.ask(Wanted::Tcp).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(porter.answer_all(|_| unreachable!()));
        assert!(waiting.iter().all(|answer| take_socket(answer).is_ok()));
        drop(door);
        assert!(!porter.answer_all(|_| unreachable!()));
    }
}
