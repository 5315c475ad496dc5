//! The gate of one process of an instance: who may use it, and how many do.
//!
//! One word holds both, so that "nobody uses it" and "nobody may use it from now on" are
//! decided in one step: a request either gets its lease before the gate closes, and then
//! the instance does not sleep, or it finds the gate closed, and then it wakes the
//! instance. There is no moment in between in which it could be lost.
//!
//! ```text
//!   word = CLOSED bit | number of leases
//!   enter            n        → n + 1         refused where CLOSED
//!   close_if_unused  0        → CLOSED        refused where anybody holds a lease
//!   close            n        → CLOSED | n    the last of the n reports `drained`
//!   suspend          n        → CLOSED | n    reports `unreachable`
//! ```

use std::{
    any::Any,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ten_domain::{Address, InstanceName, Protocol};
use ten_warden::LaunchId;
use tokio::{sync::mpsc, time::Instant};

use crate::{driver::Notice, probe::Reached};

const CLOSED: u64 = 1 << 63;

/// One process of an instance, from the moment when its listener accepts.
#[derive(Debug)]
pub(crate) struct Generation {
    birth: Birth,
    dial: Address,
    /// Times below count from here.
    since: Instant,
    slot: OnceLock<Box<dyn Any + Send + Sync>>,
    word: AtomicU64,
    /// Milliseconds from `since` to the moment when the last lease ended.
    unused_since: AtomicU64,
}

/// What a generation is from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) instance: InstanceName,
    pub(crate) launch: LaunchId,
    pub(crate) reached: Reached,
    pub(crate) protocol: Protocol,
    pub(crate) request_timeout: Option<Duration>,
    /// Counts for all processes of the instance.
    pub(crate) requests: Arc<AtomicU64>,
    pub(crate) notices: mpsc::UnboundedSender<Notice>,
}

