//! A bound on a wait that is over before its end nearly always.
//!
//! To set a timer and to take it back costs two locks, and often a wake of the runtime's own
//! thread. So an [`Alarm`] keeps its timer from one wait to the next, set for an end that has
//! passed by when it rings; only then is it moved to the end of the wait that is under way.
//!
//! ```text
//! wait 1  ├──answered──────────┤ end
//! wait 2      ├──answered──────────┤ end
//! wait 3            ├──────────────────┤ end
//! timer   set──────────────────rings──▶moved
//! ```

use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::Context,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer for one wait after the other.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

/// Where an alarm is kept between two waits. Of waits at the same time one has it, and the
/// others have new ones.
#[derive(Debug, Default)]
pub(crate) struct AlarmPlace(Mutex<Alarm>);

impl Alarm {
    /// Whether `end` has come. Wakes the caller's task when it does, and perhaps before.
    pub(crate) fn is_over(&mut self, end: Instant, cx: &mut Context<'_>) -> bool {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() > end {
            timer.as_mut().reset(end);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= end {
                return true;
            }
            // It was set for an earlier wait, which has ended.
            timer.as_mut().reset(end);
        }
        false
    }
}

impl AlarmPlace {
    /// The alarm that is kept there, or a new one.
    pub(crate) fn take(&self) -> Alarm {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps an alarm for the next wait.
    pub(crate) fn put(&self, alarm: Alarm) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = alarm;
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll, time::Duration};

    use super::*;

    async fn over(alarm: &mut Alarm, end: Instant) {
        poll_fn(|cx| if alarm.is_over(end, cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_has_its_own_end_whatever_the_timer_was_set_for() {
        let start = Instant::now();
        let end = |seconds| start + Duration::from_secs(seconds);
        let place = AlarmPlace::default();
        for seconds in [30, 75, 10] {
            // Begun and not waited for: the timer is set, and stays so.
            let mut alarm = place.take();
            poll_fn(|cx| Poll::Ready(alarm.is_over(end(seconds), cx))).await;
            place.put(alarm);
        }
        let mut alarm = place.take();
        for seconds in [20, 50] {
            over(&mut alarm, end(seconds)).await;
            assert_eq!(start.elapsed().as_secs(), seconds);
        }
    }
}
