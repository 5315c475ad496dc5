//! A planner that does as it is told.

use ten_kernel::{LaunchPlan, procfs};
use ten_warden::{Planned, Planner};

/// In the environment of a plan: why it may not run. How many children the warden had when it was asked
/// is added.
pub(crate) const REFUSED: &str = "TEN_TEST_REFUSED";

/// An order is a plan.
#[derive(Debug)]
pub(crate) struct Obedient;

impl Planner for Obedient {
    fn plan(&self, order: &[u8]) -> Result<Planned, String> {
        let plan: LaunchPlan = serde_json::from_slice(order).map_err(|error| error.to_string())?;
        let why = plan.env.iter().find(|(name, _)| name == REFUSED).map(|(_, why)| why.clone());
        let preflight = move || {
            let children = || procfs::children(std::process::id()).len();
            why.as_ref().map_or(Ok(()), |why| Err(format!("{why}, {} children", children())))
        };
        Ok(Planned { plan, preflight: Box::new(preflight) })
    }

    fn why_not(&self, _: &[u8], _: &str) -> Option<String> {
        None
    }
}
