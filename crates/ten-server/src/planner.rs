//! What the front's orders mean, in the warden's process: the config and the ground of all plans
//! are those that `ten serve` began with, and no front can change them.

use ten_domain::{Config, ServiceSpec};
use ten_runtime::Ground;
use ten_supervisor::Order;
use ten_warden::Planned;

/// Plans what is configured.
#[derive(Debug)]
pub(crate) struct Planner {
    pub(crate) config: Config,
    pub(crate) ground: Ground,
}

impl Planner {
    fn read(&self, order: &[u8]) -> Result<(Order, &ServiceSpec), String> {
        let order = Order::read(order).ok_or("the order cannot be read")?;
        let service = &order.name.service;
        let spec = self.config.services.get(service);
        let spec = spec.ok_or_else(|| format!("no service {service} is configured"))?;
        Ok((order, spec))
    }
}

impl ten_warden::Planner for Planner {
    fn plan(&self, order: &[u8]) -> Result<Planned, String> {
        let (Order { name, port, env }, spec) = self.read(order)?;
        let plan = ten_runtime::plan(&self.ground, spec, &name, port, &env);
        let (plan, preflight) = plan.map_err(|error| error.to_string())?;
        let preflight = move || preflight.check().map_err(|error| error.to_string());
        Ok(Planned { plan, preflight: Box::new(preflight) })
    }

    fn why_not(&self, order: &[u8], command: &str) -> Option<String> {
        let (Order { name, port, env }, spec) = self.read(order).ok()?;
        let why = ten_runtime::why_not(&self.ground, spec, &name, port, &env, command);
        why.map(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ten_runtime::HostEnvironment;
    use ten_warden::Planner as _;

    use super::*;

    fn planner() -> Planner {
        let text = "[service.app]\ncommand = \"/bin/sh -c true\"\nisolation = \"process\"\n";
        let source = ten_config::Source::from_text("/etc/tenement.toml".as_ref(), text);
        let config = ten_config::parse(&source.unwrap(), &|_| None).unwrap();
        let ground = Ground {
            folder: "/".into(),
            data_dir: "/data".into(),
            run_dir: "/data/.run".into(),
            environment: HostEnvironment::default(),
            layout: ten_domain::Layout::of(
                config.services.values().map(AsRef::as_ref),
                &["/data".as_ref()],
            )
            .unwrap(),
            key_file: None,
        };
        Planner { config, ground }
    }

    /// Whoever orders chooses an instance, a port and variables, and nothing else of a plan.
    #[test]
    fn only_what_is_configured_is_planned() {
        let order = |name: &str, env: BTreeMap<String, String>| {
            Order { name: name.parse().unwrap(), port: 30000, env }.write()
        };
        let Planned { plan, .. } = planner().plan(&order("app:a", BTreeMap::new())).unwrap();
        assert_eq!((plan.program.to_str(), plan.argv.len()), (Some("/bin/sh"), 3));
        let unknown = planner().plan(&order("other:a", BTreeMap::new())).unwrap_err();
        assert!(unknown.contains("no service other"), "{unknown}");
        let variable = BTreeMap::from([("A=B".to_owned(), String::new())]);
        assert!(planner().plan(&order("app:a", variable)).is_err());
        for noise in ["", "{}", "app:a"] {
            assert!(planner().plan(noise.as_bytes()).is_err());
        }
    }
}
