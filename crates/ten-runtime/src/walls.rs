//! What surrounds an instance at each isolation level.
//!
//! `namespace` shows the host's file tree read-only and hides the places where others leave
//! things: shared temporary folders, sockets and state in /run, home folders and the whole
//! data folder. The instance's own folders are shown again at their own paths, writable; so
//! are its workdir and the folder of a command that is a path, read-only, where a hidden place
//! holds them, and what `bind` names.
//!
//! ```text
//! /                  the host's, read-only
//! ├── proc, sys, dev its own; of the host's what every program may know
//! ├── tmp, var/tmp   its own, empty
//! │   └── tenement   its socket's folder = {run_dir}/scratch/{name} outside
//! ├── run, home, root, $HOME    its own, empty
//! └── {data_dir}     empty
//!     └── api/prod   its own folder
//! ```

use std::path::{Path, PathBuf};

use ten_domain::{InstanceName, Isolation, ServiceSpec};
use ten_kernel::{Mount, Network, Walls};

use crate::{Ground, PlanError, places::Places, resolver};

/// Places that every process of the host shares, where a socket may be; each instance gets
/// its own.
const SHARED: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// Where anybody may leave files.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];
/// Where services of the host have their sockets, and people their keys.
const OTHERS: [&str; 4] = ["/run", "/var/run", HOMES, "/root"];
/// Where each person has a folder.
const HOMES: &str = "/home";
/// Anybody may create here, only the owner may remove.
const STICKY: u32 = 0o1777;
/// Anybody may look, only the owner may create.
const PLAIN: u32 = 0o755;
/// Passing through is all that a hidden data folder allows.
const PASSAGE: u32 = 0o711;

/// The walls, and what they change about the instance's socket.
pub(crate) struct Raised {
    pub(crate) walls: Walls,
    /// What of the host is seen through them; `None`: everything.
    pub(crate) view: Option<View>,
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
    folder: Option<&Path>,
) -> Result<Raised, PlanError> {
    let (socket, scratch) = socket(ground, spec, name, places)?;
    match spec.isolation {
        Isolation::Process => Ok(Raised {
            walls: Walls::Bare,
            view: None,
            folder: socket.parent().map(Path::to_path_buf),
            socket,
            scratch,
        }),
        Isolation::Namespace => namespaces(ground, spec, name, places, folder, (socket, scratch)),
    }
}

