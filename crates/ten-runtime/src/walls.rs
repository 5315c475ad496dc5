//! What surrounds an instance at each isolation level.
//!
//! `namespace` shows the host's file tree read-only and hides the places where others leave
//! things: the shared temporary folders and the whole data folder. The instance's own
//! folders are shown again at their own paths, writable; so are its workdir and its
//! program's folder, read-only, where a hidden place holds them.
//!
//! ```text
//! /                  the host's, read-only
//! ├── proc           its own
//! ├── tmp, var/tmp, dev/shm      its own, empty
//! │   └── tenement   its socket's folder = {run_dir}/scratch/{name} outside
//! └── {data_dir}     empty
//!     └── api/prod   its own folder
//! ```

use std::path::{Path, PathBuf};

use ten_domain::{InstanceName, Isolation, ServiceSpec};
use ten_kernel::{Mount, Walls};

use crate::{Ground, PlanError, places::Places};

/// Places that every process of the host shares; each instance gets an empty one.
const SHARED: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// Anybody may create here, only the owner may remove.
const STICKY: u32 = 0o1777;
/// Passing through is all that a hidden data folder allows.
const PASSAGE: u32 = 0o711;

/// The walls, and what they change about the instance's socket.
pub(crate) struct Raised {
    pub(crate) walls: Walls,
    /// The socket, as seen from outside.
    pub(crate) socket: PathBuf,
    /// A folder that lives and dies with the process.
    pub(crate) scratch: Option<PathBuf>,
    /// A folder that must exist.
    pub(crate) folder: Option<PathBuf>,
}

pub(crate) fn raise(
    ground: &Ground,
    spec: &ServiceSpec,
    name: &InstanceName,
    places: &Places,
    program: &Path,
) -> Result<Raised, PlanError> {
    match spec.isolation {
        Isolation::Process => Ok(Raised {
            walls: Walls::Bare,
            socket: places.socket.clone(),
            scratch: None,
            folder: places.socket.parent().map(Path::to_path_buf),
        }),
        Isolation::Namespace => namespaces(ground, name, places, program),
    }
}

fn namespaces(
    ground: &Ground,
    name: &InstanceName,
    places: &Places,
    program: &Path,
) -> Result<Raised, PlanError> {
    let (socket, scratch) = socket(ground, name, places)?;
    let mut layers: Vec<Layer> = SHARED.map(|at| Layer::hide(at, STICKY)).into();
    layers.push(Layer::hide(&ground.data_dir, PASSAGE));
    let hidden = layers.clone();
    let is_hidden = |path: &Path| hidden.iter().any(|layer| path.starts_with(&layer.at));
    let needed = [Some(places.workdir.as_path()), program.parent()].into_iter().flatten();
    for path in needed.filter(|path| is_hidden(path) && !places.owns(path)) {
        layers.push(Layer::show(path, path, Rank::Shown));
    }
    layers.extend(places.folders.iter().map(|own| Layer::show(own, own, Rank::Own)));
    if let (Some(scratch), Some(at)) = (&scratch, places.socket.parent()) {
        layers.push(Layer::show(scratch, at, Rank::Own));
    }
    // What lies deeper comes later, so that nothing is covered by what it lies in: a workdir
    // that holds the data folder is shown first, then the data folder in it is hidden.
    layers.sort_by_key(|layer| (layer.at.components().count(), layer.rank));
    layers.dedup();
    let mounts = layers.into_iter().map(|layer| layer.mount);
    let mounts = [Mount::Proc].into_iter().chain(mounts).collect();
    let walls = Walls::Namespaces { hostname: name.id.to_string(), mounts };
    Ok(Raised { walls, socket, scratch, folder: None })
}

/// One mount, and where it comes among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layer {
    at: PathBuf,
    rank: Rank,
    mount: Mount,
}

/// Which of two layers on the same place comes later, and so is the one that is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Shown,
    Hidden,
    Own,
}

impl Layer {
    fn hide(at: impl Into<PathBuf>, mode: u32) -> Self {
        let at = at.into();
        Self { at: at.clone(), rank: Rank::Hidden, mount: Mount::Private { at, mode } }
    }

    fn show(from: &Path, at: &Path, rank: Rank) -> Self {
        let writable = rank == Rank::Own;
        let mount = Mount::Bind { from: from.into(), at: at.into(), writable };
        Self { at: at.into(), rank, mount }
    }
}

/// Where the socket is outside, and the folder that has to be shown as its folder inside.
fn socket(
    ground: &Ground,
    name: &InstanceName,
    places: &Places,
) -> Result<(PathBuf, Option<PathBuf>), PlanError> {
    let inside = &places.socket;
    if places.owns(inside) {
        return Ok((inside.clone(), None));
    }
    let misplaced = || PlanError::SocketPlace { path: inside.clone() };
    let (Some(folder), Some(file)) = (inside.parent(), inside.file_name()) else {
        return Err(misplaced());
    };
    let below = |place: &&str| folder != Path::new(place) && folder.starts_with(place);
    if !SHARED.iter().any(below) {
        return Err(misplaced());
    }
    let scratch = ground.run_dir.join("scratch").join(name.to_string());
    Ok((scratch.join(file), Some(scratch)))
}
