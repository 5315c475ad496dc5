//! Where output goes: results to stdout, remarks to stderr.

use std::io::Write;

use serde::Serialize;

use crate::{args::Global, failure::Failure};

/// Prints text as it is. Colours go only to terminals.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Prints a value as JSON over several lines.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value);
    print(&(text.map_err(|error| Failure::new("cannot print this").because(error))? + "\n"))
}

/// Prints a value as JSON on one line, for streams.
pub(crate) fn print_json_line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value);
    print(&(text.map_err(|error| Failure::new("cannot print this").because(error))? + "\n"))
}

/// Tells a person how it went, unless nobody wants to know.
pub(crate) fn remark(global: &Global, text: impl std::fmt::Display) {
    if !global.quiet && !global.json {
        anstream::eprintln!("{text}");
    }
}

/// How wide the terminal is that results go to; none where they go elsewhere.
pub(crate) fn width() -> Option<usize> {
    let stdout = std::io::stdout();
    terminal_size::terminal_size_of(stdout).map(|(width, _)| usize::from(width.0))
}