fn namespaces(
    ground: &Ground,
    spec: &ServiceSpec,
    name: &InstanceName,
    places: &Places,
    folder: Option<&Path>,
    (socket, scratch): (PathBuf, Option<PathBuf>),
) -> Result<Raised, PlanError> {
    places.are_no_links(&ground.data_dir)?;
    let mut layers = hidden(ground);
    let hides = layers.clone();
    let is_hidden = |path: &Path| hides.iter().any(|layer| path.starts_with(&layer.at));
    let resolver = std::fs::canonicalize(resolver::FILE).ok();
    let needed = [
        ("workdir", Some(places.workdir.as_path())),
        ("the command's folder", folder),
        (resolver::FILE, resolver.as_deref()),
    ];
    for (what, path) in needed.into_iter().filter_map(|(what, path)| Some((what, path?))) {
        if is_hidden(path) && !places.owns(path) {
            // What is not there shows nothing.
            let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
            uncovers_nothing(ground, places, (path, &real), || format!("{what} {path:?}"))?;
            layers.push(Layer::show(path, path, Rank::Shown, false));
        }
    }
    if let ten_domain::Network::Private { nameservers } = &spec.network {
        if !ten_kernel::is_root() {
            return Err(PlanError::PrivateNeedsRoot);
        }
        let text = resolver::text(nameservers.as_deref())?;
        layers.extend(resolver.as_deref().map(|at| Layer::text(at, text)));
    }
    for bind in &spec.bind {
        let (path, failed) =
            (&bind.path, |source| PlanError::BindMissing { path: bind.path.clone(), source });
        path.metadata().map_err(failed)?;
        let what = || format!("bind = [\"{}\"]", path.display());
        let real = std::fs::canonicalize(path).map_err(failed)?;
        let hidden = [&ground.data_dir, &ground.run_dir];
        if hidden.iter().any(|hidden| path.starts_with(hidden) || real.starts_with(hidden)) {
            return Err(PlanError::Uncovers { what: what() });
        }
        uncovers_nothing(ground, places, (path, &real), what)?;
        layers.push(Layer::show(path, path, Rank::Asked, bind.writable));
    }
    layers.extend(places.folders.iter().map(|own| Layer::show(own, own, Rank::Own, true)));
    if let (Some(scratch), Some(at)) = (&scratch, places.socket.parent()) {
        layers.push(Layer::show(scratch, at, Rank::Own, true));
    }
    // What lies deeper comes later, so that nothing is covered by what it lies in: a workdir
    // that holds the data folder is shown first, then the data folder in it is hidden.
    layers.sort_by_key(|layer| (layer.at.components().count(), layer.rank));
    layers.dedup();
    let view = View {
        places: layers.iter().map(|layer| (layer.at.clone(), layer.hides())).collect(),
        home: ground.environment.get("HOME").map(PathBuf::from),
    };
    let mounts = layers.into_iter().map(|layer| layer.mount);
    let mounts = [Mount::Proc, Mount::Sys, Mount::Devices].into_iter().chain(mounts).collect();
    let network = match spec.network {
        ten_domain::Network::Host => Network::Host,
        ten_domain::Network::Private { .. } => Network::Uplink,
        ten_domain::Network::None => Network::Loopback,
    };
    let walls = Walls::Namespaces { hostname: name.id.to_string(), network, mounts };
    Ok(Raised { walls, view: Some(view), socket, scratch, folder: None })
}

/// Refuses to show a path that leads, as `real`, to what only the data folder's own name hides: to
/// what is another instance's or ten's, or around the data folder.
fn uncovers_nothing(
    ground: &Ground,
    places: &Places,
    (path, real): (&Path, &Path),
    what: impl Fn() -> String,
) -> Result<(), PlanError> {
    let hidden = [&ground.data_dir, &ground.run_dir];
    let around = real != path && hidden.iter().any(|hidden| hidden.starts_with(real));
    let below = real.strip_prefix(&ground.data_dir);
    // The data folder itself is covered by what hides it.
    let taken = below.is_ok_and(|below| below != Path::new("") && ground.layout.is_taken(below))
        || real.starts_with(&ground.run_dir);
    match around || taken && !places.owns(real) {
        true => Err(PlanError::Uncovers { what: what() }),
        false => Ok(()),
    }
}

/// What is hidden from every instance. Of links, what they lead to is; what this host does
/// not have needs no hiding.
fn hidden(ground: &Ground) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    let home = ground.environment.get("HOME").filter(|home| home.starts_with('/'));
    let places = TEMPORARY.into_iter().map(|at| (at, STICKY));
    let places = places.chain(OTHERS.into_iter().chain(home).map(|at| (at, PLAIN)));
    for (at, mode) in places {
        let Ok(at) = std::fs::canonicalize(at) else { continue };
        let again = layers.iter().any(|layer| at.starts_with(&layer.at));
        if at.is_dir() && at != Path::new("/") && !again {
            layers.push(Layer::hide(at, mode));
        }
    }
    layers.push(Layer::hide(&ground.data_dir, PASSAGE));
    if !ground.run_dir.starts_with(&ground.data_dir) {
        layers.push(Layer::hide(&ground.run_dir, PASSAGE));
    }
    layers
}

/// What of the host is seen.
#[derive(Debug)]
pub(crate) struct View {
    /// In the order in which they cover each other, and whether they hide or show.
    places: Vec<(PathBuf, bool)>,
    /// The home folder of whoever runs ten.
    home: Option<PathBuf>,
}

