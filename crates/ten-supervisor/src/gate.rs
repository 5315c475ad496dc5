//! The gate of one process of an instance: who may use it, and how many do.
//!
//! One word holds all of it, so that "nobody uses it", "nobody may use it from now on",
//! "there is room" and "somebody is first" are each decided in one step.
//!
//! ```text
//!   word = CLOSED | QUEUED | number of leases
//!   enter            n < max        → n + 1            refused where full, CLOSED or QUEUED
//!   next_turn        n < max        → n + 1            for the first in the queue; refused
//!                    n = max        → QUEUED | n       where CLOSED, or full: then QUEUED
//!   nobody_waits                    → without QUEUED
//!   leave            n              → n - 1            where QUEUED, reports `Room`
//!   close_if_unused  0              → CLOSED           refused where anybody holds a lease
//!   close            n              → CLOSED | n       the last of the n reports `Drained`
//!   drain            as close; the n are told that the process only waits for them
//!   suspend          n              → CLOSED | n       reports `Unreachable`
//!   reopen           CLOSED | n     → QUEUED | n       it was found to accept after all
//! ```
//!
//! The queue itself is the driver's: who is not let in goes there, whether the instance is
//! full or asleep. The gate only knows whether there is one.
//!
//! **No request is lost to sleep.** It gets its lease before the gate closes, and then the
//! instance does not sleep, or it finds the gate closed and goes to the queue; the driver
//! wakes an instance that sleeps while its queue is not empty.
//!
//! **Nobody waits while there is room.** All changes of one word have one order. The driver
//! leaves somebody waiting only after `next_turn` found n = max and set QUEUED, in one step.
//! Each of those n leases ends after that step, so `leave` sees QUEUED, and its `Room` makes
//! the driver ask for the next turn. Only the driver takes QUEUED back, with an empty queue.
//! A waiter that has gone takes no turn: its lease is dropped, and its `leave` reports too.
//!
//! **Nobody overtakes the queue.** QUEUED is set in the step in which the first of the queue
//! is turned down, and makes `enter` refuse until the queue is empty: it makes the word
//! larger than any `max`. A closed gate turns the queue down without it, so `reopen` sets it
//! too, in case that there is one.

