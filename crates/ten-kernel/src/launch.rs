//! Turning a plan into a tree.

use std::os::fd::{AsFd, OwnedFd};

use crate::{
    cgroup::Leaf,
    child::{self, Child},
    door::Door,
    failure::{Failure, Step},
    heap,
    identity::Identity,
    init,
    plan::{LaunchPlan, Network, Walls},
    quota,
    report::{ReportEnd, Reporter},
    signals, title,
    uplink::Link,
    walls::{self, Blanks, Ids},
};

/// What a tree is given beside its plan. Its init and its program get copies.
#[derive(Debug)]
pub struct Given<'a> {
    /// Where it is born.
    pub cgroup: Option<&'a Leaf>,
    /// Its stdout.
    pub stdout: &'a OwnedFd,
    /// Its stderr.
    pub stderr: &'a OwnedFd,
    /// Its listening socket, which becomes fd 3.
    pub activation: Option<&'a OwnedFd>,
    /// Its network, where the plan asks for one that leads out.
    pub link: Option<&'a Link>,
    /// What need not be made for its walls.
    pub blanks: &'a Blanks,
}

/// A tree in the making.
#[derive(Debug)]
pub struct Launch {
    /// Its init, a child of this process.
    pub init: Child,
    /// What becomes of it.
    pub report: ReportEnd,
    /// The way in, for sockets and for commands.
    pub door: Door,
}

/// What a tree gets of its launcher's, and gives up again.
pub(crate) struct Inherited {
    /// To be mapped, where the launcher is not root.
    pub(crate) ids: Option<Ids>,
    /// To be taken on, where the launcher is.
    pub(crate) identity: Option<Identity>,
    /// The data folder in the launcher's mounts, where the tree has storage.
    pub(crate) outside: Option<OwnedFd>,
}

/// Creates the tree's init, which sets everything up and then waits for [`ReportEnd::go`].
/// All later failures arrive as reports.
pub fn launch(plan: &LaunchPlan, given: &Given<'_>) -> Result<Launch, Failure> {
    let (report, reporter) = Reporter::pair().map_err(Failure::of(Step::Report))?;
    let ids = Ids::unless_root();
    let identity = Identity::of(plan)?;
    let outside = quota::outside(plan)?;
    walls::prepare();
    heap::prepare();
    title::prepare();
    signals::prepare();
    let (door, porter) = Door::pair().map_err(Failure::of(Step::Descriptors))?;
    match child::fork(namespaces(&plan.walls, ids), given.cgroup.map(AsFd::as_fd))? {
        Some(init) => Ok(Launch { init, report, door }),
        None => init::run(plan, given, Inherited { ids, identity, outside }, reporter, porter),
    }
}

/// The cgroup namespace is missing here on purpose: its root would be the launcher's
/// cgroup. Init makes it from inside the tree's own.
fn namespaces(walls: &Walls, ids: Option<Ids>) -> u64 {
    let Walls::Namespaces { network, .. } = walls else { return 0 };
    let user = if ids.is_some() { libc::CLONE_NEWUSER } else { 0 };
    let net = match network {
        Network::Host => 0,
        Network::Loopback => libc::CLONE_NEWNET,
        // That one is there before.
        Network::Uplink => 0,
    };
    let always = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    (always | user | net) as u64
}
