//! A line for each exchange, on its way to a descriptor that may be slow, blocked or closed.
//!
//! ```text
//! workers ──line──▶ [ lines that wait, bounded ] ──all at once──▶ writer thread ──▶ stdout
//! ```
//!
//! A worker adds its line and goes on: it never waits for whoever reads. What does not fit is
//! dropped and counted, and the count is told in ten's own log. Nothing is rotated here: that is
//! for whoever reads, such as systemd's journal.

mod line;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    mem,
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use ten_domain::AccessLog;
use tokio::{sync::oneshot, time::timeout};

use crate::{Exchange, Observer, buffer};

/// Most bytes of lines that wait for the writer: some 4,000 lines.
pub const MAX_WAITING_LINES: usize = 1 << 20;
/// How long the writer gathers before it writes: under load, one call for many lines.
const GATHER: Duration = Duration::from_millis(10);
/// How long the last lines may take to be written when the server ends.
const LAST_LINES: Duration = Duration::from_secs(1);
/// Losses are told no more often than this, each time with their number.
const TELL_LOSSES: Duration = Duration::from_secs(10);

/// What the kernel writes to a pipe at once, and has room for once it says that it has any
/// (pipe(7)).
const PIPE_BUF: usize = 4096;
/// Why lines are lost where no error says so.
const TOO_SLOW: &str = "whoever reads stdout is too slow";

/// What a worker adds to.
#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Lines have come where none were, or no more will.
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nobody leaves it half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, or counts it as lost.
    fn add(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.closed || waiting.lines.len() + line.len() > MAX_WAITING_LINES {
            waiting.lost += 1;
            return;
        }
        let was_empty = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if was_empty {
            self.changed.notify_one();
        }
    }

    /// Waits for lines and takes them into `lines`, which is empty; with how many were lost
    /// meanwhile, and whether these are the last.
    fn take(&self, lines: &mut Vec<u8>) -> (u64, bool) {
        let idle = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.closed;
        let waiting = self.changed.wait_while(self.lock(), idle);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let gathering = self.changed.wait_timeout_while(waiting, GATHER, |it| !it.closed);
        let (mut waiting, _) = gathering.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut waiting.lines, lines);
        (mem::take(&mut waiting.lost), waiting.closed)
    }
}

/// The access log of a server, with its writer.
#[derive(Debug)]
pub struct AccessLogger {
    format: AccessLog,
    queue: Arc<Queue>,
    written: oneshot::Receiver<()>,
}

impl AccessLogger {
    /// Starts the thread that writes to `out`; `None` where nothing is to be written.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(
        format: AccessLog,
        out: impl Write + AsFd + Send + 'static,
    ) -> io::Result<Option<Self>> {
        if format == AccessLog::Off {
            return Ok(None);
        }
        let queue = Arc::<Queue>::default();
        let (done, written) = oneshot::channel();
        let mut writer =
            Writer { queue: Arc::clone(&queue), out, torn: false, lost: Losses::new() };
        thread::Builder::new().name("access-log".into()).spawn(move || {
            writer.run();
            // Whoever closed the log may have stopped waiting.
            let _ = done.send(());
        })?;
        Ok(Some(Self { format, queue, written }))
    }

    /// Who writes a line for each exchange that it is told of.
    pub fn observer(&self) -> Box<dyn Observer> {
        Box::new(Lines { format: self.format, queue: Arc::clone(&self.queue) })
    }

    /// Writes what is left, for as long as whoever reads takes it. Later lines are lost.
    pub async fn close(self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_one();
        if timeout(LAST_LINES, self.written).await.is_err() {
            tracing::warn!("nobody reads the access log: its last lines are lost");
        }
    }
}

struct Lines {
    format: AccessLog,
    queue: Arc<Queue>,
}

impl Observer for Lines {
    fn observe(&self, exchange: &Exchange) {
        // All workers share the queue: it is locked for no more than a copy.
        let mut line = buffer::take();
        match self.format {
            AccessLog::Off => {}
            AccessLog::Text => line::text(exchange, &mut line),
            AccessLog::Json => line::json(exchange, &mut line),
        }
        self.queue.add(&line);
        buffer::give(line);
    }
}

struct Writer<W> {
    queue: Arc<Queue>,
    out: W,
    /// The last line that was written is not whole.
    torn: bool,
    lost: Losses,
}

impl<W: Write + AsFd> Writer<W> {
    fn run(&mut self) {
        let mut lines = Vec::new();
        loop {
            let (lost, last) = self.queue.take(&mut lines);
            self.lost.add(lost, TOO_SLOW);
            self.put(&lines);
            lines.clear();
            if last {
                return self.lost.tell();
            }
            self.lost.tell_in_time();
        }
    }

    /// Writes lines, or counts those that cannot be written.
    fn put(&mut self, mut lines: &[u8]) {
        if let Err(error) = self.write(&mut lines) {
            let unwritten = memchr::memchr_iter(b'\n', lines).count();
            self.lost.add(unwritten as u64, &error.to_string());
        }
    }

    /// Writes `lines` after the end of what was written before; an error leaves what is left.
    fn write(&mut self, lines: &mut &[u8]) -> io::Result<()> {
        if self.torn {
            self.write_some(b"\n")?;
        }
        while !lines.is_empty() {
            let written = self.write_some(piece(lines))?;
            *lines = &lines[written..];
        }
        Ok(())
    }

    fn write_some(&mut self, piece: &[u8]) -> io::Result<usize> {
        loop {
            self.wait_for_room()?;
            match self.out.write(piece) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.torn = piece[written - 1] != b'\n';
                    return Ok(written);
                }
                Err(error) => match error.kind() {
                    // Somebody else writes to it too, and came first.
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Waits until a piece can be written, or the attempt says why not; and tells meanwhile what
    /// is lost by the wait.
    fn wait_for_room(&mut self) -> Result<(), Errno> {
        let patience = Timespec { tv_sec: TELL_LOSSES.as_secs() as i64, tv_nsec: 0 };
        loop {
            match poll(&mut [PollFd::new(&self.out, PollFlags::OUT)], Some(&patience)) {
                Ok(0) => {}
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            }
            let lost = mem::take(&mut self.queue.lock().lost);
            self.lost.add(lost, TOO_SLOW);
            self.lost.tell_in_time();
        }
    }
}

/// As many whole lines as a pipe that has room takes without a wait.
fn piece(lines: &[u8]) -> &[u8] {
    let most = &lines[..lines.len().min(PIPE_BUF)];
    memchr::memrchr(b'\n', most).map_or(most, |end| &most[..=end])
}

/// Lines that were lost and not told of yet.
struct Losses {
    lines: u64,
    why: String,
    told: Option<Instant>,
}

impl Losses {
    fn new() -> Self {
        Self { lines: 0, why: String::new(), told: None }
    }

    fn add(&mut self, lines: u64, why: &str) {
        if lines > 0 {
            self.lines += lines;
            why.clone_into(&mut self.why);
        }
    }

    fn tell_in_time(&mut self) {
        if self.told.is_none_or(|told| told.elapsed() >= TELL_LOSSES) {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if self.lines > 0 {
            tracing::warn!(lines = self.lines, why = self.why, "lines of the access log are lost");
            (self.lines, self.told) = (0, Some(Instant::now()));
        }
    }
}
