//! One pipe of one instance → its lines.
//!
//! The pipe is a FIFO that tenants hold open for reading and writing, so its end is seen only
//! when every process that inherited it has gone. A process that escaped its tree, or a copy
//! of the descriptor that someone keeps, would hold it open for ever; therefore the recorder
//! is told when the tree has ended.

use std::{io, os::fd::OwnedFd};

use jiff::Timestamp;
use rustix::io::Errno;
use ten_domain::InstanceName;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

use crate::{Framer, Logs, Piece, Stream};

/// Bytes per read: small enough to share the thread fairly with requests.
const READ_BYTES: usize = 16 * 1024;

/// Records everything that is written to a pipe, until the pipe is at its end or `ended` is
/// cancelled and the pipe is empty.
///
/// Someone must have the pipe open for writing already, else it is at its end at once
/// (pipe(7)). The descriptor becomes non-blocking.
///
/// # Errors
///
/// When `pipe` is not the readable end of a pipe, or a read fails. What was read until then
/// is recorded.
pub async fn record_stream(
    logs: Logs,
    instance: InstanceName,
    stream: Stream,
    pipe: OwnedFd,
    ended: CancellationToken,
) -> io::Result<()> {
    let pipe = pipe::Receiver::from_owned_fd(pipe)?;
    let mut framer = Framer::new();
    let mut give = |piece| logs.record(&instance, stream, Timestamp::now(), piece);
    let result = tokio::select! {
        end = record_until_end(&pipe, &mut framer, &mut give) => end,
        () = ended.cancelled() => drain(&pipe, &mut framer, &mut give),
    };
    framer.finish(give);
    result
}

async fn record_until_end(
    pipe: &pipe::Receiver,
    framer: &mut Framer,
    give: &mut impl FnMut(Piece),
) -> io::Result<()> {
    loop {
        pipe.readable().await?;
        match read_once(pipe, framer, give) {
            Ok(0) => return Ok(()),
            Ok(_) => tokio::task::yield_now().await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Its buffer is on the stack and never part of a waiting task: thousands of silent pipes
/// cost no memory for it.
fn read_once(
    pipe: &pipe::Receiver,
    framer: &mut Framer,
    give: &mut impl FnMut(Piece),
) -> io::Result<usize> {
    let mut buffer = [0; READ_BYTES];
    let len = pipe.try_read(&mut buffer)?;
    framer.push(&buffer[..len], give);
    Ok(len)
}

/// Reads what is in the pipe now. At most as much as it holds, so that a writer which has
/// outlived its tree cannot keep us; and past tokio, whose idea of what is readable may be
/// older than the last write.
fn drain(
    pipe: &pipe::Receiver,
    framer: &mut Framer,
    give: &mut impl FnMut(Piece),
) -> io::Result<()> {
    let mut buffer = [0; READ_BYTES];
    let mut left = rustix::pipe::fcntl_getpipe_size(pipe)?;
    while left > 0 {
        match rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut buffer)) {
            Ok(0) | Err(Errno::AGAIN) => break,
            Ok(len) => {
                framer.push(&buffer[..len], &mut *give);
                left = left.saturating_sub(len);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
