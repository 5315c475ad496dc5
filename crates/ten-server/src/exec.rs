//! The streams of a command, carried between its operator's connection and its pipes or its
//! terminal.
//!
//! ```text
//! connection ─ Stdin, Resize ─► inbound ─► stdin or terminal
//!            ◄ Stdout, Stderr ─ outbound ◄ stdout and stderr, or terminal
//!            ◄ End ──────────── outbound ◄ what became of it
//! ```
//!
//! Each direction waits for its own reader and for nothing else. An operator who goes away is
//! noticed also while one of them waits. Whatever ends this ends the command.

use std::{fs::File, io, os::fd::OwnedFd};

use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use rustix::{
    io::Errno,
    termios::{Winsize, tcsetwinsize},
};
use ten_api::{ExecEnd, ExecExit, FRAME_MAX, Frame, FrameKind, Frames};
use ten_kernel::Streams;
use ten_supervisor::{Outcome, Running};
use tokio::{
    io::Interest,
    net::{
        UnixStream,
        unix::pipe::{Receiver, Sender},
    },
};

/// Commands inside instances at one time: each takes up to six descriptors of the front.
pub(crate) const AT_ONCE: usize = 32;
/// Most bytes of each stream that are still read when a command has ended: as much as a pipe
/// may hold (fs.pipe-max-size). Whoever else in its instance has opened the pipe may write on.
const LAST_BYTES: usize = 1024 * 1024;
/// What shells, and `env`, return for a command that cannot be executed or found.
const NOT_EXECUTED: [u8; 2] = [126, 127];

/// Serves a command until it has ended, or its operator has gone.
pub(crate) async fn serve(upgrade: OnUpgrade, running: Running) -> io::Result<ExecExit> {
    let upgraded = upgrade.await.map_err(io::Error::other)?;
    let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<UnixStream>>() else {
        return Err(io::Error::other("it is not a connection of the admin socket"));
    };
    let operator = io.into_inner();
    let Running { streams, end } = running;
    let (input, outputs) = carried(streams)?;
    let mut frames = Frames::default();
    frames.push(&read_buf);
    let inbound = async {
        inbound(&operator, frames, input).await?;
        // Nothing more comes, and what is to go out goes on.
        std::future::pending().await
    };
    tokio::select! {
        end = outbound(&operator, outputs, &end) => end,
        failed = inbound => failed,
        // Reported also where it has left something unread.
        _ = operator.ready(Interest::PRIORITY) => Err(io::Error::other("its operator has gone")),
    }
}

/// Where a command is written to.
struct Input {
    stream: Sender,
    terminal: Option<OwnedFd>,
}

type Output = (FrameKind, Receiver);

fn carried(streams: Streams) -> io::Result<(Input, Vec<Output>)> {
    Ok(match streams {
        Streams::Pipes { stdin, stdout, stderr } => {
            let input = Input { stream: Sender::from_owned_fd(stdin)?, terminal: None };
            let stdout = (FrameKind::Stdout, Receiver::from_owned_fd(stdout)?);
            let stderr = (FrameKind::Stderr, Receiver::from_owned_fd(stderr)?);
            (input, vec![stdout, stderr])
        }
        // To tokio it is a pipe like any other, once in each direction.
        Streams::Terminal(master) => {
            let stream = Sender::from_file_unchecked(File::from(master.try_clone()?))?;
            let output = Receiver::from_file_unchecked(File::from(master.try_clone()?))?;
            (Input { stream, terminal: Some(master) }, vec![(FrameKind::Stdout, output)])
        }
    })
}

