//! Whether a server runs, and whether the services of the config could be started.

use std::{collections::BTreeMap, io::ErrorKind, path::Path};

use ten_domain::{Config, InstanceName};

use super::{Check, Running, SERVE, Services};
use crate::{Ground, INSTANCE_PORTS, Preflight, plan};

/// Stands for all instances of a service.
const EXAMPLE: &str = "example";

pub(super) fn checks(services: Services<'_>, socket: &Path, running: &Running) -> Vec<Check> {
    let shown = socket.display();
    let admin = match running {
        Ok(pid) => Check::works("admin socket", format!("{shown}: ten serve (pid {pid}) listens")),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Check::missing("admin socket", format!("{shown}: {error}"))
                .fix("run it as root or as the user of `ten serve`")
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let detail = format!("{shown}: a server listens, but accepts nobody: it hangs");
            Check::missing("admin socket", detail).fix("end that `ten serve` and start it again")
        }
        Err(_) => Check::missing("admin socket", format!("no server listens on {shown}"))
            .fix("start one with `ten serve`"),
    };
    let config = match services.that(|_| true) {
        Some(names) => Check::works("config", format!("describes {names}")),
        None => Check::missing("config", "there is none with a service, so none was looked at")
            .fix("`ten init` writes a tenement.toml; --config names one"),
    };
    vec![admin, cage(), config]
}

/// Whether a front could give up what it must not have; without, none serves.
fn cage() -> Check {
    let name = "front's cage";
    let has = match ten_kernel::is_root() {
        true => "a user and a file tree of its own, no capabilities, no other processes",
        false => "no other processes, no other files; a user of its own takes root",
    };
    match ten_kernel::try_cage() {
        Ok(()) if ten_kernel::landlock_abi().is_none() => {
            let detail = match ten_kernel::is_root() {
                true => "a trial went in, but without Landlock, its second layer before files",
                false => "a trial went in, but without Landlock, its only wall before files",
            };
            Check::missing(name, detail).fix(super::kernel::LANDLOCK)
        }
        Ok(()) => Check::works(name, format!("a trial went in: {has}")),
        Err(failure) => {
            let check = Check::missing(name, failure.reason()).needed_by(Some(SERVE.into()));
            failure.remedy().map(|fix| check.clone().fix(fix)).unwrap_or(check)
        }
    }
}

/// Whether each service's command would be found and executed, as a start finds out.
pub(super) fn starts(services: Option<(&Config, &Ground)>) -> Vec<Check> {
    let Some((config, ground)) = services else { return Vec::new() };
    let start = |spec: &ten_domain::ServiceSpec| {
        let id = EXAMPLE.parse().expect("a valid id");
        let name = InstanceName { service: spec.name.clone(), id };
        let named = spec.name.as_str();
        let plan = plan(ground, spec, &name, *INSTANCE_PORTS.start(), &BTreeMap::new());
        match plan.and_then(Preflight::passed) {
            Ok(plan) => Check::works(named, format!("would execute {}", plan.program.display())),
            Err(error) => Check::missing(named, error.to_string()).needed_by(Some(named.into())),
        }
    };
    config.services.values().map(|spec| start(spec)).collect()
}
