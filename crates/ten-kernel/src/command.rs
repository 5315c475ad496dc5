//! A command for a tree that runs, and what its asker and its minder say to each other: one
//! SOCK_SEQPACKET pair for each, whose inner end goes in through the tree's door.
//!
//! ```text
//! asker ── CommandLine ──────────────► minder
//!       ◄─ Started + Streams | Failed ──       it was executed, or could not be
//!       ◄─ Ended ───────────────────────       it ended, and nothing of it is left
//!       ── (hangs up) ───────────────►         it is no longer wanted
//! ```
//!
//! The ends of its streams are made inside, by the user of the tree, and passed out: so a
//! command may open its /dev/stdout again, and its terminal is one of the tree's own.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};

use crate::{
    failure::Failure,
    report::{FRAME, Report},
};

/// Most bytes of a command with its arguments: with its bookkeeping it fits one message of a
/// socket whose buffers nobody has made larger (net.core.wmem_default).
pub const COMMAND_MAX: usize = 64 * 1024;

/// Streams that are passed out: stdin, stdout, stderr.
const STREAMS: usize = 3;

/// What to run, in the environment and the working folder of a tree's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The program, which is looked for in the tree's PATH as execvp(3) does, and its
    /// arguments.
    pub argv: Vec<String>,
    /// The terminal that it gets; none: three pipes.
    pub terminal: Option<Terminal>,
}

/// A terminal to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// Lines of text.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
    /// What it understands (`TERM`); empty: nobody knows.
    pub kind: String,
}

/// Why a command cannot even be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// There is no program.
    #[error("there is no command")]
    Empty,
    /// An argument cannot be passed to any program.
    #[error("an argument contains NUL")]
    Nul,
    /// It does not fit.
    #[error("it has {bytes} bytes with its arguments, and at most {COMMAND_MAX} can be passed on")]
    TooLong {
        /// How many it has.
        bytes: usize,
    },
}

impl CommandLine {
    /// `T` or `P`, the size (two u16), then texts that each end with NUL: `TERM`, and `argv`.
    fn encode(&self) -> Result<Vec<u8>, CommandLineError> {
        let (letter, size, kind) = match &self.terminal {
            Some(terminal) => (b'T', [terminal.rows, terminal.columns], terminal.kind.as_str()),
            None => (b'P', [0; 2], ""),
        };
        let mut bytes = vec![letter];
        bytes.extend(size.into_iter().flat_map(u16::to_le_bytes));
        for text in std::iter::once(kind).chain(self.argv.iter().map(String::as_str)) {
            if text.contains('\0') {
                return Err(CommandLineError::Nul);
            }
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        match bytes.len() {
            _ if self.argv.is_empty() => Err(CommandLineError::Empty),
            bytes if bytes > COMMAND_MAX => Err(CommandLineError::TooLong { bytes }),
            _ => Ok(bytes),
        }
    }

    /// `None` for what no asker of ours sends.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, texts) = bytes.split_first_chunk::<5>()?;
        let [letter, r0, r1, c0, c1] = *head;
        let mut texts = texts.strip_suffix(&[0])?.split(|byte| *byte == 0);
        let mut text = || texts.next().and_then(|text| String::from_utf8(text.to_vec()).ok());
        let kind = text()?;
        let argv: Vec<_> = std::iter::from_fn(text).collect();
        let [rows, columns] = [[r0, r1], [c0, c1]].map(u16::from_le_bytes);
        let terminal = match letter {
            b'T' => Some(Terminal { rows, columns, kind }),
            b'P' => None,
            _ => return None,
        };
        (!argv.is_empty()).then_some(Self { argv, terminal })
    }
}

/// The outer ends of what a command reads and writes; non-blocking.
#[derive(Debug)]
pub enum Streams {
    /// The master of its terminal (pty(7)). Reading fails with EIO once nobody has the
    /// terminal open any more.
    Terminal(OwnedFd),
    /// A pipe each.
    Pipes {
        /// To write to.
        stdin: OwnedFd,
        /// To read from.
        stdout: OwnedFd,
        /// To read from.
        stderr: OwnedFd,
    },
}

impl Streams {
    fn of(fds: Vec<OwnedFd>) -> Option<Self> {
        let mut fds = fds.into_iter();
        match (fds.next(), fds.next(), fds.next()) {
            (Some(terminal), None, None) => Some(Self::Terminal(terminal)),
            (Some(stdin), Some(stdout), Some(stderr)) => {
                Some(Self::Pipes { stdin, stdout, stderr })
            }
            _ => None,
        }
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Terminal(terminal) => vec![terminal.as_fd()],
            Self::Pipes { stdin, stdout, stderr } => {
                vec![stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]
            }
        }
    }
}

/// Says what to run, at the asker's end, before anybody has the other.
pub(crate) fn ask(end: &OwnedFd, line: &CommandLine) -> io::Result<()> {
    let bytes = line.encode();
    let bytes = bytes.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(send(end, &bytes, &[])?)
}

