//! Landlock (landlock(7)), the second layer behind mounts and credentials: nothing is
//! changed but in the tree's own places, no matter what a mistake of the first layer would
//! show, and no abstract socket of a process outside is reached, for which no namespace of
//! ours has a wall while the network is the host's.
//!
//! What the kernel is too old for is left out: nothing here is the only wall but that of
//! abstract sockets, which needs Linux 6.12.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use landlock::{
    ABI, Access, AccessFs, PathBeneath, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, Scope,
};
use rustix::{fs::fstatfs, io::Errno};

use crate::failure::{Failure, Step};

/// The newest that we know; an older kernel does what it can of it.
const KNOWN: ABI = ABI::V6;

/// Pipes without a name, which Landlock neither takes nor hinders (linux/magic.h).
const PIPEFS: i64 = 0x5049_5045;

/// `own` are the places, as they were mounted.
pub(super) fn confine(own: &[OwnedFd], pipes: [&OwnedFd; 2]) -> Result<(), Failure> {
    let mut rules = ruleset().map_err(failed)?;
    for place in own {
        rules = allow(rules, place).map_err(failed)?;
    }
    for pipe in pipes {
        if fstatfs(pipe).is_ok_and(|fs| fs.f_type != PIPEFS) {
            rules = allow(rules, pipe).map_err(failed)?;
        }
    }
    rules.restrict_self().map(drop).map_err(failed)
}

fn ruleset() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_write(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()
}

fn allow(
    rules: RulesetCreated,
    place: &impl std::os::fd::AsFd,
) -> Result<RulesetCreated, RulesetError> {
    let place: BorrowedFd<'_> = place.as_fd();
    rules.add_rule(PathBeneath::new(place, AccessFs::from_write(KNOWN)))
}

/// The crate's errors end in one of the system's.
fn failed(error: RulesetError) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut errno = Errno::IO;
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<io::Error>().and_then(Errno::from_io_error) {
            errno = found;
        }
        cause = error.source();
    }
    Failure::of(Step::Landlock)(errno)
}
