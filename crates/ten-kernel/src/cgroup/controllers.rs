//! Which controllers the leaves have, and why they lack the others.
//!
//! ```text
//! base                cgroup.subtree_control = cpu io memory pids; no process
//! ├── ten             this process, and its front
//! └── folder          cgroup.subtree_control = cpu io memory pids; no process
//!     └── leaf …      one tree each
//! ```
//!
//! A cgroup other than the root cannot have both processes and controllers for its children
//! (kernel: admin-guide/cgroup-v2, "No Internal Process Constraint"), so we move to a leaf
//! first where we are in it. Nobody but us is ever moved.

use std::{
    fmt, fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::base::{SEAT, has_others, is_root};

/// A part of the kernel that limits one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// CPU time.
    Cpu,
    /// Block devices.
    Io,
    /// Memory and swap.
    Memory,
    /// Processes and threads.
    Pids,
}

impl Controller {
    pub(super) const ALL: [Self; 4] = [Self::Cpu, Self::Io, Self::Memory, Self::Pids];

    /// As the kernel spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Io => "io",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why leaves lack a controller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// There are no leaves at all.
    #[error("this host has no cgroup v2 that ten may write to")]
    Cgroup,
    /// Our own cgroup does not have it to give.
    #[error("{base} has no {controller} controller")]
    Controller {
        /// Which one.
        controller: Controller,
        /// Our own cgroup.
        base: PathBuf,
    },
    /// Others are in our cgroup and we may not go to the topmost, or are in that, too.
    #[error("{base} has other processes than ten, so its controllers cannot be given on")]
    Shared {
        /// Our own cgroup.
        base: PathBuf,
    },
    /// The kernel refused.
    #[error("the {controller} controller cannot be enabled in {cgroup}: {reason}")]
    Refused {
        /// Which one.
        controller: Controller,
        /// Where.
        cgroup: PathBuf,
        /// What the kernel said.
        reason: String,
    },
}

impl Lack {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Cgroup => "run ten as root or in a systemd unit with Delegate=yes",
            Self::Controller { .. } => {
                "where cgroup v1 holds it, boot with systemd.unified_cgroup_hierarchy=1, else run \
                 ten in a systemd unit with Delegate=yes"
            }
            Self::Shared { .. } => {
                "run ten in a systemd unit with Delegate=yes; in a container as its first process, or \
                 move the others to a cgroup below theirs first"
            }
            Self::Refused { .. } => "run ten in a systemd unit with Delegate=yes",
        }
    }
}

/// What our own cgroup gives on to the leaves.
#[derive(Debug)]
pub(super) struct Delegation {
    base: PathBuf,
    /// The leaf to which we have moved, if we had to.
    seat: Option<PathBuf>,
    enabled: Vec<Controller>,
    lacks: Vec<(Controller, Lack)>,
}

impl Delegation {
    /// Enables whatever can be enabled, from `base` down to the children of `folder`.
    pub(super) fn begin(base: &Path, folder: &Path) -> io::Result<Self> {
        let available = words(&base.join("cgroup.controllers"))?;
        let given_on = words(&base.join("cgroup.subtree_control"))?;
        let mut this =
            Self { base: base.into(), seat: None, enabled: Vec::new(), lacks: Vec::new() };
        let mut wanted = Vec::new();
        for controller in Controller::ALL {
            match available.iter().any(|name| name == controller.name()) {
                true => wanted.push(controller),
                false => {
                    let base = base.into();
                    this.lacks.push((controller, Lack::Controller { controller, base }));
                }
            }
        }
        let needs = |controller: &Controller| !given_on.iter().any(|n| n == controller.name());
        if has_others(base, std::process::id())? {
            let shared = |controller| (controller, Lack::Shared { base: base.into() });
            this.lacks.extend(wanted.drain(..).map(shared));
        }
        if !is_root(base) && wanted.iter().any(needs) {
            match sit(base) {
                Ok(seat) => this.seat = seat,
                Err(why) => {
                    let reason = format!("cannot move to {SEAT} below it: {why}");
                    let refused = |controller| {
                        let (cgroup, reason) = (base.into(), reason.clone());
                        (controller, Lack::Refused { controller, cgroup, reason })
                    };
                    this.lacks.extend(wanted.drain(..).map(refused));
                }
            }
        }
        for controller in wanted {
            match give_on(base, controller).and_then(|()| give_on(folder, controller)) {
                Ok(()) => this.enabled.push(controller),
                Err(lack) => this.lacks.push((controller, lack)),
            }
        }
        if this.enabled.is_empty() {
            this.end();
        }
        Ok(this)
    }

    /// Every controller that leaves lack, and why.
    pub(super) fn lacks(&self) -> &[(Controller, Lack)] {
        &self.lacks
    }

    /// Leaves our own cgroup as it was found, once nothing is below it but our seat.
    pub(super) fn end(&self) {
        let Some(seat) = &self.seat else { return };
        // Where others have come meanwhile, theirs stays as it is, and so does ours.
        for controller in &self.enabled {
            let _ = fs::write(self.base.join("cgroup.subtree_control"), format!("-{controller}"));
        }
        let _ = fs::write(self.base.join("cgroup.procs"), "0");
        let _ = fs::remove_dir(seat);
    }
}

/// Moves this process to a leaf, if it is not in one already.
fn sit(base: &Path) -> io::Result<Option<PathBuf>> {
    let own = std::process::id().to_string();
    if !fs::read_to_string(base.join("cgroup.procs"))?.lines().any(|pid| pid == own) {
        return Ok(None);
    }
    let seat = base.join(SEAT);
    match fs::create_dir(&seat) {
        Err(why) if why.kind() != ErrorKind::AlreadyExists => return Err(why),
        _ => {}
    }
    fs::write(seat.join("cgroup.procs"), "0")?;
    Ok(Some(seat))
}

fn give_on(cgroup: &Path, controller: Controller) -> Result<(), Lack> {
    let written = fs::write(cgroup.join("cgroup.subtree_control"), format!("+{controller}"));
    written.map_err(|why| match why.kind() {
        ErrorKind::ResourceBusy => Lack::Shared { base: cgroup.into() },
        _ => Lack::Refused { controller, cgroup: cgroup.into(), reason: why.to_string() },
    })
}

fn words(path: &Path) -> io::Result<Vec<String>> {
    Ok(fs::read_to_string(path)?.split_whitespace().map(str::to_owned).collect())
}
