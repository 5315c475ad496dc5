//! What the next launch needs, made while nobody waits for one. Of many launches at once the others
//! make their own.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

/// How long nobody must have asked before the next is made: who asks now should not wait.
const QUIET: Duration = Duration::from_millis(20);

/// At most one, and when there has to be one.
#[derive(Debug)]
pub(crate) struct Ahead<T> {
    spare: RefCell<Option<T>>,
    due: Cell<Option<Instant>>,
}

impl<T> Ahead<T> {
    pub(crate) fn none() -> Self {
        Self { spare: RefCell::new(None), due: Cell::new(None) }
    }

    /// Has one made at once.
    pub(crate) fn expect(&self) {
        self.due.set(Some(Instant::now()));
    }

    /// The one that was made, and another later.
    pub(crate) fn take(&self) -> Option<T> {
        self.due.set(Some(Instant::now() + QUIET));
        self.spare.take()
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.get()
    }

    /// Makes it when it is due. Where it cannot be made, who needs it says why.
    pub(crate) fn act<E>(&self, now: Instant, make: impl FnOnce() -> Result<T, E>) {
        if self.due.get().is_none_or(|due| due > now) {
            return;
        }
        self.due.set(None);
        if self.spare.borrow().is_none() {
            self.spare.replace(make().ok());
        }
    }

    pub(crate) fn discard(&self) {
        self.spare.take();
        self.due.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_made_when_nobody_has_asked_for_a_while() {
        let (ahead, made) = (Ahead::none(), Cell::new(0));
        let act = |now| {
            ahead.act(now, || {
                made.set(made.get() + 1);
                Ok::<_, ()>(made.get())
            });
        };
        act(Instant::now());
        assert_eq!((ahead.due(), ahead.take()), (None, None));
        let due = ahead.due().unwrap();
        act(due - QUIET);
        assert_eq!((made.get(), ahead.due()), (0, Some(due)));
        act(due);
        assert_eq!((made.get(), ahead.due()), (1, None));
        // There is one.
        ahead.expect();
        act(ahead.due().unwrap());
        assert_eq!((made.get(), ahead.take()), (1, Some(1)));
        ahead.discard();
        assert_eq!((ahead.due(), ahead.take()), (None, None));
    }

    #[test]
    fn what_cannot_be_made_is_not_tried_again_before_it_is_asked_for() {
        let ahead = Ahead::<u8>::none();
        ahead.expect();
        let due = ahead.due().unwrap();
        ahead.act(due, || Err(()));
        assert_eq!((ahead.due(), ahead.take()), (None, None));
    }
}
