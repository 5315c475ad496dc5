//! The text of a config and where it came from.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Largest config that is read. A thousand services of forty lines are about 1 MiB; more is a
/// wrong file, and reading it would only exhaust memory.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A config's text, not yet parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    folder: PathBuf,
    text: String,
}

/// Why a config could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error(
        "{path} does not exist\ncheck --config and TENEMENT_CONFIG, or make one with `ten init`"
    )]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// A folder, device or pipe.
    #[error("{path} is not a file\nname the file itself, such as {path}/tenement.toml")]
    NotAFile {
        /// The path as given.
        path: PathBuf,
    },
    /// Larger than any config.
    #[error("{path} is larger than {limit} bytes\nis this a tenement.toml?")]
    TooLarge {
        /// The path as given.
        path: PathBuf,
        /// Most bytes that are read.
        limit: u64,
    },
    /// Bytes that are not UTF-8, which TOML requires.
    #[error("{path} is not UTF-8 text: line {line} has other bytes\nsave it as UTF-8")]
    NotUtf8 {
        /// The path as given.
        path: PathBuf,
        /// The line of the first such byte, from 1.
        line: usize,
    },
    /// A folder whose path is not UTF-8: templates and environments are text.
    #[error("the folder of {path} has a name that is not UTF-8\nrename or move it")]
    FolderNotUtf8 {
        /// The path as given.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The path as given.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl Source {
    /// Reads a config file of at most 4 MiB.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let io = |source| ReadError::Io { path: path.into(), source };
        let open = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => ReadError::Missing { path: path.into() },
            _ => io(error),
        };
        // Asked before opening: opening a FIFO would wait for its writer.
        if !path.metadata().map_err(open)?.is_file() {
            return Err(ReadError::NotAFile { path: path.into() });
        }
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(open)?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ReadError::TooLarge { path: path.into(), limit: MAX_BYTES });
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            ReadError::NotUtf8 { path: path.into(), line }
        })?;
        Self::from_text(path, text)
    }

    /// A config whose text is already at hand. `path` names it in messages, and its folder is
    /// where relative paths start. Fails only where that folder cannot be named.
    pub fn from_text(path: &Path, text: impl Into<String>) -> Result<Self, ReadError> {
        let absolute = std::path::absolute(path)
            .map_err(|source| ReadError::Io { path: path.into(), source })?;
        let folder = absolute.parent().unwrap_or(Path::new("/"));
        if folder.to_str().is_none() {
            return Err(ReadError::FolderNotUtf8 { path: path.into() });
        }
        Ok(Self { path: path.into(), folder: folder.into(), text: text.into() })
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the file. Absolute.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the file says.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_why_a_file_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tenement.toml");
        let say = |path: &Path| Source::read(path).unwrap_err().to_string();
        assert!(say(&path).contains("does not exist"));
        assert!(say(folder.path()).contains("is not a file"));
        std::fs::write(&path, b"a = 1\nb = \"\xff\"\n").unwrap();
        assert!(say(&path).contains("line 2"));
        std::fs::write(&path, vec![b'#'; MAX_BYTES as usize + 1]).unwrap();
        assert!(say(&path).contains("larger than 4194304 bytes"));
        std::fs::write(&path, vec![b'#'; MAX_BYTES as usize]).unwrap();
        assert_eq!(Source::read(&path).unwrap().folder(), folder.path());
    }
}