use std::{
    any::Any,
    io,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ten_domain::{Address, InstanceName, Protocol};
use ten_warden::LaunchId;
use tokio::{
    net::TcpSocket,
    sync::{SetOnce, mpsc},
    time::Instant,
};

use crate::{driver::Notice, probe::Reached};

const CLOSED: u64 = 1 << 63;
const QUEUED: u64 = 1 << 62;
const LEASES: u64 = QUEUED - 1;

/// One process of an instance, from the moment when its listener accepts.
#[derive(Debug)]
pub(crate) struct Generation {
    birth: Birth,
    dial: Address,
    slot: OnceLock<Box<dyn Any + Send + Sync>>,
    tally: Arc<Tally>,
    /// For the first of those who wait.
    first: Spare,
}

/// Who uses a process. It is one for as long as the process lives, wherever that is reached.
#[derive(Debug)]
struct Tally {
    /// Times below count from here.
    since: Instant,
    word: AtomicU64,
    /// Milliseconds from `since` to the moment when the last lease ended.
    unused_since: AtomicU64,
    /// Set when the process is to end once nobody uses it.
    draining: SetOnce<()>,
}

/// What a generation is from its beginning to its end.
#[derive(Debug, Clone)]
pub(crate) struct Birth {
    pub(crate) instance: InstanceName,
    pub(crate) launch: LaunchId,
    pub(crate) reached: Reached,
    pub(crate) protocol: Protocol,
    pub(crate) request_timeout: Option<Duration>,
    /// Most leases at one time.
    pub(crate) max: u32,
    /// Counts for all processes of the instance.
    pub(crate) requests: Arc<AtomicU64>,
    pub(crate) notices: mpsc::UnboundedSender<Notice>,
}

impl Generation {
    /// A process whose gate is open. By `spare` it was found to accept: `next_turn` or
    /// `nobody_waits` must follow, because a process that does one thing at a time may wait for
    /// what comes over it.
    pub(crate) fn new(birth: Birth, spare: Option<UnixStream>) -> Arc<Self> {
        let tally = Tally {
            since: Instant::now(),
            word: AtomicU64::new(0),
            unused_since: AtomicU64::new(0),
            draining: SetOnce::new(),
        };
        Self::counted(birth, Arc::new(tally), spare)
    }

    /// The same process, found to accept here again. What was learnt of where it was before,
    /// connections included, stays behind; who uses it still, counts. Its gate is as it was:
    /// whoever shows it opens it.
    pub(crate) fn moved(&self, reached: Reached) -> Arc<Self> {
        Self::counted(Birth { reached, ..self.birth.clone() }, Arc::clone(&self.tally), None)
    }

    fn counted(birth: Birth, tally: Arc<Tally>, spare: Option<UnixStream>) -> Arc<Self> {
        let (dial, first) = (birth.reached.dial(), Spare::of(spare));
        Arc::new(Self { dial, birth, slot: OnceLock::new(), tally, first })
    }

    /// Opens the gate that `suspend` closed, first to those who waited meanwhile: `next_turn`
    /// or `nobody_waits` must follow.
    pub(crate) fn reopen(&self) {
        self.tally.word.fetch_or(QUEUED, Ordering::AcqRel);
        self.tally.word.fetch_and(!CLOSED, Ordering::AcqRel);
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &Address {
        &self.birth.reached.address
    }

    /// How it is connected to.
    pub(crate) fn dial(&self) -> &Address {
        &self.dial
    }

    /// By what it is connected to.
    pub(crate) fn reached(&self) -> &Reached {
        &self.birth.reached
    }

    /// Which launch it is of.
    pub(crate) fn launch(&self) -> LaunchId {
        self.birth.launch
    }

    /// A lease, where there is room and nobody waits for it.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Lease> {
        let room = |word: u64| (word < u64::from(self.birth.max)).then_some(word + 1);
        self.tally.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        Some(self.lease(None))
    }

    /// A lease for the first in the queue. `None` where the gate is closed, or where it is
    /// full: then `Room` is reported when it is not any more.
    pub(crate) fn next_turn(self: &Arc<Self>) -> Option<Lease> {
        let full = |word: u64| word & LEASES >= u64::from(self.birth.max);
        let step = |word: u64| match word {
            _ if word & CLOSED != 0 => None,
            _ if full(word) => Some(word | QUEUED),
            _ => Some(word + 1),
        };
        let before = self.tally.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        // Whoever overtook the first may have all the room there is, and must not wait for what
        // nobody sends over this.
        let spare = self.first.take();
        (!full(before.ok()?)).then(|| self.lease(spare))
    }

    /// The queue is empty: whoever comes may enter again.
    pub(crate) fn nobody_waits(&self) {
        drop(self.first.take());
        self.tally.word.fetch_and(!QUEUED, Ordering::AcqRel);
    }

    fn lease(self: &Arc<Self>, spare: Option<UnixStream>) -> Lease {
        self.birth.requests.fetch_add(1, Ordering::Relaxed);
        Lease { generation: Arc::clone(self), spare: Spare::of(spare) }
    }

    /// Closes the gate if nobody holds a lease; says whether it did.
    pub(crate) fn close_if_unused(&self) -> bool {
        self.tally.word.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Closes the gate for a process that is to end, and tells those who hold a lease that its
    /// end waits for theirs. A process that is gone is only closed: what it has said last may
    /// still be on its way to them.
    pub(crate) fn drain(&self) {
        self.close();
        // Whoever was told before need not be told again.
        let _ = self.tally.draining.set(());
    }

    /// Closes the gate. `Drained` is reported once, now or when the last lease ends.
    pub(crate) fn close(&self) {
        let before = self.tally.word.fetch_or(CLOSED, Ordering::AcqRel);
        if before & LEASES == 0 {
            self.report(Notice::Drained);
        }
    }

    /// Whether it gives leases, or will when there is room.
    pub(crate) fn is_open(&self) -> bool {
        self.tally.word.load(Ordering::Acquire) & CLOSED == 0
    }

    /// Closes the gate because nobody accepts at its address; the driver finds out why.
    fn suspend(&self) {
        let before = self.tally.word.fetch_or(CLOSED, Ordering::AcqRel);
        if before & CLOSED == 0 {
            self.report(Notice::Unreachable);
        }
    }

    /// Leases held now.
    pub(crate) fn in_flight(&self) -> u64 {
        self.tally.word.load(Ordering::Acquire) & LEASES
    }

    /// How long nobody has held a lease; zero where somebody does.
    pub(crate) fn unused_for(&self) -> Duration {
        if self.in_flight() > 0 {
            return Duration::ZERO;
        }
        let ended = Duration::from_millis(self.tally.unused_since.load(Ordering::Acquire));
        self.tally.since.elapsed().saturating_sub(ended)
    }

    fn leave(&self) {
        // Written before the count falls: whoever sees nobody also sees since when.
        let now = self.tally.since.elapsed().as_millis() as u64;
        self.tally.unused_since.fetch_max(now, Ordering::AcqRel);
        let before = self.tally.word.fetch_sub(1, Ordering::AcqRel);
        match (before & CLOSED != 0, before & QUEUED != 0) {
            (true, _) if before & LEASES == 1 => self.report(Notice::Drained),
            (false, true) => self.report(Notice::Room),
            _ => {}
        }
    }

    /// The driver may be gone already when the server ends; then nobody needs to know.
    fn report(&self, notice: impl FnOnce(InstanceName, LaunchId) -> Notice) {
        let _ = self.birth.notices.send(notice(self.birth.instance.clone(), self.birth.launch));
    }
}

/// A connection that nobody has used yet, for one to take. Nearly all leases have none, and then
/// there is no lock to be asked for it either.
#[derive(Debug)]
struct Spare(Option<Mutex<Option<UnixStream>>>);

impl Spare {
    fn of(connection: Option<UnixStream>) -> Self {
        Self(connection.map(|connection| Mutex::new(Some(connection))))
    }

    fn take(&self) -> Option<UnixStream> {
        self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The use of an instance by one request. The instance does not sleep while it lives.
#[derive(Debug)]
pub struct Lease {
    generation: Arc<Generation>,
    spare: Spare,
}

impl Lease {
    /// Which instance.
    pub fn instance(&self) -> &InstanceName {
        &self.generation.birth.instance
    }

    /// Which process of the instance: the number of its launch.
    pub fn process(&self) -> u64 {
        self.generation.birth.launch.0
    }

    /// How it is connected to. Good for as long as the lease lives.
    pub fn address(&self) -> &Address {
        self.generation.dial()
    }

    /// A connection that is there already, where the lease came with one: that by which the
    /// instance was found to accept. Non-blocking, and nobody has used it; it is had once.
    pub fn connection(&self) -> Option<UnixStream> {
        self.spare.take()
    }

    /// A TCP socket to connect to its address with, where that is [`Address::Private`].
    pub async fn socket(&self) -> io::Result<TcpSocket> {
        self.generation.birth.reached.socket().await
    }

    /// What it speaks.
    pub fn protocol(&self) -> Protocol {
        self.generation.birth.protocol
    }

    /// Most requests that its process gets at one time.
    pub fn max_requests(&self) -> u32 {
        self.generation.birth.max
    }

    /// How long it may take to the response head.
    pub fn request_timeout(&self) -> Option<Duration> {
        self.generation.birth.request_timeout
    }

    /// Says that nobody accepts at its address. Nobody gets a lease on this process until it
    /// was seen to accept again; who asks meanwhile waits for that, or for its successor.
    pub fn report_unreachable(&self) {
        self.generation.suspend();
    }

    /// Waits until its process is to end, and does so once nobody uses it any more. For ever,
    /// where that never comes: a process may just vanish.
    pub async fn draining(&self) {
        self.generation.tally.draining.wait().await;
    }

    /// Room for one value of the holder's own, shared by all leases on this process and
    /// gone with it.
    pub fn slot(&self) -> &OnceLock<Box<dyn Any + Send + Sync>> {
        &self.generation.slot
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.generation.leave();
    }
}

#[cfg(test)]
mod tests;
