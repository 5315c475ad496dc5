//! The open connections to instances, and who closes some of them where open files are few.
//!
//! An idle connection is kept because it spares the next request a new one, and for nothing else:
//! where there are as many as there may be clients, or no descriptor is left, all that are idle make
//! room for the one that is wanted.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rustix::io::Errno;

use crate::complaint::Complaint;

/// How long to wait before it is asked again whether there is a descriptor: when somebody gives
/// one back, the kernel has no event for it.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// The connections to instances.
#[derive(Debug)]
pub(crate) struct Files {
    open: AtomicUsize,
    most: usize,
    keepers: Mutex<Vec<Weak<dyn Keeper>>>,
    few: Complaint,
    swept: Mutex<Option<Instant>>,
}

/// Who keeps connections that nobody uses.
pub(crate) trait Keeper: std::fmt::Debug + Send + Sync {
    /// Closes them; how many there were.
    fn close_idle(&self) -> usize;
}

/// One that is open.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Files>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Files {
    /// Room for `most` connections.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let (open, keepers, swept) = (AtomicUsize::new(0), Mutex::default(), Mutex::default());
        Arc::new(Self { open, most, keepers, few: Complaint::default(), swept })
    }

    /// From now on asks `keeper` to close what is idle, when room is wanted.
    pub(crate) fn kept_by(&self, keeper: Weak<dyn Keeper>) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        // Only where it would grow are those looked for that are no more.
        if keepers.len() == keepers.capacity() {
            keepers.retain(|keeper| keeper.strong_count() > 0);
        }
        keepers.push(keeper);
    }

    /// Counts one more, and makes room for it: each that is in use has a client.
    pub(crate) fn count(self: &Arc<Self>) -> Counted {
        if self.open.fetch_add(1, Relaxed) >= self.most {
            self.close_idle();
        }
        Counted(Arc::clone(self))
    }

    /// Closes those that nobody uses; how many there were. None where that was just done: many may
    /// ask at a time, and it is a look at every pool.
    pub(crate) fn close_idle(&self) -> usize {
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            if swept.is_some_and(|swept| swept.elapsed() < PAUSE) {
                return 0;
            }
            *swept = Some(Instant::now());
        }
        let keepers: Vec<_> = {
            let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
            keepers.iter().filter_map(Weak::upgrade).collect()
        };
        keepers.iter().map(|keeper| keeper.close_idle()).sum()
    }

    /// Says that there is no descriptor, and not more often than is of use.
    pub(crate) fn complain(&self, error: &io::Error) {
        if let Some(times) = self.few.due() {
            tracing::warn!(%error, times, "no descriptor for a connection: it waits for one");
        }
    }
}

/// Whether there is no descriptor to be had: for this process, or for anybody.
pub(crate) fn are_none(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Keeping(Mutex<Vec<Counted>>);

    impl Keeper for Keeping {
        fn close_idle(&self) -> usize {
            self.0.lock().unwrap().drain(..).len()
        }
    }

    #[test]
    fn what_is_idle_makes_room_and_what_is_used_stays() {
        let files = Files::new(5);
        let keeper = Arc::new(Keeping(Mutex::default()));
        files.kept_by(Arc::<Keeping>::downgrade(&keeper));
        files.kept_by(Weak::<Keeping>::new());
        let used: Vec<_> = (0..3).map(|_| files.count()).collect();
        for _ in 0..2 {
            let one = files.count();
            keeper.0.lock().unwrap().push(one);
        }
        assert_eq!(keeper.0.lock().unwrap().len(), 2);
        let _sixth = files.count();
        assert_eq!(keeper.0.lock().unwrap().len(), 0);
        assert_eq!(files.open.load(Relaxed), used.len() + 1);
    }
}
