//! The levels: which walls this host can raise.

use ten_domain::{Isolation, ServiceSpec};
use ten_kernel::{Failure, Network};

use super::{Check, Services, in_path};

pub(super) fn checks(services: Services<'_>) -> Vec<Check> {
    let walled = |spec: &ServiceSpec| spec.isolation == Isolation::Namespace;
    let closed = |spec: &ServiceSpec| walled(spec) && spec.network != ten_domain::Network::Host;
    let private = |spec: &ServiceSpec| matches!(spec.network, ten_domain::Network::Private { .. });
    vec![
        Check::works("process", "needs nothing"),
        walls("namespace", ten_kernel::try_walls(Network::Host), services.that(walled)),
        walls("own network", ten_kernel::try_walls(Network::Loopback), services.that(closed)),
        walls("private network", ten_kernel::try_way_out(), services.that(private)),
        sandbox(),
        kvm(),
    ]
}

fn walls(name: &str, tried: Result<(), Failure>, needed_by: Option<String>) -> Check {
    let how = match ten_kernel::is_root() {
        true => "as root, for a user of its own",
        false => "without root, in a user namespace",
    };
    match tried {
        Ok(()) => Check::works(name, format!("a trial start behind these walls worked, {how}")),
        Err(failure) => {
            let check = Check::missing(name, failure.reason()).needed_by(needed_by);
            failure.remedy().map(|fix| check.clone().fix(fix)).unwrap_or(check)
        }
    }
}

fn sandbox() -> Check {
    match in_path("runsc") {
        Some(path) => {
            let detail = format!("{} is there; the level is not supported yet", path.display());
            Check::works("sandbox", detail)
        }
        None => Check::missing("sandbox", "runsc is in no folder of PATH; no level uses it yet")
            .fix("install gVisor: https://gvisor.dev/docs/user_guide/install/"),
    }
}

fn kvm() -> Check {
    let fix = "load the module kvm_intel or kvm_amd, or rent a machine that can nest VMs; \
               to open the device, be root or in its group";
    match ten_kernel::try_kvm() {
        Ok(()) => {
            Check::works("KVM", "makes a virtual machine (no guest was run); no level uses it yet")
        }
        Err(error) => Check::missing("KVM", format!("{error}; no level uses it yet")).fix(fix),
    }
}
