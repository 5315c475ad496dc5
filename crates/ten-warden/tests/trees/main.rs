//! Real trees on the real kernel: as root with and without cgroups, and as nobody.
//!
//! ```text
//! test ──admin socket── front (this binary, role "front") ──seqpacket── warden (role "warden")
//! ```
//!
//! Every case has a warden, folders and a cgroup of its own, and ends by looking for
//! anything that is left.

mod cases;
mod front;
mod host;
mod obedient;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use crate::host::{Host, Level, Setting};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("warden") => host::warden(args.collect()),
        Some("front") => front::run(),
        _ => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for setting in Setting::ALL {
        for (name, case) in cases::EACH_SETTING {
            trials.push(trial(setting, format!("{setting:?}::{name}"), *case));
        }
        for level in Level::ALL {
            for (name, case) in cases::EACH_LEVEL {
                let name = format!("{setting:?}::{level:?}::{name}");
                trials.push(trial(setting, name, move |host: &mut Host| case(host, level)));
            }
        }
    }
    trials
}

fn trial(setting: Setting, name: String, case: impl Fn(&mut Host) + Send + 'static) -> Trial {
    let missing = setting.missing();
    let trial = Trial::test(name, move || {
        let mut host = Host::start(setting);
        case(&mut host);
        host.nothing_is_left();
        Ok(())
    });
    match missing {
        Some(missing) => trial.with_kind(missing).with_ignored_flag(true),
        None => trial,
    }
}
