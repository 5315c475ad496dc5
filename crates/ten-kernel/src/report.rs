//! How a new tree tells its launcher what becomes of it: fixed-size frames over one
//! SOCK_SEQPACKET pair.
//!
//! ```text
//! launcher ── go ──► init          the tree is on record, it may run
//!          ◄── Preparing ── init    where its data are being moved first
//!          ◄── (a meter) ── init    beside a frame, where its storage is limited
//!          ◄── Main ── program     its credentials carry its pid as the launcher sees it
//!          ◄── Started | Failed ── init
//!          ◄── Ended ── init
//! ```
//!
//! Nothing here waits for a reader: a tree has at most seven frames to say, which fit the
//! socket's buffer, and a launcher that is gone is an error nobody needs to hear.

use std::{
    cell::RefCell,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg,
        socketpair, sockopt::set_socket_passcred,
    },
};

use crate::failure::{Failure, Step};

/// Bytes in a frame. A longer detail is cut.
pub(crate) const FRAME: usize = 512;
/// Kind, step, detail length (u16), number (i32).
const HEADER: usize = 8;

/// What becomes of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Its data are about to be moved, which takes as long as there are data. May be said twice.
    Preparing,
    /// The main process exists; its pid as the reader of the report sees it.
    Main(u32),
    /// The program was executed.
    Started,
    /// It could not be.
    Failed(Failure),
    /// The main process ended with this raw status (wait(2)).
    Ended(i32),
    /// Its storage is limited; [`ReportEnd::take_meter`] has what tells its use.
    Limited,
}

impl Report {
    pub(crate) fn encode(&self) -> [u8; FRAME] {
        let mut frame = [0; FRAME];
        let (kind, number) = match self {
            Self::Main(_) => (0, 0),
            Self::Started => (1, 0),
            Self::Failed(failure) => (2, failure.errno),
            Self::Ended(status) => (3, *status),
            Self::Limited => (4, 0),
            Self::Preparing => (5, 0),
        };
        frame[0] = kind;
        frame[4..HEADER].copy_from_slice(&number.to_le_bytes());
        if let Self::Failed(failure) = self {
            let mut len = failure.detail.len().min(FRAME - HEADER);
            while !failure.detail.is_char_boundary(len) {
                len -= 1;
            }
            frame[1] = failure.step as u8;
            frame[2..4].copy_from_slice(&(len as u16).to_le_bytes());
            frame[HEADER..HEADER + len].copy_from_slice(&failure.detail.as_bytes()[..len]);
        }
        frame
    }

    /// `sender` is the pid in the frame's credentials. `None` for what no init of ours sends.
    pub(crate) fn decode(frame: &[u8; FRAME], sender: u32) -> Option<Self> {
        let number = i32::from_le_bytes([frame[4], frame[5], frame[6], frame[7]]);
        Some(match frame[0] {
            0 => Self::Main(sender),
            1 => Self::Started,
            2 => {
                let len = usize::from(u16::from_le_bytes([frame[2], frame[3]]));
                let detail = frame.get(HEADER..HEADER + len)?;
                Self::Failed(Failure {
                    step: Step::from_number(frame[1])?,
                    errno: number,
                    detail: String::from_utf8_lossy(detail).into_owned(),
                })
            }
            3 => Self::Ended(number),
            4 => Self::Limited,
            5 => Self::Preparing,
            _ => return None,
        })
    }
}

/// The launcher's end; non-blocking.
#[derive(Debug)]
pub struct ReportEnd {
    socket: OwnedFd,
    meter: RefCell<Option<OwnedFd>>,
}

impl ReportEnd {
    /// Lets the tree run. Until then it only prepares itself, and if this end is closed
    /// first it ends: nothing ever runs that was not put on record.
    pub fn go(&self) -> Result<(), Errno> {
        send(&self.socket, b"g", SendFlags::NOSIGNAL).map(drop)
    }

    /// The next report; `None` where there is none now, or none any more.
    pub fn next(&self) -> Option<Report> {
        let mut frame = [0; FRAME];
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1), ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let into = &mut [IoSliceMut::new(&mut frame)];
        let got = recvmsg(&self.socket, into, &mut control, flags).ok()?;
        let mut sender = None;
        for message in control.drain() {
            match message {
                RecvAncillaryMessage::ScmCredentials(found) => sender = Some(found.pid),
                RecvAncillaryMessage::ScmRights(mut fds) => *self.meter.borrow_mut() = fds.next(),
                _ => {}
            }
        }
        if got.bytes != FRAME {
            return None;
        }
        Report::decode(&frame, sender?.as_raw_nonzero().get().cast_unsigned())
    }

    /// What came with [`Report::Limited`].
    pub fn take_meter(&self) -> Option<OwnedFd> {
        self.meter.take()
    }
}

impl AsFd for ReportEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The tree's end.
#[derive(Debug)]
pub(crate) struct Reporter(OwnedFd);

impl Reporter {
    /// Both ends.
    pub(crate) fn pair() -> Result<(ReportEnd, Self), Errno> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        set_socket_passcred(&ours, true)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        Ok((ReportEnd { socket: ours, meter: RefCell::default() }, Self(theirs)))
    }

    /// Waits until the launcher says go; false where it never will.
    pub(crate) fn wait(&self) -> bool {
        loop {
            match recv(&self.0, &mut [0u8; 1], RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                answer => return answer.is_ok_and(|(bytes, _)| bytes == 1),
            }
        }
    }

    pub(crate) fn say(&self, report: &Report) {
        let frame = report.encode();
        // The launcher may be gone (see above); the tree lives on without it.
        let _ = sendmsg(
            &self.0,
            &[IoSlice::new(&frame)],
            &mut SendAncillaryBuffer::default(),
            SendFlags::NOSIGNAL,
        );
    }

    /// Says that the storage is limited, and hands over what tells its use.
    pub(crate) fn hand_over(&self, meter: &OwnedFd) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [meter.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let frame = Report::Limited.encode();
        let sent = sendmsg(&self.0, &[IoSlice::new(&frame)], &mut control, SendFlags::NOSIGNAL);
        match sent {
            // The launcher may be gone (see above).
            Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Reporter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_socket() {
        let (end, reporter) = Reporter::pair().unwrap();
        let failure =
            Failure { step: Step::Execute, errno: 2, detail: format!("/{}", "é".repeat(600)) };
        for report in [
            Report::Preparing,
            Report::Main(0),
            Report::Started,
            Report::Failed(failure),
            Report::Ended(9),
        ] {
            reporter.say(&report);
            match (end.next().unwrap(), report) {
                (Report::Main(pid), _) => assert_eq!(pid, std::process::id()),
                (Report::Failed(got), Report::Failed(sent)) => {
                    assert_eq!((got.step, got.errno), (sent.step, sent.errno));
                    assert!(sent.detail.starts_with(&got.detail) && got.detail.len() > 500);
                }
                (got, sent) => assert_eq!(got, sent),
            }
        }
        assert_eq!(end.next(), None);
    }

    #[test]
    fn a_closed_launcher_never_says_go() {
        let (end, reporter) = Reporter::pair().unwrap();
        end.go().unwrap();
        assert!(reporter.wait());
        drop(end);
        assert!(!reporter.wait());
    }
}
