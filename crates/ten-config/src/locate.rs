//! Which `tenement.toml` is meant. Looks at the file system, reads no file.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// Where a config is looked for, in this order, when nobody names one.
const USUAL_PLACES: [&str; 2] = ["tenement.toml", "/etc/tenement/tenement.toml"];

/// No config was found.
#[derive(Debug, thiserror::Error)]
#[error("no tenement.toml: looked at {}\n`ten init` makes one in this folder; `--config FILE` names another", list(.looked_at))]
pub struct LocateError {
    /// Every place that was looked at, in order.
    pub looked_at: Vec<PathBuf>,
}

/// Finds the config: `explicit` (`--config`), then `env` (`$TENEMENT_CONFIG`; empty counts as
/// unset), then `./tenement.toml`, then `/etc/tenement/tenement.toml`.
///
/// A file that was named is returned whether it exists or not, so that reading it reports what
/// is wrong with it: falling back to another file would run something nobody asked for.
pub fn locate(explicit: Option<&Path>, env: Option<&OsStr>) -> Result<PathBuf, LocateError> {
    let named = explicit.or(env.filter(|value| !value.is_empty()).map(Path::new));
    if let Some(path) = named {
        return Ok(path.into());
    }
    first_of(USUAL_PLACES.map(PathBuf::from).into())
}

fn first_of(places: Vec<PathBuf>) -> Result<PathBuf, LocateError> {
    match places.iter().find(|place| place.symlink_metadata().is_ok()) {
        Some(found) => Ok(found.clone()),
        None => Err(LocateError { looked_at: places }),
    }
}

fn list(places: &[PathBuf]) -> String {
    let mut text = String::new();
    for (i, place) in places.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        write!(text, "{comma}{}", place.display()).expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_wins_even_where_it_does_not_exist() {
        let flag = Path::new("/flag.toml");
        let env = OsStr::new("/env.toml");
        assert_eq!(locate(Some(flag), Some(env)).unwrap(), flag);
        assert_eq!(locate(None, Some(env)).unwrap(), Path::new(env));
    }

    #[test]
    fn looks_in_order_and_says_where_it_looked() {
        let folder = tempfile::tempdir().unwrap();
        let places = vec![folder.path().join("a"), folder.path().join("b")];
        let error = first_of(places.clone()).unwrap_err().to_string();
        assert!(error.contains(&format!("{}, {}", places[0].display(), places[1].display())));
        assert!(error.contains("`ten init` makes one"), "{error}");
        std::fs::write(&places[1], "").unwrap();
        assert_eq!(first_of(places.clone()).unwrap(), places[1]);
        std::fs::write(&places[0], "").unwrap();
        assert_eq!(first_of(places.clone()).unwrap(), places[0]);
    }
}
