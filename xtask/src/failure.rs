//! How a verb fails: what happened, and whatever helps to see why.

use std::{fmt, io, process::ExitCode};

use anstyle::{AnsiColor, Style};

/// The text that ends the run.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    code: u8,
}

impl Failure {
    /// Something did not go as it should.
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), code: 1 }
    }

    /// What was typed makes no sense.
    pub(crate) fn usage(usage: impl fmt::Display) -> Self {
        Self { what: format!("usage:\n{usage}"), code: 2 }
    }

    /// From an I/O error, with what was being done.
    pub(crate) fn io(doing: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(format!("cannot {doing}: {error}"))
    }

    /// With more to read below it.
    pub(crate) fn with(mut self, more: impl fmt::Display) -> Self {
        self.what += &format!("\n{more}");
        self
    }

    /// Tells the user, and says what to exit with.
    pub(crate) fn report(&self) -> ExitCode {
        let error = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        anstream::eprintln!("{error}error:{error:#} {}", self.what);
        ExitCode::from(self.code)
    }
}
