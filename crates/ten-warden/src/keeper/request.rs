//! What the front may ask of the keeper, and what of it is refused unseen.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use ten_kernel::{IMAGES, NewEntry, PutBackError, is_entry};

/// A question, named after the method that answers it. Folders are named by their paths below the
/// data folder.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Prepare { name: String, note: Vec<u8> },
    PrepareImport { name: String, note: Vec<u8> },
    Complete(NewEntry),
    Abandon(NewEntry),
    Fill { entry: NewEntry, folders: Vec<PathBuf> },
    Conclude(NewEntry),
    Sync { entry: String, folders: Vec<PathBuf> },
    Entries,
    PutBack { entry: String, folders: Vec<PathBuf> },
    Purge { entry: String },
    FinishPurges,
    Vacate { folders: Vec<PathBuf> },
    HoldsData { folder: PathBuf },
    HoldsImage { entry: String },
    WhyNot { order: Vec<u8>, command: String },
    Pack { home: PathBuf, folders: Vec<PathBuf> },
    Unpack { entry: NewEntry, folders: usize },
}

impl Request {
    /// What is wrong with it, if it names what is not a tenant's.
    pub(super) fn fault(&self) -> Option<Wrong> {
        let (entry, folders): (Option<&str>, &[PathBuf]) = match self {
            Self::Prepare { name, .. } | Self::PrepareImport { name, .. } => (Some(name), &[]),
            Self::Sync { entry, folders } | Self::PutBack { entry, folders } => {
                (Some(entry), folders)
            }
            Self::Purge { entry } | Self::HoldsImage { entry } => (Some(entry), &[]),
            Self::Fill { folders, .. } | Self::Vacate { folders } => (None, folders),
            Self::Pack { home, .. } if !is_image(home) => return Some(Wrong::place()),
            Self::Pack { folders, .. } => (None, folders),
            Self::HoldsData { folder } => (None, std::slice::from_ref(folder)),
            // A new entry was looked at when it was read.
            Self::Complete(_)
            | Self::Abandon(_)
            | Self::Conclude(_)
            | Self::Unpack { .. }
            | Self::WhyNot { .. }
            | Self::Entries
            | Self::FinishPurges => (None, &[]),
        };
        let is_place = |folder: &PathBuf| is_tenants(folder) || is_image(folder);
        let fine = entry.is_none_or(is_entry) && folders.iter().all(is_place);
        (!fine).then(Wrong::place)
    }
}

/// Whether a folder below the data folder can be an instance's. ten's own names begin with a dot
/// or with `ten.` there, and are no one else's.
fn is_tenants(folder: &Path) -> bool {
    let mut parts = folder.components();
    let Some(Component::Normal(first)) = parts.next() else { return false };
    let first = first.to_string_lossy();
    !first.starts_with('.')
        && !first.starts_with("ten.")
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Whether a folder below the data folder is where the image of an instance can be.
fn is_image(folder: &Path) -> bool {
    let instance = |name: &str| {
        name.split_once(':').is_some_and(|(service, id)| !service.is_empty() && !id.is_empty())
    };
    let mut parts = folder.components();
    parts.next() == Some(Component::Normal(IMAGES.as_ref()))
        && matches!(parts.next(), Some(Component::Normal(name)) if name.to_str().is_some_and(instance))
        && parts.next().is_none()
}

/// An error, as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wrong {
    errno: Option<i32>,
    text: String,
}

impl Wrong {
    fn place() -> Self {
        Self { errno: None, text: "not a place of an instance's".into() }
    }
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self { errno: error.raw_os_error(), text: error.to_string() }
    }
}

impl From<Wrong> for io::Error {
    fn from(Wrong { errno, text }: Wrong) -> Self {
        errno.map_or_else(|| Self::other(text), Self::from_raw_os_error)
    }
}

/// Why folders were not put back, as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WrongPutBack {
    NoEntry,
    Occupied(PathBuf),
    Io(Wrong),
}

impl From<PutBackError> for WrongPutBack {
    fn from(error: PutBackError) -> Self {
        match error {
            PutBackError::NoEntry => Self::NoEntry,
            PutBackError::Occupied { path } => Self::Occupied(path),
            PutBackError::Io(error) => Self::Io(error.into()),
        }
    }
}

impl From<WrongPutBack> for PutBackError {
    fn from(wrong: WrongPutBack) -> Self {
        match wrong {
            WrongPutBack::NoEntry => Self::NoEntry,
            WrongPutBack::Occupied(path) => Self::Occupied { path },
            WrongPutBack::Io(error) => Self::Io(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_of_instances_are_touched() {
        for fine in ["app/a", "a", "x/api-prod/y"] {
            assert!(is_tenants(Path::new(fine)), "{fine}");
        }
        for wrong in [
            "",
            "/etc",
            "..",
            "app/../.state",
            ".state",
            ".run/x",
            ".trash/a",
            "ten.users",
            "ten.lock",
            "./a",
            "a/../../x",
        ] {
            assert!(!is_tenants(Path::new(wrong)), "{wrong}");
        }
    }

    #[test]
    fn among_the_images_only_an_instance_s_own_place_is_touched() {
        assert!(is_image(Path::new(".images/app:a")));
        for wrong in [
            ".images",
            ".images/app",
            ".images/:a",
            ".images/app:",
            ".images/app:a/image",
            ".images/../.state",
            "./.images/app:a",
            "/.images/app:a",
            ".state/app:a",
            "images/app:a",
        ] {
            assert!(!is_image(Path::new(wrong)), "{wrong}");
        }
    }
}
