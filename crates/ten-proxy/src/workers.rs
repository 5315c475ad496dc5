//! Threads that serve clients: one for each processor, each with a runtime of its own.
//!
//! ```text
//!  listener ─▶ acceptor ─┬▶ worker 0   clients, their requests, connections to instances
//!                        └▶ worker 1   the same
//! ```
//!
//! A client stays with the worker it was given to, and its requests use connections of that
//! worker's: a request and its answer wake no other thread. One thread accepts for all, so a
//! connection wakes one worker and the next goes to another; and it does nothing else, so nobody
//! waits to be let in for what others have already asked. Not `SO_REUSEPORT`: with it, any
//! process of the same user could listen on our port too, and nobody would be told.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use tokio::runtime::{self, Handle};

/// The runtimes that clients are served on.
#[derive(Debug)]
pub struct Workers {
    runtimes: Vec<Handle>,
    acceptor: Handle,
    next: AtomicUsize,
}

/// One of the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) index: usize,
    /// How many workers there are.
    pub(crate) of: usize,
}

impl Workers {
    /// Starts a thread for each processor that this process may use, and one that accepts. They end with the process:
    /// what they have under way is what a [`Drain`](crate::Drain) waits for.
    ///
    /// # Errors
    /// If a runtime or a thread cannot be had.
    pub fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let worker = |index| start(format!("worker-{index}"));
        let runtimes = (0..count).map(worker).collect::<io::Result<_>>()?;
        Ok(Self::on(runtimes, start("acceptor".into())?))
    }

    /// The runtime of the caller as the only worker, which accepts as well.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn here() -> Self {
        Self::on(vec![Handle::current()], Handle::current())
    }

    /// That runtime as two workers.
    #[cfg(test)]
    pub(crate) fn two_here() -> Self {
        Self::on(vec![Handle::current(); 2], Handle::current())
    }

    fn on(runtimes: Vec<Handle>, acceptor: Handle) -> Self {
        Self { runtimes, acceptor, next: AtomicUsize::new(0) }
    }

    /// Where clients are accepted.
    pub(crate) fn acceptor(&self) -> &Handle {
        &self.acceptor
    }

    /// The worker whose turn it is.
    pub(crate) fn next(&self) -> (Seat, &Handle) {
        let of = self.runtimes.len();
        let index = self.next.fetch_add(1, Relaxed) % of;
        (Seat { index, of }, &self.runtimes[index])
    }
}

fn start(name: String) -> io::Result<Handle> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let forever = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name(name).spawn(forever)?;
    Ok(handle)
}