/// Until the operator has closed stdin, or has gone.
async fn inbound(operator: &UnixStream, mut frames: Frames, input: Input) -> io::Result<()> {
    let mut input = Some(input);
    let mut block = vec![0; FRAME_MAX];
    loop {
        while let Some(frame) = frames.take().map_err(io::Error::other)? {
            match (frame.kind, &input) {
                (FrameKind::Stdin, _) if frame.content.is_empty() => input = None,
                (FrameKind::Stdin, Some(Input { stream, .. })) => {
                    if write_all(stream, &frame.content).await.is_err() {
                        // It does not read any more.
                        input = None;
                    }
                }
                (FrameKind::Resize, Some(Input { terminal: Some(terminal), .. })) => {
                    resize(terminal, &frame)?;
                }
                (FrameKind::Stdin | FrameKind::Resize, _) => {}
                (FrameKind::Stdout | FrameKind::Stderr | FrameKind::End, _) => {
                    return Err(io::Error::other("its operator sent what only ten sends"));
                }
            }
        }
        operator.readable().await?;
        match operator.try_read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(read) => frames.push(&block[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn resize(terminal: &OwnedFd, frame: &Frame) -> io::Result<()> {
    let size = frame.size().map_err(io::Error::other)?;
    let (ws_row, ws_col) = (size.rows, size.columns);
    // Its foreground processes hear SIGWINCH.
    Ok(tcsetwinsize(terminal, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 })?)
}

/// Until the command has ended and all that it wrote is passed on.
async fn outbound(
    operator: &UnixStream,
    mut outputs: Vec<Output>,
    ended: &Outcome,
) -> io::Result<ExecExit> {
    let mut block = vec![0; FRAME_MAX];
    // At most two streams.
    let status = loop {
        let ready = tokio::select! {
            status = ended.status() => break status?,
            () = readable(outputs.first()) => 0,
            () = readable(outputs.get(1)) => 1,
        };
        let (kind, stream) = &outputs[ready];
        match read(stream, &mut block) {
            Ok(Some(0)) => drop(outputs.remove(ready)),
            Ok(Some(read)) => send(operator, *kind, &block[..read]).await?,
            Ok(None) => {}
            Err(error) => return Err(error),
        }
    };
    for (kind, stream) in &outputs {
        let mut left = LAST_BYTES;
        // Past tokio, which may not have heard yet that there is something.
        while left > 0
            && let Ok(read @ 1..) = rustix::io::read(stream, &mut block)
        {
            send(operator, *kind, &block[..read]).await?;
            left = left.saturating_sub(read);
        }
    }
    let exit = exit(status);
    let stumbled = matches!(exit, ExecExit::Code(code) if NOT_EXECUTED.contains(&code));
    let hint = if stumbled { ended.why_not().await } else { None };
    let end = serde_json::to_vec(&ExecEnd { exit, hint })?;
    send(operator, FrameKind::End, &end).await?;
    Ok(exit)
}

/// Until one of the streams, if there is that one, has something to read or has ended.
async fn readable(output: Option<&Output>) {
    match output {
        // What is wrong with it, reading says as well.
        Some((_, stream)) => drop(stream.readable().await),
        None => std::future::pending().await,
    }
}

/// What can be read now: nothing at the end, `None` where that is to come.
fn read(stream: &Receiver, block: &mut [u8]) -> io::Result<Option<usize>> {
    match stream.try_read(block) {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        // How a terminal ends (pty(7)).
        Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(Some(0)),
        Err(error) => Err(error),
    }
}

async fn write_all(stream: &Sender, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn send(operator: &UnixStream, kind: FrameKind, content: &[u8]) -> io::Result<()> {
    let frame = Frame::encode(kind, content);
    let mut bytes = frame.as_slice();
    while !bytes.is_empty() {
        operator.writable().await?;
        match operator.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A raw wait status (wait(2)).
fn exit(status: Option<i32>) -> ExecExit {
    match status.map(|status| (status & 0x7f, status >> 8)) {
        None => ExecExit::Instance,
        Some((0, code)) => ExecExit::Code((code & 0xff) as u8),
        Some((signal, _)) => ExecExit::Signal(signal as u8),
    }
}
