//! Asking the kernel over netlink(7) to change a network, and hearing whether it has.
//!
//! A socket acts on the network that it was made in, whoever holds it. The kernel carries a
//! request out while it is sent, so its answer is there afterwards and nothing is waited for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink::NETFILTER,
        recv, send, socket_with,
    },
};

/// sizeof(struct nlmsghdr).
const HEADER: usize = 16;
/// `NLMSG_ERROR`: the answer to one message, an errno that is 0 where it was carried out.
const ANSWER: u16 = 2;
/// `NLA_F_NESTED`: the value consists of attributes.
const NESTED: u16 = 0x8000;
/// Room for one answer, which repeats a message that was refused.
const ROOM: usize = 4096;

/// One change.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    kind: u16,
    flags: u16,
    body: Attributes,
}

impl Message {
    /// Of this kind, with the flags of its kind and a header that is a multiple of four long.
    pub(crate) fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        Self { kind, flags, body: Attributes(header.to_vec()) }
    }

    pub(crate) fn with(mut self, attribute: u16, value: &[u8]) -> Self {
        self.body = self.body.with(attribute, value);
        self
    }

    pub(crate) fn holding(mut self, attribute: u16, inner: Attributes) -> Self {
        self.body = self.body.holding(attribute, inner);
        self
    }
}

/// A list of attributes: length (2 bytes, its own four included), kind (2), value, padded to
/// four bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    /// Those that follow a header.
    pub(crate) fn after(header: &[u8]) -> Self {
        Self(header.to_vec())
    }

    pub(crate) fn with(mut self, attribute: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).expect("what we say is short");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(attribute.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn holding(self, attribute: u16, inner: Self) -> Self {
        self.with(attribute | NESTED, &inner.0)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A socket that acts on one network.
#[derive(Debug)]
pub(crate) struct Netlink(OwnedFd);

impl Netlink {
    /// For links, addresses and routes (rtnetlink(7)) of the network that this thread is in.
    pub(crate) fn routes() -> Result<Self, Errno> {
        Self::open(None)
    }

    /// For its packet filters.
    pub(crate) fn filters() -> Result<Self, Errno> {
        Self::open(Some(NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol).map(Self)
    }

    /// Has the messages carried out in their order, and all of them answered; the first that
    /// is refused is the error, with its place among them. No answer is left to be taken for one of
    /// the next messages.
    pub(crate) fn carry_out(&self, messages: &[Message]) -> Result<(), (usize, Errno)> {
        let mut bytes = Vec::new();
        for (index, Message { kind, flags, body }) in messages.iter().enumerate() {
            let length = (HEADER + body.0.len()) as u32;
            bytes.extend(length.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend((*flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
            bytes.extend((index as u32).to_ne_bytes());
            bytes.extend(0u32.to_ne_bytes());
            bytes.extend(&body.0);
        }
        send(&self.0, &bytes, SendFlags::empty()).map_err(|errno| (0, errno))?;
        let mut due = messages.iter().filter(|m| m.flags & libc::NLM_F_ACK as u16 != 0).count();
        let mut room = [0; ROOM];
        let mut refused = None;
        // What is refused is answered although nobody wants to know, and may end all of the rest. The
        // kernel has said everything when `send` returns.
        while due > 0 || refused.is_some() {
            let got = match (recv(&self.0, &mut room[..], RecvFlags::empty()), refused) {
                (Ok((got, _)), _) => got,
                (Err(Errno::AGAIN), Some(refused)) => return Err(refused),
                (Err(errno), _) => return Err((0, errno)),
            };
            let mut rest = &room[..got];
            while let Some((answer, next)) = split(rest) {
                if let Err(this) = answered(answer) {
                    refused.get_or_insert(this);
                }
                due = due.saturating_sub(1);
                rest = next;
            }
        }
        Ok(())
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Netlink> for OwnedFd {
    fn from(socket: Netlink) -> Self {
        socket.0
    }
}

/// The first message of several, and the others.
fn split(messages: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_ne_bytes(messages.get(..4)?.try_into().ok()?) as usize;
    let message = messages.get(..length).filter(|message| message.len() >= HEADER)?;
    Some((message, messages.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// `struct nlmsgerr`: an errno, then the header of the message that it is about.
fn answered(message: &[u8]) -> Result<(), (usize, Errno)> {
    let number = |at: usize| -> Option<i32> {
        Some(i32::from_ne_bytes(message.get(at..at + 4)?.try_into().ok()?))
    };
    let about = number(8).unwrap_or_default() as usize;
    match (u16::from_ne_bytes([message[4], message[5]]), number(HEADER)) {
        (ANSWER, Some(0)) => Ok(()),
        (ANSWER, Some(errno)) => Err((about, Errno::from_raw_os_error(-errno))),
        _ => Err((about, Errno::PROTO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_done_is_told_with_its_place() {
        let socket = Netlink::routes().unwrap();
        let ack = libc::NLM_F_ACK as u16;
        // The loopback device can neither be named by a number nobody has nor be deleted.
        let nobody = Message::new(libc::RTM_DELLINK, ack, &link_header(i32::MAX));
        let (at, errno) = socket.carry_out(&[nobody]).unwrap_err();
        assert_eq!(at, 0);
        assert!(matches!(errno, Errno::NODEV | Errno::PERM), "{errno}");
    }

    #[test]
    fn no_answer_is_left_for_the_next() {
        let socket = Netlink::routes().unwrap();
        let ack = libc::NLM_F_ACK as u16;
        let nobody = || Message::new(libc::RTM_DELLINK, ack, &link_header(i32::MAX));
        // Answered without being asked to.
        let silent = Message::new(libc::RTM_DELLINK, 0, &link_header(i32::MAX));
        let (at, _) = socket.carry_out(&[nobody(), silent, nobody(), nobody()]).unwrap_err();
        assert_eq!(at, 0);
        for _ in 0..3 {
            let unknown = Message::new(libc::RTM_GETLINK + 1000, ack, &link_header(1));
            assert_eq!(socket.carry_out(&[unknown]), Err((0, Errno::OPNOTSUPP)));
        }
    }

    fn link_header(index: i32) -> [u8; 16] {
        let mut header = [0; 16];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        header
    }

    #[test]
    fn attributes_are_padded_and_their_length_is_not() {
        let inner = Attributes::default().with(1, b"abc");
        assert_eq!(inner.bytes(), [7, 0, 1, 0, b'a', b'b', b'c', 0]);
        let outer = Attributes::default().holding(2, inner);
        assert_eq!(outer.bytes()[..4], [12, 0, 2, 0x80]);
        assert_eq!(outer.bytes().len(), 12);
    }

    #[test]
    fn a_short_answer_is_an_error_and_no_panic() {
        for length in 0..40usize {
            let mut message = vec![0; length];
            if length >= 4 {
                message[..4].copy_from_slice(&(length as u32).to_ne_bytes());
            }
            if let Some((first, rest)) = split(&message) {
                assert!(answered(first).is_err() && rest.is_empty());
            }
        }
    }
}
