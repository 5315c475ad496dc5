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
    let hidden: Vec<&Path> =
        SHARED.iter().map(Path::new).chain([ground.data_dir.as_path()]).collect();
    let mut mounts = vec![Mount::Proc];
    // Outer places first: a data folder below /tmp is made inside the private /tmp.
    mounts.extend(SHARED.map(|at| Mount::Private { at: at.into(), mode: STICKY }));
    mounts.push(Mount::Private { at: ground.data_dir.clone(), mode: PASSAGE });

    let is_hidden = |path: &Path| hidden.iter().any(|place| path.starts_with(place));
    let mut shown: Vec<(&Path, &Path, bool)> = Vec::new();
    for path in [Some(places.workdir.as_path()), program.parent()].into_iter().flatten() {
        if is_hidden(path) && !places.owns(path) {
            shown.push((path, path, false));
        }
    }
    shown.extend(places.folders.iter().map(|own| (own.as_path(), own.as_path(), true)));

    let (socket, scratch) = socket(ground, name, places)?;
    if let (Some(scratch), Some(at)) = (&scratch, places.socket.parent()) {
        shown.push((scratch, at, true));
    }
    // Parents before what lies in them, so that nothing shown is covered again.
    shown.sort_by_key(|(_, at, _)| at.components().count());
    shown.dedup();
    mounts.extend(shown.into_iter().map(|(from, at, writable)| Mount::Bind {
        from: from.into(),
        at: at.into(),
        writable,
    }));
    let walls = Walls::Namespaces { hostname: name.id.to_string(), mounts };
    Ok(Raised { walls, socket, scratch, folder: None })
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
