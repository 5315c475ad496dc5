//! How a warden comes to its end.
//!
//! ```text
//! no ──signal──► asked ──farewell──► farewell ─┐
//!  │               └──front died──► alone ─────┼──nothing left──► over
//!  └── farewell ──────────────────────▲        │
//!            (second signal, from any) forced ─┘
//! ```

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::Warden;
use crate::{protocol::ToFront, tree::Tree};

/// How long trees may take to end by themselves when there is no front to ask them, and how
/// long a front may take to end after its farewell.
const GRACE: Duration = Duration::from_secs(10);
/// How long killed trees may take to be gone before a forced warden leaves without them.
const FORCED_GRACE: Duration = Duration::from_secs(5);

/// Where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shutdown {
    /// Serving.
    No,
    /// The front is to stop everything.
    Asked,
    /// There is no front; everything was told to stop and is killed then.
    Alone { kill_at: Option<Instant> },
    /// The front has stopped everything and is to end by then.
    Farewell { kill_at: Option<Instant> },
    /// Everything was killed; nothing is waited for after that.
    Forced { leave_at: Instant },
}

impl Shutdown {
    pub(super) fn is_farewell(self) -> bool {
        matches!(self, Self::Farewell { .. })
    }

    /// Whether there is, or will be again, a front that can be told of ends.
    pub(super) fn leaves_room_for_a_front(self) -> bool {
        matches!(self, Self::No | Self::Asked)
    }

    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::No | Self::Asked => None,
            Self::Alone { kill_at } | Self::Farewell { kill_at } => kill_at,
            Self::Forced { leave_at } => Some(leave_at),
        }
    }
}

impl Warden {
    /// Told to stop. The second time, at once.
    pub(super) fn stop(&mut self) {
        match self.shutdown {
            Shutdown::No => {
                tracing::info!("stopping");
                self.shutdown = Shutdown::Asked;
                match self.front {
                    Some(_) => self.tell(&ToFront::Terminate),
                    None => self.front_left(),
                }
            }
            _ => {
                tracing::warn!("stopping at once");
                self.shutdown = Shutdown::Forced { leave_at: Instant::now() + FORCED_GRACE };
                self.kill_trees();
                if let Some(front) = &self.front {
                    front.kill();
                }
            }
        }
    }

    /// The front has stopped everything; what it forgot is killed.
    pub(super) fn farewell(&mut self) {
        if self.shutdown.leaves_room_for_a_front() {
            self.shutdown = Shutdown::Farewell { kill_at: Some(Instant::now() + GRACE) };
            self.kill_trees();
        }
    }

    /// There is no front any more, and none will be started.
    pub(super) fn front_left(&mut self) {
        self.next_front = None;
        if let Shutdown::No | Shutdown::Asked = self.shutdown {
            self.shutdown = Shutdown::Alone { kill_at: Some(Instant::now() + GRACE) };
            self.trees.values_mut().for_each(|tree| tree.signal(Signal::TERM.as_raw()));
        }
        self.settle_all();
    }

    pub(super) fn act_on_deadline(&mut self, now: Instant) {
        if self.shutdown.deadline().is_none_or(|at| at > now) {
            return;
        }
        match &mut self.shutdown {
            Shutdown::Alone { kill_at } => {
                *kill_at = None;
                self.kill_trees();
            }
            Shutdown::Farewell { kill_at } => {
                *kill_at = None;
                tracing::error!("the front did not end after its farewell; killing it");
                if let Some(front) = &self.front {
                    front.kill();
                }
            }
            Shutdown::No | Shutdown::Asked | Shutdown::Forced { .. } => {}
        }
    }

    /// The exit code, once nothing is left or nothing can be waited for any more.
    pub(super) fn is_over(&self) -> Option<ExitCode> {
        if self.shutdown.leaves_room_for_a_front() {
            return None;
        }
        if self.front.is_none() && self.trees.is_empty() {
            return Some(ExitCode::SUCCESS);
        }
        match self.shutdown {
            Shutdown::Forced { leave_at } if leave_at <= Instant::now() => {
                let left: Vec<_> = self.trees.values().map(Tree::name).collect();
                tracing::error!(?left, "these are still there after they were killed");
                Some(ExitCode::FAILURE)
            }
            _ => None,
        }
    }

    fn kill_trees(&mut self) {
        self.trees.values_mut().filter(|tree| tree.end().is_none()).for_each(Tree::kill);
    }
}
