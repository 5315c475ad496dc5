//! A future that waits beside a busy one.
//!
//! A task polls all that it waits for whenever any of it may have happened. What happens once in
//! the life of a connection is then asked after with every request. [`Seldom`] asks only when it
//! was woken by what it waits for.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Acquire, Ordering::Release},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Polls its future only when that has woken it. For futures that do not move between tasks: the
/// task that polls it first is the one that is woken.
pub(crate) struct Seldom<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl<F: Future> Seldom<F> {
    pub(crate) fn new(future: F) -> Self {
        let bell = Bell { rung: AtomicBool::new(true), task: Mutex::default() };
        Self { future: Box::pin(future), bell: Arc::new(bell) }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Release);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.wake_by_ref();
        }
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !self.bell.rung.load(Acquire) {
            return Poll::Pending;
        }
        let mut task = self.bell.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.get_or_insert_with(|| cx.waker().clone());
        drop(task);
        // Before the look: who rings during it is heard the next time.
        self.bell.rung.swap(false, AcqRel);
        let waker = Waker::from(Arc::clone(&self.bell));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, poll_fn},
        pin::pin,
        sync::atomic::{AtomicU32, Ordering::Relaxed},
    };

    use super::*;

    #[tokio::test]
    async fn is_asked_only_after_it_was_woken() {
        let asked = AtomicU32::new(0);
        let waker = Mutex::new(None);
        let mut seldom = pin!(Seldom::new(poll_fn(|cx| {
            *waker.lock().unwrap() = Some(cx.waker().clone());
            match asked.fetch_add(1, Relaxed) {
                0 => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })));
        for _ in 0..3 {
            let now = poll_fn(|cx| Poll::Ready(seldom.as_mut().poll(cx))).await;
            assert_eq!((now, asked.load(Relaxed)), (Poll::Pending, 1));
        }
        waker.lock().unwrap().take().unwrap().wake();
        tokio::select! {
            biased;
            () = seldom => assert_eq!(asked.load(Relaxed), 2),
            () = pending() => {}
        }
    }
}
