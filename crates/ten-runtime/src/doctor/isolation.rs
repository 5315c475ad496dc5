//! The levels: which walls this host can raise.

use ten_domain::{Isolation, ServiceSpec};
use ten_kernel::{Failure, Network};

use super::{Check, Services, in_path};

pub(super) fn checks(services: Services<'_>) -> Vec<Check> {
    let walled = |spec: &ServiceSpec| spec.isolation == Isolation::Namespace;
    let closed = |spec: &ServiceSpec| walled(spec) && spec.network != ten_domain::Network::Host;
    let shares = |spec: &ServiceSpec| walled(spec) && spec.network == ten_domain::Network::Host;
    let private = |spec: &ServiceSpec| matches!(spec.network, ten_domain::Network::Private { .. });
    vec![
        Check::works("process", "needs nothing"),
        walls("namespace", ten_kernel::try_walls(Network::Host), services.that(walled)),
        walls("own network", ten_kernel::try_walls(Network::Loopback), services.that(closed)),
        walls("private network", ten_kernel::try_way_out(), services.that(private)),
        abstract_sockets(ten_kernel::closes_abstract_sockets(), services.that(shares)),
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

/// Of what instances with `network = "host"` leave open to others. Nobody is kept from starting: few
/// programs have such a socket, and every kernel before 6.12 would.
pub(super) fn abstract_sockets(closed: bool, shared_by: Option<String>) -> Check {
    let name = "abstract sockets";
    if closed {
        return Check::works(name, "those of others are out of an instance's reach");
    }
    let whom = shared_by.map_or_else(String::new, |services| format!(" ({services})"));
    let detail = format!(
        "instances with network = \"host\"{whom} reach abstract Unix sockets of each other and of \
         the host: only Landlock 6 closes them"
    );
    Check::missing(name, detail).fix(
        "boot Linux 6.12 or newer with Landlock, or set network = \"private\" or \"none\"; sockets \
         with a path are closed anyway",
    )
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
