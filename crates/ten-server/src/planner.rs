//! What the front's orders mean, in the warden's process: the config and the ground of all plans
//! are those that `ten serve` began with, and no front can change them.

use ten_domain::Config;
use ten_kernel::LaunchPlan;
use ten_runtime::Ground;
use ten_supervisor::Order;

/// Plans what is configured.
#[derive(Debug)]
pub(crate) struct Planner {
    pub(crate) config: Config,
    pub(crate) ground: Ground,
}

impl ten_warden::Planner for Planner {
    fn plan(&self, order: &[u8]) -> Result<LaunchPlan, String> {
        let Order { name, port, env } = Order::read(order).ok_or("the order cannot be read")?;
        let spec = self.config.services.get(&name.service);
        let spec = spec.ok_or_else(|| format!("no service {} is configured", name.service))?;
        let plan = ten_runtime::plan(&self.ground, spec, &name, port, &env);
        plan.map_err(|error| error.to_string())
    }
}
