//! A planner that does as it is told.

use ten_kernel::LaunchPlan;
use ten_warden::{Planned, Planner};

/// In the environment of a plan: why it may not run.
pub(crate) const REFUSED: &str = "TEN_TEST_REFUSED";

/// An order is a plan.
#[derive(Debug)]
pub(crate) struct Obedient;

impl Planner for Obedient {
    fn plan(&self, order: &[u8]) -> Result<Planned, String> {
        let plan: LaunchPlan = serde_json::from_slice(order).map_err(|error| error.to_string())?;
        let why = plan.env.iter().find(|(name, _)| name == REFUSED).map(|(_, why)| why.clone());
        Ok(Planned { plan, preflight: Box::new(|| why.map_or(Ok(()), Err)) })
    }

    fn why_not(&self, _: &[u8], _: &str) -> Option<String> {
        None
    }
}
