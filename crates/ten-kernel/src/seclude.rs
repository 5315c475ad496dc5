//! Giving up, for the rest of this process, all but a few folders: for work on files that
//! somebody else can change meanwhile. Whatever link is put in the way, it ends at the wall.

use std::{
    io,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope,
};
use rustix::{
    fs::{Mode, OFlags, open},
    process::geteuid,
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs},
};

/// The newest that we know; an older kernel does what it can of it.
pub(crate) const KNOWN: ABI = ABI::V6;

/// What root keeps: the files of others are its to read, write and give.
const KEPT: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::FOWNER);

/// Leaves this process nothing of the file tree but these folders, and of root's rights those
/// over files (landlock(7), capabilities(7)). What is open stays open. The process must have
/// one thread.
///
/// # Errors
///
/// `Unsupported` where the kernel has no Landlock; nothing was given up then.
pub fn seclude(folders: &[PathBuf]) -> io::Result<()> {
    keep(KEPT)?;
    let all = folders.iter().map(|folder| (folder.as_path(), AccessFs::from_all(KNOWN)));
    match landlock_to(all)? {
        RulesetStatus::NotEnforced => Err(io::ErrorKind::Unsupported.into()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

/// Leaves this process nothing of the file tree but these, each with these rights, as far as the
/// kernel has Landlock.
pub(crate) fn landlock_to<'a>(
    places: impl Iterator<Item = (&'a Path, BitFlags<AccessFs>)>,
) -> io::Result<RulesetStatus> {
    let ruleset = Ruleset::default().handle_access(AccessFs::from_all(KNOWN));
    let ruleset = ruleset.map_err(io::Error::other)?;
    let ruleset = ruleset.scope(Scope::from_all(KNOWN)).map_err(io::Error::other)?;
    let mut rules = ruleset.create().map_err(io::Error::other)?;
    for (path, rights) in places {
        let place = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let added: Result<_, RulesetError> = rules.add_rule(PathBeneath::new(place, rights));
        rules = added.map_err(io::Error::other)?;
    }
    Ok(rules.restrict_self().map_err(io::Error::other)?.ruleset)
}

/// Leaves root, of its rights, those over files and, for what this process executes, the right to
/// mount: an archiver looks into the image of an instance that sleeps, before it secludes itself.
/// This process itself does not exercise it, and nothing that it executes gets more. Whoever is not
/// root has none to lose. The process must have one thread.
pub fn keep_rights_of_keeper() -> io::Result<()> {
    // Where a container withholds it, nothing is mounted either.
    let mounts = capabilities(None)?.permitted & CapabilitySet::SYS_ADMIN;
    keep(KEPT | mounts)
}

fn keep(permitted: CapabilitySet) -> io::Result<()> {
    if geteuid().is_root() {
        let inheritable = CapabilitySet::empty();
        set_no_new_privs(true)?;
        set_capabilities(None, CapabilitySets { effective: KEPT, permitted, inheritable })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, io::ErrorKind};

    use super::*;

    /// Landlock and capabilities are a thread's, so a thread of its own shows what a process of
    /// its own would have left.
    #[test]
    fn nothing_else_is_left() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(own.path().join("file"), "own").unwrap();
        fs::write(other.path().join("file"), "other").unwrap();
        std::os::unix::fs::symlink(other.path(), own.path().join("link")).unwrap();
        std::thread::scope(|scope| {
            let seen = scope.spawn(|| {
                keep_rights_of_keeper().unwrap();
                let mounts = |set: CapabilitySet| set.contains(CapabilitySet::SYS_ADMIN);
                assert!(!mounts(capabilities(None).unwrap().effective));
                seclude(&[own.path().to_owned()]).unwrap();
                assert_eq!(fs::read_to_string(own.path().join("file")).unwrap(), "own");
                fs::write(own.path().join("new"), "").unwrap();
                for path in [other.path().join("file"), own.path().join("link/file")] {
                    let refused = fs::read(path).unwrap_err();
                    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
                }
                assert!(fs::read_dir("/").is_err());
                if geteuid().is_root() {
                    assert!(rustix::system::sethostname(b"x").is_err(), "it is still root");
                    assert!(!mounts(capabilities(None).unwrap().permitted), "it can mount");
                }
            });
            seen.join().unwrap();
        });
    }
}
