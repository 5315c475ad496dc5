//! A network of the measurement's own, for both sides: private networks need one that passes
//! packets on, which no machine should be made to do for a number.

use std::{
    env,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::Failure;

/// Set in the process that has it.
const INSIDE: &str = "TEN_BENCH_NETWORK";
/// A loopback device, and the way for packets from others.
const FURNISH: &str = "ip link set lo up && echo 1 > /proc/sys/net/ipv4/ip_forward && exec \"$@\"";

/// Whether this process has it already.
pub fn is_own() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Becomes `program`, with the arguments of this one, in a network of its own. It returns only
/// where that cannot be done, as by anybody but root.
pub fn enter(program: &Path) -> Failure {
    let mut command = Command::new("unshare");
    command.args(["--net", "--", "sh", "-c", FURNISH, "sh"]).arg(program);
    let command = command.args(env::args_os().skip(1)).env(INSIDE, "1").stdin(Stdio::null());
    Failure::OwnNetwork(command.exec())
}
