//! Whose folders lie where below the data folder.
//!
//! ```text
//! app/{id}        what every instance has: {instance_dir}
//! {id}            named by a variable, DB = "{data_dir}/{id}/app.db"
//! _files/{id}     named by another
//! ```
//!
//! Each of these is a [`Family`]: a folder for every id. Ids come out of requests, hence from
//! strangers. So a [`Layout`] is only made of families of which no two folders of different
//! instances are the same or lie in each other, whatever the ids. One thing no config can rule
//! out: where an id stands in the first place, the services' names stand too, and an id may be
//! spelt like one. An instance with such an id has no folders, and so is never started.
//!
//! All of this is names. What is on the disk under them, links included, is not known here.

mod family;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use self::family::Family;
use crate::{InstanceName, ServiceName, ServiceSpec};

/// Names in the data folder that are ten's own and could be made of an id. `acme` is where
/// certificates belong, and none of those is called as an id can be.
const OURS: [&str; 2] = ["api_token", "acme"];
/// What all others of ten's own begin with.
const OUR_PREFIXES: [&str; 2] = [".", "ten."];

/// The folders of all instances of all services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(Vec<Family>);

/// A family of folders, as its author knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The service whose instances have the folders.
    pub service: ServiceName,
    /// The variable of its `env` that names them; `None`: they are each instance's
    /// `{instance_dir}`.
    pub variable: Option<String>,
    /// The folder, with `{data_dir}` and `{id}` in it.
    pub folder: String,
}

/// One reason for which there is no layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{named}: {fault}")]
pub struct LayoutError {
    /// What is wrong.
    pub named: Named,
    /// Why.
    pub fault: LayoutFault,
}

/// What is wrong with a family of folders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutFault {
    /// `..` on the way to the id.
    #[error("it climbs with `..`")]
    Climbs,
    /// The id more than once in one name.
    #[error("{{id}} stands in one name twice")]
    Twice,
    /// A file where others have a folder.
    #[error("a file needs a folder of its own")]
    File,
    /// A name that has the port in it.
    #[error("the port is another one at each start, and so would the folder be")]
    Changes,
    /// ten keeps something there.
    #[error("`{0}` in data_dir is ten's own")]
    Ours(String),
    /// Folders of two instances would be the same, or one would lie in the other.
    #[error("{overlap}, because of {other}")]
    Meets {
        /// The family that it meets.
        other: Named,
        /// How.
        overlap: Overlap,
    },
}

/// How two families of folders meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Overlap {
    /// They are one.
    #[error("instances of two services would have one folder")]
    Same,
    /// The one stands where the other has an id.
    #[error("the folder of `{0}` would hold those of others")]
    Holds(InstanceName),
    /// What stands around the ids may be part of an id.
    #[error("some ids would have one folder")]
    Alike,
}

/// Why an instance has no folders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FolderError {
    /// Its id is a name that is taken.
    #[error(
        "its folder {folder} would be where {holder}; choose another id, or begin {variable} with {{instance_dir}}"
    )]
    Taken {
        /// The folder, below `{data_dir}`.
        folder: String,
        /// The variable that names it.
        variable: String,
        /// Whose the name is.
        holder: Holder,
    },
    /// The layout was made without its service.
    #[error("no service {0} is configured")]
    NoService(ServiceName),
}

/// Whose a name in the data folder is that an id is spelt like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Holder {
    /// ten's.
    #[error("ten keeps its own")]
    Ten,
    /// A service's.
    #[error("the instances of {0} live")]
    Service(ServiceName),
}

impl Layout {
    /// The layout of these services, or all that is wrong with it. `data_dir` is the data folder,
    /// by each name that an absolute path may have for it; the first is what `{data_dir}` stands
    /// for.
    pub fn of<'a>(
        services: impl IntoIterator<Item = &'a ServiceSpec>,
        data_dir: &[&Path],
    ) -> Result<Self, Vec<LayoutError>> {
        let mut families: Vec<Family> = Vec::new();
        let mut errors = Vec::new();
        for spec in services {
            let first = families.len();
            let variables = spec.env.iter();
            let named = variables
                .filter_map(|(name, text)| Family::named(spec, name, text, data_dir).transpose());
            for family in [Ok(Family::instance_dir(&spec.name))].into_iter().chain(named) {
                match family {
                    // Two variables may name one folder of their instance.
                    Ok(family) if families[first..].contains(&family) => {}
                    Ok(family) => families.push(family),
                    Err(error) => errors.push(error),
                }
            }
        }
        // One meeting of each says enough: of many, all may be with the same.
        for (at, family) in families.iter().enumerate() {
            errors.extend(families[..at].iter().find_map(|other| family.meets(other)));
        }
        if errors.is_empty() { Ok(Self(families)) } else { Err(errors) }
    }

    /// The folders of an instance below the data folder, `{instance_dir}` first.
    pub fn folders(&self, name: &InstanceName) -> Result<Vec<PathBuf>, FolderError> {
        let own = self.0.iter().filter(|family| *family.service() == name.service);
        let folders = own.map(|family| {
            let folder = family.folder(name.id.as_str());
            match self.holder(&folder) {
                None => Ok(folder.iter().collect()),
                Some(holder) => Err(FolderError::Taken {
                    folder: format!("{{data_dir}}/{}", folder.join("/")),
                    variable: family.variable().unwrap_or("it").into(),
                    holder,
                }),
            }
        });
        let folders: Vec<PathBuf> = folders.collect::<Result<_, _>>()?;
        match folders.is_empty() {
            true => Err(FolderError::NoService(name.service.clone())),
            false => Ok(folders),
        }
    }

    /// Whether a path below the data folder holds, is, or lies in what is an instance's or ten's own.
    pub fn is_taken(&self, below: &Path) -> bool {
        let names: Vec<_> = below.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        let own = names.first().is_some_and(|name| is_ours(name));
        own || self.0.iter().any(|family| family.touches(&names))
    }

    /// Whose a folder is that an id has made of a family, where it is no instance's.
    fn holder(&self, folder: &[String]) -> Option<Holder> {
        if is_ours(&folder[0]) {
            return Some(Holder::Ten);
        }
        let inside = self.0.iter().find(|family| family.above().starts_with(folder))?;
        Some(Holder::Service(inside.service().clone()))
    }
}

/// Whether a name in the data folder is ten's own.
fn is_ours(name: &str) -> bool {
    OURS.contains(&name) || OUR_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, variable, folder } = self;
        match variable {
            Some(variable) => write!(f, "{folder}, which {variable} of `{service}` names"),
            None => write!(f, "{folder}, where the instances of `{service}` live"),
        }
    }
}

#[cfg(test)]
mod tests;
