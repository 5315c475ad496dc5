//! As whom an instance runs.

use std::{fs::Metadata, os::unix::fs::MetadataExt, path::Path};

use ten_domain::{Isolation, ServiceSpec, User};
use ten_kernel::HostUser;

use crate::{Ground, PlanError};

/// The file whose owner is the last user that was made for one instance alone.
const LEDGER: &str = "ten.users";

/// Who an instance is, for itself and for the kernel.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) user: ten_kernel::User,
    /// `HOME`, where it is not ten's.
    pub(crate) home: Option<String>,
    /// `USER`, where it is not ten's; empty: it has no name.
    pub(crate) name: Option<String>,
    /// Its uid, where it is one of its own and was made before.
    own: Option<u32>,
}

impl Person {
    pub(crate) fn of(
        ground: &Ground,
        spec: &ServiceSpec,
        instance_dir: &str,
    ) -> Result<Self, PlanError> {
        let walled = spec.isolation != Isolation::Process;
        let root = ten_kernel::is_root();
        let found = match &spec.user {
            None if !(root && walled) => return Ok(Self::inherited()),
            Some(User::Inherit) => return Ok(Self::inherited()),
            Some(user) if !root => return Err(PlanError::UserNeedsRoot { user: word(user) }),
            None | Some(User::Dynamic) => {
                return Ok(Self {
                    own: owner(instance_dir),
                    user: ten_kernel::User::Own { ledger: ground.data_dir.join(LEDGER) },
                    home: Some(instance_dir.into()),
                    name: Some(String::new()),
                });
            }
            Some(user @ User::Uid(uid)) => ground.environment.user(user).map(|found| {
                Some(found.unwrap_or_else(|| HostUser {
                    name: String::new(),
                    uid: *uid,
                    gid: *uid,
                    groups: vec![*uid],
                    home: instance_dir.into(),
                }))
            }),
            Some(user @ User::Name(_)) => ground.environment.user(user),
        };
        let named = |user: &Option<User>| user.as_ref().map_or_else(String::new, word);
        let found =
            found.map_err(|source| PlanError::UserLookup { user: named(&spec.user), source })?;
        let found = found.ok_or_else(|| PlanError::UserUnknown { user: named(&spec.user) })?;
        let HostUser { name, uid, gid, groups, home } = found;
        if User::OF_TEN.contains(&uid) {
            return Err(PlanError::UserOfTen { user: named(&spec.user), uid });
        }
        let user = ten_kernel::User::Named { uid, gid, groups };
        Ok(Self { user, home: Some(home), name: Some(name), own: None })
    }

    fn inherited() -> Self {
        Self { user: ten_kernel::User::Inherit, home: None, name: None, own: None }
    }

    /// Whether the permission bits of a file allow all of `bits` (1 execute or pass through,
    /// 4 read). Of whom ten is itself, that is left to the kernel.
    pub(crate) fn may(&self, bits: u32, meta: &Metadata) -> bool {
        let shift = match &self.user {
            ten_kernel::User::Inherit => return true,
            ten_kernel::User::Named { uid, .. } if *uid == meta.uid() => 6,
            ten_kernel::User::Named { gid, groups, .. }
                if *gid == meta.gid() || groups.contains(&meta.gid()) =>
            {
                3
            }
            ten_kernel::User::Own { .. } if self.own == Some(meta.uid()) => 6,
            // Nothing else on the host belongs to a user that was made for an instance.
            ten_kernel::User::Named { .. } | ten_kernel::User::Own { .. } => 0,
        };
        meta.mode() >> shift & bits == bits
    }

    /// The first thing on the way to `path` that is closed to it, the file itself included.
    pub(crate) fn stopped_at<'p>(
        &self,
        path: &'p Path,
        bits: u32,
        is_real: impl Fn(&Path) -> bool,
    ) -> Option<&'p Path> {
        let mut way: Vec<_> = path.ancestors().collect();
        way.reverse();
        let closed = |step: &&Path| {
            let bits = if *step == path { bits } else { 1 };
            is_real(step) && step.metadata().is_ok_and(|meta| !self.may(bits, &meta))
        };
        way.into_iter().find(closed)
    }
}

/// Whose the folder of an instance is, if it was given to somebody; root's is not yet.
fn owner(instance_dir: &str) -> Option<u32> {
    Path::new(instance_dir).metadata().ok().map(|meta| meta.uid()).filter(|uid| *uid != 0)
}

fn word(user: &User) -> String {
    match user {
        User::Inherit => "inherit".into(),
        User::Dynamic => "dynamic".into(),
        User::Uid(uid) => uid.to_string(),
        User::Name(name) => name.clone(),
    }
}
