//! Pages that an operator has written in place of ten's own.
//!
//! A folder with a file for a kind (`not-found.html`) or for a status (`503.html`); the kind is
//! the more specific and comes first. They are read once and kept, so a request reads no disk.
//! Only the words are theirs: status and headers stay ten's.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::page::{ALL, Page};

/// Largest file of a page, in bytes. All are held in memory, and a page is answered when the
/// server may have other troubles.
pub const MAX_PAGE: usize = 256 << 10;
/// Stands in a page for the id of the request.
const REQUEST_ID: &str = "{request_id}";

/// The pages that stand in for ten's own.
#[derive(Debug, Default)]
pub struct ErrorPages {
    /// By the name of the file, without its ending.
    texts: HashMap<String, String>,
}

/// Why a folder of pages cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ErrorPagesError {
    /// The folder, or a file in it.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A page that is too large.
    #[error("{} has more than {MAX_PAGE} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// A page that is not text.
    #[error("{} is not UTF-8", path.display())]
    NotText {
        /// Which.
        path: PathBuf,
    },
    /// A page that would never be shown.
    #[error("{} is named after no page: known are statuses such as 503 and {}", path.display(), kinds())]
    NoSuchPage {
        /// Which.
        path: PathBuf,
    },
}

impl ErrorPages {
    /// Reads every `.html` file in `folder`. Other files are left alone: nothing serves them.
    ///
    /// # Errors
    /// If anything cannot be read, or a page is too large, not text, or named after nothing.
    pub fn load(folder: &Path) -> Result<Self, ErrorPagesError> {
        let unreadable = |source| ErrorPagesError::Read { path: folder.into(), source };
        let mut texts = HashMap::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_none_or(|extension| extension != "html") {
                continue;
            }
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if !is_page(name) {
                return Err(ErrorPagesError::NoSuchPage { path });
            }
            let name = name.to_owned();
            texts.insert(name, read(path)?);
        }
        Ok(Self { texts })
    }

    /// The text for a page, if there is one.
    pub(super) fn text(&self, page: &Page, request_id: &str) -> Option<String> {
        // What is said of failures is not what is said while all goes well.
        let by_status = || self.texts.get(page.status.as_str()).filter(|_| page.is_failure());
        let text = self.texts.get(page.kind).or_else(by_status)?;
        Some(text.replace(REQUEST_ID, request_id))
    }
}

fn is_page(name: &str) -> bool {
    ALL.iter().any(|page| page.kind == name || page.status.as_str() == name)
}

fn kinds() -> String {
    ALL.map(|page| page.kind).join(", ")
}

fn read(path: PathBuf) -> Result<String, ErrorPagesError> {
    let mut bytes = Vec::new();
    // One more than may be tells a large file from one that is too large. No pipe is opened: it
    // would wait for somebody to write.
    let read = fs::metadata(&path).and_then(|file| match file.is_file() {
        true => File::open(&path)?.take(MAX_PAGE as u64 + 1).read_to_end(&mut bytes),
        false => Err(io::Error::other("it is not a file")),
    });
    if let Err(source) = read {
        return Err(ErrorPagesError::Read { path, source });
    }
    if bytes.len() > MAX_PAGE {
        return Err(ErrorPagesError::TooLarge { path });
    }
    String::from_utf8(bytes).map_err(|_| ErrorPagesError::NotText { path })
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::{
        super::page::{NOT_FOUND, NOT_READY, QUEUE_FULL, WAKING},
        *,
    };

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    #[test]
    fn kinds_come_before_statuses_and_ten_comes_last() {
        let folder = folder(&[
            ("503.html", b"any 503 {request_id} {x}"),
            ("queue-full.html", b"full"),
            ("style.css", b"\xff"),
        ]);
        let pages = ErrorPages::load(folder.path()).unwrap();
        let text = |page| pages.text(page, "id");
        assert_eq!(text(&QUEUE_FULL).as_deref(), Some("full"));
        assert_eq!(text(&NOT_READY).as_deref(), Some("any 503 id {x}"));
        assert_eq!(text(&WAKING), None, "nothing has failed");
        assert_eq!(text(&NOT_FOUND), None);
    }

    #[test]
    fn what_cannot_be_shown_is_an_error_that_names_it() {
        let large = vec![b'a'; MAX_PAGE + 1];
        for (name, bytes, why) in [
            ("404.html", large.as_slice(), "more than"),
            ("404.html", b"\xff", "UTF-8"),
            ("not_found.html", b"", "named after no page"),
            ("999.html", b"", "named after no page"),
        ] {
            let folder = folder(&[(name, bytes)]);
            let error = ErrorPages::load(folder.path()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(why), "{error}");
        }
        let folder = folder(&[("404.html", &large[..MAX_PAGE])]);
        assert!(ErrorPages::load(folder.path()).is_ok());
        fs::create_dir(folder.path().join("503.html")).unwrap();
        let error = ErrorPages::load(folder.path()).unwrap_err();
        assert!(error.to_string().contains("503.html") && error.source().is_some());
        assert!(ErrorPages::load(&folder.path().join("absent")).is_err());
    }

    #[test]
    fn every_page_has_a_name_of_its_own() {
        let mut kinds = ALL.map(|page| page.kind);
        kinds.sort_unstable();
        assert!(kinds.windows(2).all(|pair| pair[0] != pair[1]), "{kinds:?}");
    }
}