/// The streams of a command, from the end that [`Door::run`](crate::Door::run) gave, once it
/// was executed; or why it could not be. Fails with [`io::ErrorKind::WouldBlock`] where neither
/// is known yet, and with [`io::ErrorKind::ConnectionRefused`] where nobody will ever say.
pub fn take_start(end: impl AsFd) -> io::Result<Result<Streams, Failure>> {
    match take(end.as_fd())? {
        Some((Report::Started, fds)) => {
            Streams::of(fds).map(Ok).ok_or_else(|| io::ErrorKind::InvalidData.into())
        }
        Some((Report::Failed(failure), _)) => Ok(Err(failure)),
        Some(_) => Err(io::ErrorKind::InvalidData.into()),
        None => Err(io::ErrorKind::ConnectionRefused.into()),
    }
}

/// The raw status with which a command ended (wait(2)), when nothing of it is left and all that
/// it wrote can be read; `None` where its minder ended before it, mostly because the tree did.
/// Fails with [`io::ErrorKind::WouldBlock`] as long as it runs.
pub fn take_end(end: impl AsFd) -> io::Result<Option<i32>> {
    match take(end.as_fd())? {
        Some((Report::Ended(status), _)) => Ok(Some(status)),
        Some(_) => Err(io::ErrorKind::InvalidData.into()),
        None => Ok(None),
    }
}

/// `None` at the end.
fn take(end: BorrowedFd<'_>) -> io::Result<Option<(Report, Vec<OwnedFd>)>> {
    let mut frame = [0; FRAME];
    match receive(end, &mut frame) {
        // It left before it had read what it was asked.
        Ok((0, _)) | Err(Errno::CONNRESET) => Ok(None),
        // Nobody asks who sent it.
        Ok((FRAME, fds)) => Report::decode(&frame, 0)
            .map(|report| Some((report, fds)))
            .ok_or_else(|| io::ErrorKind::InvalidData.into()),
        Ok(_) => Err(io::ErrorKind::InvalidData.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// The minder's end; non-blocking.
#[derive(Debug)]
pub(crate) struct MinderEnd(pub(crate) OwnedFd);

impl MinderEnd {
    /// What the asker wants to be run; it said so before it knocked.
    pub(crate) fn take(&self) -> Result<CommandLine, Errno> {
        let mut bytes = vec![0; COMMAND_MAX];
        let (len, _) = receive(self.0.as_fd(), &mut bytes)?;
        CommandLine::decode(&bytes[..len]).ok_or(Errno::BADMSG)
    }

    /// Whether the asker has gone. It has nothing more to say.
    pub(crate) fn is_alone(&self) -> bool {
        !matches!(receive(self.0.as_fd(), &mut [0]), Err(Errno::AGAIN | Errno::INTR))
    }

    /// An asker that is gone is seen to be, and needs to hear nothing.
    pub(crate) fn say(&self, report: &Report, streams: Option<&Streams>) {
        let fds = streams.map(Streams::fds).unwrap_or_default();
        if let Err(errno) = send(&self.0, &report.encode(), &fds)
            && streams.is_some()
        {
            // Too many descriptors are on their way already (unix(7), ETOOMANYREFS).
            let failure = Failure::of(crate::failure::Step::Report)(errno);
            let _ = send(&self.0, &Report::Failed(failure).encode(), &[]);
        }
    }
}

impl AsFd for MinderEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn send(socket: &OwnedFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags).map(drop)
}

/// How many bytes came, 0 at the end, and the descriptors beside them.
fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let got = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    Ok((got.bytes, fds.flatten().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(argv: &[&str], terminal: Option<Terminal>) -> CommandLine {
        CommandLine { argv: argv.iter().map(|word| (*word).to_owned()).collect(), terminal }
    }

    #[test]
    fn a_command_line_survives_the_way() {
        let terminal = Terminal { rows: 24, columns: 300, kind: "xterm-256color".into() };
        for line in [
            line(&["sh", "-c", "echo \u{e9}; exit 3", ""], None),
            line(&[""], Some(terminal.clone())),
            line(&["top"], Some(Terminal { kind: String::new(), ..terminal })),
        ] {
            assert_eq!(CommandLine::decode(&line.encode().unwrap()).as_ref(), Some(&line));
        }
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        assert_eq!(line(&[], None).encode(), Err(CommandLineError::Empty));
        assert_eq!(line(&["a\0b"], None).encode(), Err(CommandLineError::Nul));
        let long = line(&["x", &"y".repeat(COMMAND_MAX)], None).encode();
        assert!(matches!(long, Err(CommandLineError::TooLong { bytes }) if bytes > COMMAND_MAX));
        for noise in
            [&b""[..], b"P", b"P\0\0\0\0", b"X\0\0\0\0\0a\0", b"P\0\0\0\0\0", b"T\0\0\0\0a"]
        {
            assert_eq!(CommandLine::decode(noise), None, "{noise:?}");
        }
    }
}
