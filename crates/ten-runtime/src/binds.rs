//! Which `bind` lines a service lacks. The plan itself is asked, so that what `ten init` writes
//! is what a start would ask for. Changes nothing and starts nothing.

use std::{collections::BTreeMap, path::PathBuf};

use ten_domain::{Bind, InstanceName, ServiceSpec};

use crate::{Ground, PlanError, Preflight, plan};

/// What has to be shown, read-only, before the command of `spec` and whatever interprets it can
/// be executed inside the walls. Where the command cannot be found at all, that is nothing.
pub fn missing_binds(ground: &Ground, spec: &ServiceSpec, name: &InstanceName) -> Vec<PathBuf> {
    let mut spec = spec.clone();
    let mut missing = Vec::new();
    // No variable but PORT depends on the port.
    let plan = |spec: &ServiceSpec| plan(ground, spec, name, 0, &BTreeMap::new());
    while let Err(PlanError::Hidden { bind, .. }) = plan(&spec).and_then(Preflight::passed) {
        if missing.contains(&bind) {
            break;
        }
        spec.bind.push(Bind { path: bind.clone(), writable: false });
        missing.push(bind);
    }
    missing
}
