//! Who waits for a lease on one instance: for its turn, or for the instance to wake. One
//! queue for both, first come, first served.
//!
//! ```text
//!   joins ─▶ [ w w w w ] ─▶ next turn: a lease
//!              │
//!              └─ leaves (client gone), or has waited too long
//! ```
//!
//! The queue outlives the processes of its instance: who waits when one dies, waits on for
//! the next. A waiter that has gone is noticed when its turn comes, or when the queue looks
//! full. It knows no gate and starts nothing; the driver owns it.

use std::{collections::VecDeque, time::Duration};

use ten_domain::Refusal;
use tokio::{sync::oneshot, time::Instant};

use crate::Lease;

/// A request that waits for a lease.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// When it came or, where that is later, when what it waits for began: the process that runs,
    /// or the moving of its data.
    pub(crate) since: Instant,
    pub(crate) reply: oneshot::Sender<Result<Lease, Refusal>>,
}

impl Waiter {
    fn has_gone(&self) -> bool {
        self.reply.is_closed()
    }

    /// A client that has left needs no answer; its lease ends here.
    pub(crate) fn answer(self, answer: Result<Lease, Refusal>) {
        let _ = self.reply.send(answer);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiters: VecDeque<Waiter>,
}

impl Queue {
    /// Takes the last place, where fewer than `limit` are taken; else the waiter comes back.
    pub(crate) fn join(&mut self, waiter: Waiter, limit: usize) -> Result<(), Waiter> {
        if self.waiters.len() >= limit {
            self.waiters.retain(|waiter| !waiter.has_gone());
        }
        if self.waiters.len() >= limit {
            return Err(waiter);
        }
        self.waiters.push_back(waiter);
        Ok(())
    }

    /// Who is first, of those who are still there.
    pub(crate) fn first(&mut self) -> Option<&Waiter> {
        while self.waiters.front().is_some_and(Waiter::has_gone) {
            self.waiters.pop_front();
        }
        self.waiters.front()
    }

    pub(crate) fn pop(&mut self) -> Option<Waiter> {
        self.waiters.pop_front()
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.first().is_none()
    }

    /// From now on it is something else that they wait for: a turn, where the process begins to run.
    pub(crate) fn count_from(&mut self, now: Instant) {
        self.waiters.iter_mut().for_each(|waiter| waiter.since = now);
    }

    /// Sends those away who have waited as long as may be.
    pub(crate) fn expire(&mut self, timeout: Duration, now: Instant, refusal: Refusal) {
        // The first has waited longest.
        while self.first().is_some_and(|first| first.since + timeout <= now) {
            self.pop().into_iter().for_each(|waiter| waiter.answer(Err(refusal)));
        }
    }

    pub(crate) fn refuse_all(&mut self, refusal: Refusal) {
        self.waiters.drain(..).for_each(|waiter| waiter.answer(Err(refusal)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = oneshot::Receiver<Result<Lease, Refusal>>;

    fn waiter(since: Instant) -> (Waiter, Answer) {
        let (reply, answer) = oneshot::channel();
        (Waiter { since, reply }, answer)
    }

    #[test]
    fn who_has_gone_holds_no_place() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let [(one, gone), (two, _two), (three, _three), (four, _four)] =
            [(); 4].map(|()| waiter(now));
        queue.join(one, 2).unwrap();
        queue.join(two, 2).unwrap();
        let three = queue.join(three, 2).unwrap_err();
        drop(gone);
        queue.join(three, 2).unwrap();
        assert!(queue.join(four, 2).is_err());
    }

    #[test]
    fn a_queue_of_the_gone_is_empty() {
        let mut queue = Queue::default();
        let (one, gone) = waiter(Instant::now());
        queue.join(one, 1).unwrap();
        assert!(!queue.is_empty());
        drop(gone);
        assert!(queue.is_empty());
    }

    #[test]
    fn time_counts_from_the_start_of_the_process() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let at = |second| now + Duration::from_secs(second);
        let (one, mut answer) = waiter(now);
        queue.join(one, 1).unwrap();
        queue.count_from(at(7));
        queue.expire(Duration::from_secs(5), at(11), Refusal::Busy);
        assert!(!queue.is_empty());
        queue.expire(Duration::from_secs(5), at(12), Refusal::Busy);
        assert!(matches!(answer.try_recv(), Ok(Err(Refusal::Busy))));
        assert!(queue.is_empty());
    }
}
