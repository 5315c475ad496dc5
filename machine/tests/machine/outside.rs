//! The host's side: one boot for a whole run of tests, whoever runs them.
//!
//! `cargo test` has one process for all trials. cargo-nextest has one for each, so the first
//! to get the lock boots and leaves the console's text for the others of the same run.

use std::{env, fs, fs::File, io, sync::OnceLock};

use libtest_mimic::{Failed, Trial};

use crate::{boot, console, inside, kernel};

/// What the machine said, or why there is none.
type Said = Result<String, String>;

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |(name, _): &(&'static str, inside::Case)| {
        let name = *name;
        Trial::test(name, move || outcome(name))
    };
    inside::CASES.iter().map(trial).collect()
}

fn outcome(name: &str) -> Result<(), Failed> {
    let said = match machine() {
        Ok(said) => said,
        Err(reason) => {
            println!("SKIP {reason}");
            return Ok(());
        }
    };
    let case = console::case(said, name);
    println!("{}", case.output);
    match case.passed {
        true => Ok(()),
        false => Err("it did not pass in the machine; its output is above".into()),
    }
}

fn machine() -> &'static Said {
    static SAID: OnceLock<Said> = OnceLock::new();
    SAID.get_or_init(|| shared().unwrap_or_else(|error| panic!("the machine: {error}")))
}

fn shared() -> io::Result<Said> {
    let folder = kernel::folder();
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let Some(run) = env::var_os("NEXTEST_RUN_ID") else { return boot::run(&folder) };
    let record = folder.join("runs").join(run);
    if let Ok(said) = fs::read_to_string(&record) {
        return Ok(match said.strip_prefix("SKIP ") {
            Some(reason) => Err(reason.into()),
            None => Ok(said),
        });
    }
    let said = boot::run(&folder)?;
    // Earlier runs are over, or they would hold the lock.
    match fs::remove_dir_all(folder.join("runs")) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => fs::create_dir_all(folder.join("runs"))?,
    }
    fs::write(
        &record,
        match &said {
            Ok(said) => said.clone(),
            Err(reason) => format!("SKIP {reason}"),
        },
    )?;
    Ok(said)
}
