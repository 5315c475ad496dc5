//! How a command fails: one line what, one line why, one line what to do, and an exit code.

use std::{error::Error, fmt, io, process::ExitCode};

use anstyle::{AnsiColor, Style};

use crate::render::visible;

/// The operation failed.
const FAILED: u8 = 1;
/// What was typed makes no sense. The same as clap's own.
const USAGE: u8 = 2;
/// No server was there to answer.
const UNREACHABLE: u8 = 3;

/// Why the command did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    what: String,
    why: Option<String>,
    fix: Option<String>,
    /// What the instance in question said last.
    said: Vec<String>,
    code: u8,
}

impl Failure {
    /// The operation failed.
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), why: None, fix: None, said: Vec::new(), code: FAILED }
    }

    /// What was typed makes no sense.
    pub(crate) fn usage(what: impl fmt::Display) -> Self {
        Self { code: USAGE, ..Self::new(what) }
    }

    /// What was asked for will be built later.
    pub(crate) fn unsupported(what: impl fmt::Display) -> Self {
        Self::usage(format!("{what} is not supported yet"))
    }

    /// The reader of the output has gone, as in `ten logs | head`: nothing is wrong.
    fn unread() -> Self {
        Self { code: 0, ..Self::new("") }
    }

    /// With this exit code.
    pub(crate) fn code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// With an error and all its causes as the reason, on one line.
    pub(crate) fn because(self, error: impl Error) -> Self {
        self.why(ten_server::with_causes(&error))
    }

    /// With this reason.
    pub(crate) fn why(mut self, why: impl fmt::Display) -> Self {
        self.why = Some(why.to_string());
        self
    }

    /// With this way out.
    pub(crate) fn fix(mut self, fix: impl fmt::Display) -> Self {
        self.fix = Some(fix.to_string());
        self
    }

    /// With what the instance in question said last.
    pub(crate) fn said(mut self, lines: Vec<String>) -> Self {
        self.said = lines;
        self
    }

    /// A call to the server that did not succeed; `what` says what it was for.
    pub(crate) fn call(what: impl fmt::Display, error: ten_client::Error) -> Self {
        use ten_client::{Error, Target};
        match error {
            Error::Problem(problem) => {
                let failure = Self::new(what).why(problem.detail);
                Self { fix: problem.hint, ..failure }
            }
            Error::Unreachable { target: Target::Socket(path), source } => {
                let failure = Self::new(what).why(format!("no server answers: {source}"));
                let failure = match source.kind() {
                    io::ErrorKind::PermissionDenied => {
                        failure.fix("run it as root or as the user of `ten serve`, or use --server")
                    }
                    _ => failure
                        .fix(format!("is `ten serve` running? looked for {}", path.display())),
                };
                Self { code: UNREACHABLE, ..failure }
            }
            Error::Untrusted { source, .. } => {
                let fix = source.remedy();
                Self { code: UNREACHABLE, ..Self::new(what) }.because(source).fix(fix)
            }
            Error::Unreachable { target: target @ Target::Http { .. }, source } => {
                let failure = Self::new(what).why(format!("no server answers: {source}"));
                let failure = failure.fix(format!("is `ten serve` running at {target}?"));
                Self { code: UNREACHABLE, ..failure }
            }
            error @ (Error::Broken { .. } | Error::Cut { .. }) => {
                Self { code: UNREACHABLE, ..Self::new(what) }
                    .because(error)
                    .fix("`ten ps` shows whether the server is back and what it did")
            }
            error if error.wants_https() => Self::new(what)
                .because(error)
                .fix("the server serves HTTPS: --server https://HOST:PORT"),
            error @ (Error::NotTenement { .. } | Error::Unreadable { .. }) => Self::new(what)
                .because(error)
                .fix("check --server, and that `ten --version` is the server's"),
            error @ Error::Unsendable(_) => Self::new(what).because(error).fix("check --token"),
        }
    }

    /// The lines for stderr.
    fn render(&self) -> String {
        let error = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        let label = Style::new().bold();
        let mut text = format!("{error}error:{error:#} {}\n", visible(&self.what));
        for (name, line) in [("why", &self.why), ("fix", &self.fix)] {
            if let Some(line) = line {
                text += &format!("  {label}{name}:{label:#} {}\n", visible(line));
            }
        }
        if !self.said.is_empty() {
            text += &format!("  {label}it said last:{label:#}\n");
            self.said.iter().for_each(|line| text += &format!("    {}\n", visible(line)));
        }
        text
    }

    /// Whether what was typed is at fault.
    #[cfg(test)]
    pub(crate) fn is_usage(&self) -> bool {
        self.code == USAGE
    }

    /// Tells the user, and says what to exit with.
    pub(crate) fn report(&self) -> ExitCode {
        if self.code != 0 {
            anstream::eprint!("{}", self.render());
        }
        ExitCode::from(self.code)
    }
}

impl From<io::Error> for Failure {
    /// Output that could not be written.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::unread(),
            _ => Self::new("cannot write the output").because(error),
        }
    }
}

#[cfg(test)]
mod tests;
