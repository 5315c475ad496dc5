//! The terminal that `ten` runs in, handed to somebody else: raw, until that has ended.
//!
//! It is given back however this ends, short of SIGKILL: by [`Raw`] going out of scope, by a
//! panic, and by the signals that [`Ending`] takes. Nothing here reads or writes it.

use std::{convert::Infallible, io, panic, process, sync::OnceLock};

use rustix::{
    stdio::{stdin, stdout},
    termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr},
};
use ten_api::{ExecTerminal, TerminalSize};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What ends a program that does not care, in the order of their numbers (signal(7)).
const ENDING: [SignalKind; 4] =
    [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()];
/// What shells return for a program that a signal ended, less the signal's number.
pub(crate) const SIGNALLED: u8 = 128;

/// How it was before.
static BEFORE: OnceLock<Termios> = OnceLock::new();

/// What it is, if both what is typed and what is shown go through one.
pub(crate) fn own() -> Option<ExecTerminal> {
    let kind = std::env::var("TERM").unwrap_or_default();
    (isatty(stdin()) && isatty(stdout())).then(|| ExecTerminal { size: size(), kind })
}

/// Its size; that of the first terminals where it does not know.
pub(crate) fn size() -> TerminalSize {
    match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
            TerminalSize { rows: size.ws_row, columns: size.ws_col }
        }
        _ => TerminalSize { rows: 24, columns: 80 },
    }
}

/// A terminal that passes on every key as it is.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    pub(crate) fn enter() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        if BEFORE.set(before).is_ok() {
            let told = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                restore();
                told(panic);
            }));
        }
        let raw = Self(());
        raw.again()?;
        Ok(raw)
    }

    /// Once more, after somebody else had it: a shell that had stopped us.
    pub(crate) fn again(&self) -> io::Result<()> {
        let mut raw = tcgetattr(stdin())?;
        raw.make_raw();
        Ok(tcsetattr(stdin(), OptionalActions::Drain, &raw)?)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Some(before) = BEFORE.get() {
        // A terminal that has gone needs nothing any more.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, before);
    }
}

/// The signals that end this process, once there is a terminal to be given back first.
#[derive(Debug)]
pub(crate) struct Ending([(SignalKind, Signal); 4]);

impl Ending {
    /// From now on they wait for [`Ending::wait`]: taken before the terminal is.
    pub(crate) fn take() -> io::Result<Self> {
        let [hangup, interrupt, quit, terminate] = ENDING;
        let take = |kind| Ok::<_, io::Error>((kind, signal(kind)?));
        Ok(Self([take(hangup)?, take(interrupt)?, take(quit)?, take(terminate)?]))
    }

    /// Gives the terminal back and ends this process, once a signal says so.
    pub(crate) async fn wait(mut self) -> Infallible {
        let [hangup, interrupt, quit, terminate] = self.0.each_mut();
        let ending = tokio::select! {
            _ = hangup.1.recv() => hangup.0,
            _ = interrupt.1.recv() => interrupt.0,
            _ = quit.1.recv() => quit.0,
            _ = terminate.1.recv() => terminate.0,
        };
        restore();
        process::exit(i32::from(SIGNALLED) + ending.as_raw_value())
    }
}
