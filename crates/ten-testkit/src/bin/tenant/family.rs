//! Relatives: processes that a tenant leaves behind, each harder to get rid of.

use std::{
    io::{self, BufRead, BufReader},
    process::{Command, Stdio},
    str::FromStr,
    thread,
};

use rustix::process::{Signal, getpid, kill_process, setsid};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Goes at SIGTERM.
    Child,
    /// Ignores SIGTERM.
    Stubborn,
    /// In a session of its own; ignores SIGTERM.
    Setsid,
    /// In a session of its own and orphaned, like a daemon; ignores SIGTERM.
    Daemon,
    /// Stopped by SIGSTOP, so that it does not even see a signal; in a session of its own.
    Stopped,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Child => "child",
            Self::Stubborn => "stubborn",
            Self::Setsid => "setsid",
            Self::Daemon => "daemon",
            Self::Stopped => "stopped",
        }
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Child, Self::Stubborn, Self::Setsid, Self::Daemon, Self::Stopped]
            .into_iter()
            .find(|kind| kind.word() == text)
            .ok_or_else(|| format!("no relative is called {text:?}"))
    }
}

/// Forks a relative and gives its pid once it is what it should be.
pub(crate) fn fork(kind: Kind) -> io::Result<u32> {
    let mut child = Command::new("/proc/self/exe")
        .args(["--relative", kind.word()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut announced = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut announced)?;
    }
    if kind == Kind::Daemon {
        child.wait()?;
    } else {
        // Reaped when it ends, so that only living relatives are ever counted.
        thread::spawn(move || child.wait());
    }
    announced.trim().parse().map_err(|_| io::Error::other("the relative did not start"))
}

/// The life of a relative.
pub(crate) fn live(kind: Kind) -> ! {
    match kind {
        Kind::Child => {}
        Kind::Stubborn => ignore_signals(),
        Kind::Setsid | Kind::Stopped => {
            ignore_signals();
            let _ = setsid();
        }
        Kind::Daemon => become_orphan(),
    }
    println!("{}", getpid().as_raw_nonzero());
    if kind == Kind::Stopped {
        let _ = kill_process(getpid(), Signal::STOP);
    }
    loop {
        thread::park();
    }
}

/// The second half of a double fork: a child of ours goes on as a stubborn one, and we leave.
fn become_orphan() -> ! {
    let _ = setsid();
    let status = Command::new("/proc/self/exe")
        .args(["--relative", Kind::Setsid.word()])
        .spawn()
        .map_or(1, |_| 0);
    std::process::exit(status)
}

fn ignore_signals() {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).expect("they can be handled");
    thread::spawn(move || signals.forever().for_each(drop));
}
