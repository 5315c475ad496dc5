//! What `ten init` writes: looks at a project's folder, guesses what starts it, and renders a
//! commented `tenement.toml` that this crate accepts. Reads files; writes none and runs
//! nothing.

mod detect;
mod render;

use std::path::Path;

use ten_domain::{NameError, ServiceName};

pub use detect::detect;
pub use render::render;

/// Longest name that is made from a folder's: the longest DNS label.
const MAX_NAME: usize = 63;

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// What it is written in, or for.
    pub language: Language,
    /// What starts it, as `command` in the config; `None` where nothing is to be guessed.
    pub command: Option<String>,
    /// What must be run once before it can start, in the words of a shell.
    pub build: Option<String>,
}

/// How a project is built and run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Python managed by uv.
    PythonUv,
    /// Python with a `requirements.txt` or `pyproject.toml`.
    PythonPip,
    /// Python files alone.
    Python,
    /// Node.js.
    Node,
    /// Bun.
    Bun,
    /// Deno.
    Deno,
    /// Go.
    Go,
    /// Rust.
    Rust,
    /// Nothing that was recognised.
    Unknown,
}

impl Language {
    /// How it is called in a sentence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::PythonUv => "Python (uv)",
            Self::PythonPip => "Python (pip)",
            Self::Python => "Python",
            Self::Node => "Node.js",
            Self::Bun => "Bun",
            Self::Deno => "Deno",
            Self::Go => "Go",
            Self::Rust => "Rust",
            Self::Unknown => "unknown",
        }
    }
}

/// A service name made from a folder's name: `My App_2` becomes `my-app-2`. Fails where
/// nothing of the name is left, such as for `/` or `日本`.
pub fn name_of(folder: &Path) -> Result<ServiceName, NameError> {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.into());
    label_of(&absolute.file_name().unwrap_or_default().to_string_lossy()).parse()
}

/// The nearest text to this one that is a name; empty where nothing is left of it.
pub(crate) fn label_of(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut label = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    label.truncate(MAX_NAME);
    label.trim_end_matches('-').into()
}

#[cfg(test)]
mod tests;
