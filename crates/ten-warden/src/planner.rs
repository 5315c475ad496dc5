//! From an order to a plan: the one thing that whoever makes a warden has to bring along.

use std::fmt::{self, Debug};

use ten_kernel::LaunchPlan;

/// Knows what an order of the front's means.
///
/// It runs in the warden, so that nothing that the front says can make the warden start a
/// program, become a user or show a folder which was not configured. What it does must not wait:
/// it may look at files.
pub trait Planner: Debug + Send + Sync {
    /// How to start what was ordered.
    ///
    /// # Errors
    ///
    /// Why that cannot be, in one line for operators.
    fn plan(&self, order: &[u8]) -> Result<Planned, String>;

    /// Why a command cannot be executed inside what was started by this order, as far as that is
    /// seen from outside.
    fn why_not(&self, order: &[u8], command: &str) -> Option<String>;
}

/// How to start a tree, and whether it may.
pub struct Planned {
    /// How.
    pub plan: LaunchPlan,
    /// What is asked before it runs, mostly while its walls are built: why it may not, in one line for
    /// operators.
    pub preflight: Box<dyn Fn() -> Result<(), String>>,
}

impl Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planned").field("plan", &self.plan).finish_non_exhaustive()
    }
}
