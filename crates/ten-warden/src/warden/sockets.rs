//! Sockets of trees that the front wants to reach. Their folders are closed to it, so they are
//! looked for here and handed over by descriptor.
//!
//! The kernel tells nobody when a file appears without letting whoever writes there fill a queue
//! of ours, so we look: once a millisecond, for as long as somebody wants to know, which is while
//! an instance starts.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    rc::Rc,
    time::{Duration, Instant},
};

use super::Warden;
use crate::{
    front::Beside,
    protocol::{LaunchId, ToFront},
};

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(1);

/// Whose sockets are looked for.
#[derive(Debug, Default)]
pub(super) struct Sought {
    /// And whether it was said of each that its socket cannot be opened.
    trees: BTreeMap<LaunchId, bool>,
    looked: Option<Instant>,
}

impl Sought {
    /// When to look again.
    pub(super) fn next(&self) -> Option<Instant> {
        let looked = self.looked.filter(|_| !self.trees.is_empty())?;
        Some(looked + PERIOD)
    }
}

impl Warden {
    pub(super) fn seek(&mut self, launch: LaunchId, wanted: bool) {
        let said = self.sought.trees.remove(&launch).unwrap_or(false);
        if !wanted {
            return;
        }
        self.sought.trees.insert(launch, said);
        // What is there already is told at once.
        if self.find_socket(launch) {
            self.sought.trees.remove(&launch);
        } else {
            self.sought.looked.get_or_insert_with(Instant::now);
        }
    }

    pub(super) fn look_for_sockets(&mut self, now: Instant) {
        if self.sought.next().is_none_or(|at| at > now) {
            return;
        }
        self.sought.looked = Some(now);
        let trees: Vec<_> = self.sought.trees.keys().copied().collect();
        for launch in trees {
            if self.find_socket(launch) {
                self.sought.trees.remove(&launch);
            }
        }
    }

    /// Whether there is nothing to look for any more: it was found and handed over, or its tree
    /// is gone.
    fn find_socket(&mut self, launch: LaunchId) -> bool {
        let Some(tree) = self.trees.get(&launch) else { return true };
        let Some(path) = tree.socket() else { return true };
        match tree.reach_socket(path, self.front_group) {
            Ok(socket) => {
                self.tell_with(&ToFront::Found { launch }, Beside::Socket(Rc::new(socket)));
                true
            }
            // Nothing there yet, or something else: that is up to whoever is inside.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
                false
            }
            Err(error) => {
                let said = self.sought.trees.get_mut(&launch);
                if said.is_some_and(|said| !std::mem::replace(said, true)) {
                    let tree = tree.name();
                    tracing::warn!(tree, socket = %path.display(), %error, "cannot be opened");
                }
                false
            }
        }
    }
}
