//! The kernel's own features.

use super::{Check, SERVE};

/// How to get Landlock.
pub(super) const LANDLOCK: &str =
    "boot with landlock in the list of lsm=, on a kernel with CONFIG_SECURITY_LANDLOCK";

pub(super) fn checks() -> Vec<Check> {
    vec![calls(), landlock(), seccomp()]
}

fn calls() -> Check {
    let release = ten_kernel::release();
    let absent = ten_kernel::absent_calls();
    if absent.is_empty() {
        return Check::works("system calls", format!("Linux {release} has all that ten uses"));
    }
    let detail = format!("Linux {release} answers none of {}", absent.join(", "));
    Check::missing("system calls", detail)
        .fix("boot Linux 5.14 or newer; in a container, use a seccomp profile that lets them pass")
        .needed_by(Some(SERVE.into()))
}

fn landlock() -> Check {
    match ten_kernel::landlock_abi() {
        Some(version) => Check::works("Landlock", format!("version {version}")),
        None => Check::missing("Landlock", "the walls go without their second layer").fix(LANDLOCK),
    }
}

fn seccomp() -> Check {
    if ten_kernel::seccomp_filters() {
        return Check::works("seccomp", "filters can refuse system calls");
    }
    Check::missing("seccomp", "no filter can refuse system calls; isolation `namespace` needs them")
        .fix("use a kernel with CONFIG_SECCOMP_FILTER")
}
