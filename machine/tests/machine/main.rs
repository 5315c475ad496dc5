//! One boot of a small machine in which all cases run, each an ordinary test outside.
//!
//! ```text
//! outside                          inside (this very program, from an initramfs)
//! trials ── console ◄── QEMU ──►   init ──► case NAME ──► ten serve ──► tenant KIND
//! ```
//!
//! QEMU interprets (TCG): KVM is never asked for, so it runs wherever programs run.

mod boot;
mod console;
mod disks;
mod image;
mod inside;
mod kernel;
mod outside;
mod python;
mod tenants;

use std::process::{ExitCode, id};

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["case", name] => inside::run(name),
        ["tenant", kind] => tenants::live(kind),
        ["enter", cgroup, command @ ..] => inside::enter(cgroup, command),
        ["contained", command @ ..] => inside::contained(command),
        // Containers, too, have a process 1, but it is told what to do.
        _ if id() == 1 => inside::init(),
        _ => libtest_mimic::run(&Arguments::from_args(), outside::trials()).exit_code(),
    }
}
