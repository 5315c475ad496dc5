//! Empty filesystems that were made before the tree that gets them.
//!
//! To make one is seven system calls, to attach it two, and a tree needs some eight of them. Attached
//! nowhere, they can be made by a launcher while nobody waits: the fork has them, and attaches them
//! in its own mount namespace. Where there are none, or not those that are needed, it makes its own.

use std::{
    cell::RefCell,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use rustix::io::Errno;

use super::{devices, private};
use crate::{
    is_root,
    plan::{LaunchPlan, Mount, Walls},
};

/// What one is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A private place, with these mode bits.
    Place(u32),
    /// A /dev in which there is all but what has to be mounted.
    Devices,
}

impl Kind {
    fn make(self) -> Result<OwnedFd, Errno> {
        match self {
            Self::Place(mode) => private(mode),
            Self::Devices => devices::furnish(),
        }
    }
}

/// Empty filesystems for one tree.
#[derive(Debug, Default)]
pub struct Blanks(RefCell<Vec<(Kind, OwnedFd)>>);

impl Blanks {
    /// Those of a recipe.
    pub fn like(recipe: &Recipe) -> Result<Self, Errno> {
        let made = recipe.0.iter().map(|kind| Ok((*kind, kind.make()?)));
        Ok(Self(RefCell::new(made.collect::<Result<_, Errno>>()?)))
    }

    /// One of these, made now if there is none.
    pub(super) fn take(&self, kind: Kind) -> Result<OwnedFd, Errno> {
        let mut there = self.0.borrow_mut();
        match there.iter().position(|(of, _)| *of == kind) {
            Some(at) => Ok(there.swap_remove(at).1),
            None => kind.make(),
        }
    }

    /// What a fork must not close.
    pub(crate) fn holds(&self) -> Vec<RawFd> {
        self.0.borrow().iter().map(|(_, fd)| fd.as_raw_fd()).collect()
    }
}

/// Which filesystems of a tree can be made before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipe(Vec<Kind>);

impl Recipe {
    /// Those of this plan; none where this process is not root: its trees have user namespaces of
    /// their own, and only there they may be made.
    pub fn of(plan: &LaunchPlan) -> Self {
        let mounts = match &plan.walls {
            Walls::Namespaces { mounts, .. } if is_root() => mounts,
            _ => return Self::default(),
        };
        Self(
            mounts
                .iter()
                .flat_map(|mount| match mount {
                    Mount::Private { mode, .. } => vec![Kind::Place(*mode)],
                    Mount::Devices => vec![Kind::Devices, devices::MEMORY],
                    Mount::Proc | Mount::Sys | Mount::Bind { .. } | Mount::Text { .. } => vec![],
                })
                .collect(),
        )
    }
}
