//! `cargo xtask demo`: two customers of one plain app, from asleep to awake and back.
//!
//! ```text
//! build ─► start ten ─► the story (each line is measured, each claim checked) ─┬─► stay up
//!                                                                             └─► --once
//! stop ─► nothing is left? ─► the temporary folder goes
//! ```
//!
//! Nothing is pretended: requests go over TCP, and `ten ps` is what it printed. However it
//! ends, the server is stopped and its folder removed.

mod bare;
mod server;
mod story;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anstyle::Style;
use signal_hook::{
    consts::{SIGCHLD, SIGINT, SIGTERM},
    flag,
    iterator::Signals,
};

use crate::{failure::Failure, packages, shell};
use server::Server;

/// Seconds without requests after which the demo's instances sleep. The example's own five
/// minutes would make a long story.
const IDLE_SECONDS: u64 = 2;

pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let once = match args {
        [] => false,
        ["--once"] => true,
        _ => return Err(Failure::usage("cargo xtask demo [--once]")),
    };
    if !packages::is_in(&packages::path_outside_homes(), "python3") {
        return Err(Failure::new("python3 is needed: the demo's app is written in it; one in a home folder does not count")
            .with("on Debian and Ubuntu: apt-get install python3"));
    }
    // The dev profile: it is what tests build too, and the waiting is for Python, not for ten.
    shell::run(&shell::cargo(), &["build", "--package", "tenement-cli", "--bin", "ten"])?;

    let interrupted = Interrupted::watch()?;
    let mut server = Server::start(IDLE_SECONDS)?;
    let told = story::tell(&server, &interrupted);
    let told = match told {
        Ok(()) if !once && !interrupted.is_set() => stay(&mut server, &interrupted),
        told => told,
    };
    finish(server, told, &interrupted)
}

/// Stops the server. A story that failed ends with what the server said last.
fn finish(
    mut server: Server,
    told: Result<(), Failure>,
    interrupted: &Interrupted,
) -> Result<(), Failure> {
    let stopped = server.stop();
    let told = match told {
        Err(_) if interrupted.is_set() => Ok(()),
        told => told,
    };
    told.and(stopped).map_err(|failure| failure.with(server.last_lines()))?;
    let faint = Style::new().dimmed();
    anstream::println!("\n{faint}stopped; no process, mount or port is left{faint:#}");
    Ok(())
}

/// Until Ctrl-C, or until the server ends by itself.
fn stay(server: &mut Server, interrupted: &Interrupted) -> Result<(), Failure> {
    let signals = Signals::new([SIGINT, SIGTERM, SIGCHLD]);
    let mut signals = signals.map_err(Failure::io("listen to signals"))?;
    story::invite(server);
    let mut arrived = signals.forever();
    while !interrupted.is_set() {
        if let Some(status) = server.ended()? {
            return Err(Failure::new(format!("ten serve ended by itself with {status}")));
        }
        arrived.next();
    }
    Ok(())
}

/// Whether somebody wants it to end: then the server is stopped before we go.
#[derive(Debug)]
pub(crate) struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    fn watch() -> Result<Self, Failure> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register(signal, Arc::clone(&flag)).map_err(Failure::io("catch Ctrl-C"))?;
        }
        Ok(Self(flag))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