impl Generation {
    /// A process whose gate is open.
    pub(crate) fn new(birth: Birth) -> Arc<Self> {
        Arc::new(Self {
            dial: birth.reached.dial(),
            birth,
            since: Instant::now(),
            slot: OnceLock::new(),
            word: AtomicU64::new(0),
            unused_since: AtomicU64::new(0),
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &Address {
        &self.birth.reached.address
    }

    /// How it is connected to.
    pub(crate) fn dial(&self) -> &Address {
        &self.dial
    }

    /// Which launch it is of.
    pub(crate) fn launch(&self) -> LaunchId {
        self.birth.launch
    }

    /// A lease, unless the gate is closed.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Lease> {
        let admit = |word: u64| (word & CLOSED == 0).then_some(word + 1);
        self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, admit).ok()?;
        self.birth.requests.fetch_add(1, Ordering::Relaxed);
        Some(Lease(Arc::clone(self)))
    }

    /// Closes the gate if nobody holds a lease; says whether it did.
    pub(crate) fn close_if_unused(&self) -> bool {
        self.word.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Closes the gate. `Drained` is reported once, now or when the last lease ends.
    pub(crate) fn close(&self) {
        let before = self.word.fetch_or(CLOSED, Ordering::AcqRel);
        if before & !CLOSED == 0 {
            self.report_drained();
        }
    }

    /// Closes the gate because nobody accepts at its address; the driver finds out why.
    fn suspend(&self) {
        let before = self.word.fetch_or(CLOSED, Ordering::AcqRel);
        if before & CLOSED == 0 {
            let notice = Notice::Unreachable(self.birth.instance.clone(), self.birth.launch);
            // The driver may be gone already when the server ends.
            let _ = self.birth.notices.send(notice);
        }
    }

    /// Leases held now.
    pub(crate) fn in_flight(&self) -> u64 {
        self.word.load(Ordering::Acquire) & !CLOSED
    }

    /// How long nobody has held a lease; zero where somebody does.
    pub(crate) fn unused_for(&self) -> Duration {
        if self.in_flight() > 0 {
            return Duration::ZERO;
        }
        let ended = Duration::from_millis(self.unused_since.load(Ordering::Acquire));
        self.since.elapsed().saturating_sub(ended)
    }

    fn leave(&self) {
        // Written before the count falls: whoever sees nobody also sees since when.
        let now = self.since.elapsed().as_millis() as u64;
        self.unused_since.fetch_max(now, Ordering::AcqRel);
        if self.word.fetch_sub(1, Ordering::AcqRel) == CLOSED | 1 {
            self.report_drained();
        }
    }

    /// The driver may be gone already when the server ends; then nobody needs to know.
    fn report_drained(&self) {
        let notice = Notice::Drained(self.birth.instance.clone(), self.birth.launch);
        let _ = self.birth.notices.send(notice);
    }
}

/// The use of an instance by one request. The instance does not sleep while it lives.
#[derive(Debug)]
pub struct Lease(Arc<Generation>);

impl Lease {
    /// Which instance.
    pub fn instance(&self) -> &InstanceName {
        &self.0.birth.instance
    }

    /// Which process of the instance: the number of its launch.
    pub fn process(&self) -> u64 {
        self.0.birth.launch.0
    }

    /// How it is connected to. Good for as long as the lease lives.
    pub fn address(&self) -> &Address {
        self.0.dial()
    }

    /// What it speaks.
    pub fn protocol(&self) -> Protocol {
        self.0.birth.protocol
    }

    /// How long it may take to the response head.
    pub fn request_timeout(&self) -> Option<Duration> {
        self.0.birth.request_timeout
    }

    /// Says that nobody accepts at its address. Nobody gets a lease on this process until it
    /// was seen to accept again; who asks meanwhile waits for that, or for its successor.
    pub fn report_unreachable(&self) {
        self.0.suspend();
    }

    /// Room for one value of the holder's own, shared by all leases on this process and
    /// gone with it.
    pub fn slot(&self) -> &OnceLock<Box<dyn Any + Send + Sync>> {
        &self.0.slot
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation() -> (Arc<Generation>, mpsc::UnboundedReceiver<Notice>) {
        let (notices, seen) = mpsc::unbounded_channel();
        let address = Address::Tcp(([127, 0, 0, 1], 1).into());
        let name = "api:prod".parse().unwrap();
        let generation = Generation::new(Birth {
            instance: name,
            launch: LaunchId(7),
            reached: Reached { address, socket: None },
            protocol: Protocol::Http1,
            request_timeout: None,
            requests: Arc::default(),
            notices,
        });
        (generation, seen)
    }

    #[test]
    fn a_used_gate_cannot_be_closed_for_idleness() {
        let (generation, _seen) = generation();
        let lease = generation.enter().unwrap();
        assert!(!generation.close_if_unused());
        drop(lease);
        assert!(generation.close_if_unused());
        assert!(generation.enter().is_none());
    }

    #[test]
    fn the_last_lease_of_a_closed_gate_reports_once() {
        let (generation, mut seen) = generation();
        let (one, two) = (generation.enter().unwrap(), generation.enter().unwrap());
        generation.close();
        drop(one);
        assert!(seen.try_recv().is_err());
        drop(two);
        assert!(matches!(seen.try_recv(), Ok(Notice::Drained(_, LaunchId(7)))));
        assert!(seen.try_recv().is_err());
    }

    #[test]
    fn closing_an_unused_gate_reports_at_once() {
        let (generation, mut seen) = generation();
        generation.close();
        assert!(matches!(seen.try_recv(), Ok(Notice::Drained(..))));
    }

    #[test]
    fn an_unreachable_process_gives_no_lease_any_more() {
        let (generation, mut seen) = generation();
        let lease = generation.enter().unwrap();
        lease.report_unreachable();
        lease.report_unreachable();
        assert!(matches!(seen.try_recv(), Ok(Notice::Unreachable(_, LaunchId(7)))));
        assert!(seen.try_recv().is_err(), "reported twice");
        assert!(generation.enter().is_none());
    }

    #[test]
    fn requests_and_the_reaper_never_both_win() {
        let (generation, _seen) = generation();
        let racers: Vec<_> = (0..4)
            .map(|_| {
                let generation = Arc::clone(&generation);
                std::thread::spawn(move || {
                    for _ in 0..20_000 {
                        if let Some(lease) = generation.enter() {
                            assert!(!generation.close_if_unused(), "closed under a lease");
                            drop(lease);
                        }
                    }
                })
            })
            .collect();
        racers.into_iter().for_each(|racer| racer.join().unwrap());
        assert_eq!(generation.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn idleness_is_counted_from_the_end_of_the_last_use() {
        let (generation, _seen) = generation();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(generation.unused_for(), Duration::from_secs(5));
        let lease = generation.enter().unwrap();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(generation.unused_for(), Duration::ZERO);
        drop(lease);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(generation.unused_for(), Duration::from_secs(2));
    }
}