impl View {
    /// The place that hides a path, if one does.
    pub(crate) fn hidden(&self, path: &Path) -> Option<&Path> {
        let (at, hides) = self.places.iter().rfind(|(at, _)| path.starts_with(at))?;
        hides.then_some(at)
    }

    /// What to show of a hidden place for a path in it to be seen; `None` where it is seen.
    pub(crate) fn to_show(&self, path: &Path) -> Option<PathBuf> {
        to_show(self.hidden(path)?, self.home.as_deref(), path)
    }
}

/// The folder in which a tool is installed, such as `~/.local`: never somebody's whole home,
/// which has keys and passwords in it.
fn to_show(hidden: &Path, home: Option<&Path>, path: &Path) -> Option<PathBuf> {
    let own = home.filter(|home| home.starts_with(hidden) && path.starts_with(home));
    let (from, depth) = match own {
        Some(home) => (home, 1),
        None if hidden == Path::new(HOMES) => (hidden, 2),
        None => (hidden, 1),
    };
    let below = path.strip_prefix(from).ok()?;
    Some(from.components().chain(below.components().take(depth)).collect())
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
    Asked,
    Own,
}

impl Layer {
    fn hide(at: impl Into<PathBuf>, mode: u32) -> Self {
        let at = at.into();
        Self { at: at.clone(), rank: Rank::Hidden, mount: Mount::Private { at, mode } }
    }

    fn show(from: &Path, at: &Path, rank: Rank, writable: bool) -> Self {
        let mount = Mount::Bind { from: from.into(), at: at.into(), writable };
        Self { at: at.into(), rank, mount }
    }

    fn text(at: &Path, text: String) -> Self {
        let at = at.to_path_buf();
        Self { at: at.clone(), rank: Rank::Asked, mount: Mount::Text { at, text } }
    }

    fn hides(&self) -> bool {
        self.rank == Rank::Hidden
    }
}

/// Where the socket is outside, and the folder that has to be shown as its folder inside.
pub(crate) fn socket(
    ground: &Ground,
    spec: &ServiceSpec,
    name: &InstanceName,
    places: &Places,
) -> Result<(PathBuf, Option<PathBuf>), PlanError> {
    let inside = &places.socket;
    if spec.isolation == Isolation::Process {
        return Ok((inside.clone(), None));
    }
    let misplaced = || PlanError::SocketPlace { path: inside.clone() };
    let (Some(folder), Some(file)) = (inside.parent(), inside.file_name()) else {
        return Err(misplaced());
    };
    // Directly in an own folder: a folder further down could be replaced by a link from
    // inside, and then lead whoever binds or removes the socket from outside astray.
    if places.folders.iter().any(|own| own == folder) {
        return Ok((inside.clone(), None));
    }
    let below = |place: &&str| folder != Path::new(place) && folder.starts_with(place);
    if !SHARED.iter().any(below) {
        return Err(misplaced());
    }
    let scratch = ground.run_dir.join("scratch").join(name.to_string());
    Ok((scratch.join(file), Some(scratch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_shown_and_homes_are_not() {
        let show = |hidden: &str, home: &str, path: &str| {
            to_show(hidden.as_ref(), Some(home.as_ref()), path.as_ref()).unwrap()
        };
        for (hidden, home, path, want) in [
            ("/root", "/root", "/root/.bun/bin/bun", "/root/.bun"),
            ("/home", "/home/me", "/home/me/.local/bin/uv", "/home/me/.local"),
            ("/home", "/root", "/home/me/.local/bin/uv", "/home/me/.local"),
            ("/home", "/home/team/me", "/home/team/me/.deno/bin/deno", "/home/team/me/.deno"),
            ("/srv/me", "/srv/me", "/srv/me/uv", "/srv/me/uv"),
            ("/tmp", "/root", "/tmp/tools/bin/x", "/tmp/tools"),
        ] {
            assert_eq!(show(hidden, home, path), Path::new(want), "{path}");
        }
    }
}
