//! Whether a request or an operator may start something, decided from numbers alone.

use std::collections::HashMap;

use ten_domain::{OnDemand, Refusal, ServiceName, ServiceSpec};

use crate::Denied;

/// How many instances each service has.
#[derive(Debug, Default)]
pub(crate) struct Census {
    of: HashMap<ServiceName, Count>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    known: usize,
    with_process: usize,
}

impl Census {
    pub(crate) fn became_known(&mut self, service: &ServiceName) {
        self.count(service).known += 1;
    }

    pub(crate) fn was_forgotten(&mut self, service: &ServiceName) {
        self.count(service).known -= 1;
    }

    pub(crate) fn got_process(&mut self, service: &ServiceName) {
        self.count(service).with_process += 1;
    }

    pub(crate) fn lost_process(&mut self, service: &ServiceName) {
        self.count(service).with_process -= 1;
    }

    /// Whether any instance of any service has a process.
    pub(crate) fn any_process(&self) -> bool {
        self.of.values().any(|count| count.with_process > 0)
    }

    fn count(&mut self, service: &ServiceName) -> &mut Count {
        self.of.entry(service.clone()).or_default()
    }

    fn get(&self, service: &ServiceName) -> Count {
        self.of.get(service).copied().unwrap_or_default()
    }

    /// Whether a request may make an instance known that was not.
    pub(crate) fn request_creates(&self, spec: &ServiceSpec) -> Result<(), Refusal> {
        let full = self.get(&spec.name).known >= spec.max_known;
        match spec.on_demand {
            OnDemand::Any if !full => Ok(()),
            OnDemand::Any | OnDemand::Known | OnDemand::Off => Err(Refusal::Unknown),
        }
    }

    /// Whether a request may start an instance that has no process.
    pub(crate) fn request_starts(&self, spec: &ServiceSpec) -> Result<(), Refusal> {
        if spec.on_demand == OnDemand::Off {
            return Err(Refusal::Asleep);
        }
        let full = self.get(&spec.name).with_process >= spec.max_instances;
        if full { Err(Refusal::TooManyRunning) } else { Ok(()) }
    }

    /// Whether an operator may make an instance known that was not.
    pub(crate) fn operator_creates(&self, spec: &ServiceSpec) -> Result<(), Denied> {
        let limit = spec.max_known;
        if self.get(&spec.name).known >= limit {
            return Err(Denied::TooManyKnown { service: spec.name.clone(), limit });
        }
        Ok(())
    }

    /// Whether an operator may start an instance that has no process.
    pub(crate) fn operator_starts(&self, spec: &ServiceSpec) -> Result<(), Denied> {
        let limit = spec.max_instances;
        if self.get(&spec.name).with_process >= limit {
            return Err(Denied::TooManyRunning { service: spec.name.clone(), limit });
        }
        Ok(())
    }
}
