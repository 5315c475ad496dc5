//! One message, one datagram, and the descriptors beside it. Nothing here waits.

use std::{
    fmt,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
        sendmsg, socketpair, sockopt::set_socket_send_buffer_size,
    },
};
use serde::{Serialize, de::DeserializeOwned};

/// Bytes in a message, a whole launch plan included. execve(2) takes no single variable or
/// argument longer than this either.
pub const MESSAGE_MAX: usize = 128 * 1024;
/// Descriptors beside a message: the kernel passes no more (SCM_MAX_FD).
pub(crate) const FDS_MAX: usize = 253;
/// What each direction of the socket holds, so that several of the largest messages fit.
const SEND_BUFFER: usize = 4 * MESSAGE_MAX;

/// A message that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It is too long.
    #[error("it takes {len} bytes, and at most {MESSAGE_MAX} can be sent")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It has no encoding; a path that is not UTF-8, for example.
    #[error("it cannot be encoded")]
    Postcard(#[from] postcard::Error),
}

/// A message that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The system call failed.
    #[error("cannot receive")]
    Socket(#[from] Errno),
    /// More than a message may be.
    #[error("the message or its descriptors were cut off")]
    Truncated,
    /// Not a message at all.
    #[error("not a message of this version")]
    Postcard(#[from] postcard::Error),
}

/// A message and its descriptors, ready to be sent.
pub(crate) fn encode(message: &impl Serialize) -> Result<Vec<u8>, EncodeError> {
    let bytes = postcard::to_stdvec(message)?;
    if bytes.len() > MESSAGE_MAX {
        return Err(EncodeError::TooLong { len: bytes.len() });
    }
    Ok(bytes)
}

/// Both ends, non-blocking and closed on exec.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    for end in [&a, &b] {
        // The kernel caps it at net.core.wmem_max, whose default still fits one message.
        set_socket_send_buffer_size(end, SEND_BUFFER)?;
    }
    Ok((a, b))
}

/// Sends all of it or fails; `Errno::AGAIN` where there is no room now.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(fds.len()))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// Where messages are put as they come. One for all of them: what is allocated for a message is
/// cleared first, and what the warden has touched is copied for whoever it forks.
pub(crate) struct Inbox(Box<[u8]>);

impl Inbox {
    pub(crate) fn new() -> Self {
        Self(vec![0; MESSAGE_MAX].into())
    }

    /// The next message; `None` where the other end is closed.
    pub(crate) fn receive<T: DeserializeOwned>(
        &mut self,
        socket: impl AsFd,
    ) -> Result<Option<(T, Vec<OwnedFd>)>, ReceiveError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = recvmsg(socket, &mut [IoSliceMut::new(&mut self.0)], &mut control, flags)?;
        let fds = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .collect();
        if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(ReceiveError::Truncated);
        }
        // No message of ours is empty, so this is the end of the connection.
        if got.bytes == 0 {
            return Ok(None);
        }
        Ok(Some((postcard::from_bytes(&self.0[..got.bytes])?, fds)))
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Cgroup, LaunchId, Runs, ToFront, ToWarden};

    #[test]
    fn carries_messages_and_descriptors() {
        let ((a, b), mut inbox) = (pair().unwrap(), Inbox::new());
        let cgroup = Some(Cgroup { id: u64::MAX, path: "/sys/fs/cgroup/a:b".into() });
        let runs = Runs { pid: 42, cgroup, limited: true };
        let message = ToFront::Launched { launch: LaunchId(7), runs };
        send(&a, &encode(&message).unwrap(), &[a.as_fd(), b.as_fd()]).unwrap();
        let (got, fds) = inbox.receive::<ToFront>(&b).unwrap().unwrap();
        assert_eq!((got, fds.len()), (message, 2));
        for fd in &fds {
            let flags = rustix::io::fcntl_getfd(fd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
        assert!(matches!(inbox.receive::<ToFront>(&b), Err(ReceiveError::Socket(Errno::AGAIN))));
        drop((a, fds));
        assert!(inbox.receive::<ToFront>(&b).unwrap().is_none());
    }

    #[test]
    fn a_message_of_the_largest_size_fits_and_no_larger_is_made() {
        let ((a, b), mut inbox) = (pair().unwrap(), Inbox::new());
        let living = |len| ToFront::Living {
            launch: LaunchId(1),
            runs: Some(Runs { pid: 1, cgroup: None, limited: false }),
            note: vec![7; len],
        };
        let message = living(MESSAGE_MAX - 9);
        send(&a, &encode(&message).unwrap(), &[]).unwrap();
        assert_eq!(inbox.receive::<ToFront>(&b).unwrap().unwrap().0, message);
        assert!(matches!(
            encode(&living(MESSAGE_MAX)),
            Err(EncodeError::TooLong { len }) if len > MESSAGE_MAX
        ));
    }

    #[test]
    fn noise_is_refused() {
        let ((a, b), mut inbox) = (pair().unwrap(), Inbox::new());
        send(&a, &[0xff; 16], &[]).unwrap();
        assert!(matches!(inbox.receive::<ToWarden>(&b), Err(ReceiveError::Postcard(_))));
        send(&a, &vec![0; MESSAGE_MAX + 1], &[]).unwrap();
        assert!(matches!(inbox.receive::<ToWarden>(&b), Err(ReceiveError::Truncated)));
    }
}
