//! The files of the repository, as text.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// Endings of the files that rules are about.
const ENDINGS: [&str; 4] = ["rs", "md", "toml", "py"];
/// Folders that hold nothing of ours.
const FOREIGN: [&str; 3] = ["target", ".git", "node_modules"];

/// A text file.
#[derive(Debug)]
pub(crate) struct File {
    /// Below the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every text file, sorted by path.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository")
}

impl Tree {
    /// Reads the repository.
    pub(crate) fn read() -> Result<Self, Failure> {
        let mut tree = Self { files: Vec::new() };
        tree.add(root())?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// The file at this path.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Every Rust file.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.ending("rs")
    }

    /// Every file with this ending.
    pub(crate) fn ending(&self, ending: &'static str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.path.ends_with(&format!(".{ending}")))
    }

    fn add(&mut self, folder: &Path) -> Result<(), Failure> {
        let doing = || format!("read {}", folder.display());
        for entry in fs::read_dir(folder).map_err(Failure::io(doing()))? {
            let path = entry.map_err(Failure::io(doing()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !FOREIGN.contains(&name.as_str()) {
                    self.add(&path)?;
                }
            } else if ENDINGS.iter().any(|ending| name.ends_with(&format!(".{ending}"))) {
                self.files.push(File { text: read(&path)?, path: below_root(&path) });
            }
        }
        Ok(())
    }
}

impl File {
    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether it is nothing but test code.
    pub(crate) fn is_test(&self) -> bool {
        let path = &self.path;
        path.contains("/tests/") || path.ends_with("/tests.rs") || path.starts_with("e2e/")
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(Failure::io(format!("read {}", path.display())))
}

fn below_root(path: &Path) -> String {
    let below: PathBuf = path.strip_prefix(root()).unwrap_or(path).into();
    below.to_string_lossy().into_owned()
}
