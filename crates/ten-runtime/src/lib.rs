//! Isolation levels: a service and the name of one copy of it, turned into a launch plan.
//!
//! ```text
//! ServiceSpec + InstanceName + port ──▶ places ──▶ walls ──▶ LaunchPlan
//!                                       (paths)   (by level)
//! ```
//!
//! This crate decides what a tenant sees. It starts no tenant: plans are executed by the
//! warden. Of the host a plan reads only which programs and folders there are; what else a
//! host must have for a plan to work, [`doctor`] finds out beforehand.

mod binds;
pub mod doctor;
mod environment;
mod person;
mod places;
mod preflight;
mod program;
mod resolver;
mod walls;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use ten_domain::{FolderError, InstanceName, Layout, Listen, ResourceLimits, ServiceSpec};
use ten_kernel::{IMAGES, LaunchPlan, Limits, Storage};

pub use binds::missing_binds;
pub use environment::HostEnvironment;
pub use preflight::Preflight;

/// The ports that instances are given.
pub const INSTANCE_PORTS: RangeInclusive<u16> = 30000..=40000;

/// What all plans of one server have in common.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The config's folder: relative workdirs start here.
    pub folder: PathBuf,
    /// The server's data folder, by its one name: absolute, and with no link in it.
    pub data_dir: PathBuf,
    /// Where ten keeps what lives only as long as a process. The same, on any filesystem.
    pub run_dir: PathBuf,
    /// ten's own environment.
    pub environment: HostEnvironment,
    /// Whose folders are where below the data folder.
    pub layout: Layout,
    /// The key of the server's certificate, which no instance may read.
    pub key_file: Option<PathBuf>,
}

/// What of an instance can be told without looking at the host: where it may listen, and its
/// folders below the data folder, its own `{instance_dir}` first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Where it may listen.
    pub listener: Listener,
    /// Its folders.
    pub folders: Vec<PathBuf>,
}

/// Where an instance may listen, as seen from outside its walls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listener {
    /// Its port, where it may use it.
    pub tcp: Option<SocketAddr>,
    /// Its socket, where it may use it.
    pub unix: Option<PathBuf>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No such file in any folder of PATH.
    #[error("{program:?} is in no folder of PATH ({path}); write its full path or extend PATH")]
    ProgramNotFound {
        /// What `command` names.
        program: String,
        /// The instance's PATH.
        path: String,
    },
    /// The path that `command` names cannot be executed.
    #[error("{path:?} cannot be executed: {source}")]
    ProgramUnusable {
        /// That path.
        path: PathBuf,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// The folder to start in is not there.
    #[error("workdir {path:?} is not a folder")]
    Workdir {
        /// That path.
        path: PathBuf,
    },
    /// The socket's path does not fit into a socket address.
    #[error("socket {path:?} has {} bytes; Linux allows {MAX_SOCKET_PATH}", path.as_os_str().len())]
    SocketTooLong {
        /// That path.
        path: PathBuf,
    },
    /// The socket's folder cannot be given to the instance alone.
    #[error(
        "socket {path:?} must lie in a folder below /tmp, /var/tmp or /dev/shm, or directly in the instance's own folder"
    )]
    SocketPlace {
        /// That path.
        path: PathBuf,
    },
    /// Its folders could not be its own.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A link on the way to a folder of its own.
    #[error(
        "{link:?} is a link; below data_dir none may lead to an instance's folder, since the walls do not hide what it leads to: move the data here, or mount them here"
    )]
    Linked {
        /// The link.
        link: PathBuf,
    },
    /// A file that the walls hide.
    #[error(
        "{path:?} is not visible inside the walls: {hidden:?} is hidden there; add bind = [\"{}:ro\"] to the service",
        bind.display()
    )]
    Hidden {
        /// The command, its interpreter, or what `#!` names.
        path: PathBuf,
        /// The file, or the link on the way to it, that is hidden.
        hidden: PathBuf,
        /// What to show.
        bind: PathBuf,
    },
    /// A file that the instance's user may not use.
    #[error(
        "{path:?} cannot be used by the instance's user: {closed:?} is closed to it; open it with chmod o+rX, or set user to one who may"
    )]
    Closed {
        /// The command, its interpreter, or the workdir.
        path: PathBuf,
        /// The folder on the way to it, or itself.
        closed: PathBuf,
    },
    /// What `bind` names is not there.
    #[error("bind = [\"{}\"] cannot be shown: {source}", path.display())]
    BindMissing {
        /// That path.
        path: PathBuf,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// What would be shown is ten's own, or another instance's.
    #[error("{what} would show what data_dir hides; an instance sees only its own folders there")]
    Uncovers {
        /// What would show it, and the path.
        what: String,
    },
    /// The server's own key.
    #[error(
        "key_file {path:?} could be read by the instance: move it to a place that is hidden from instances, such as your home folder, or give the instance a user of its own (user = \"dynamic\") and the key the mode 0600"
    )]
    ShowsKey {
        /// The key.
        path: PathBuf,
    },
    /// ten cannot start anything as another user.
    #[error("user = {user:?} needs root, which ten is not; remove it, or run ten as root")]
    UserNeedsRoot {
        /// What `user` says.
        user: String,
    },
    /// There is no such user.
    #[error("user = {user:?} is no user of this host; create it, or set user = \"dynamic\"")]
    UserUnknown {
        /// What `user` says.
        user: String,
    },
    /// A name of somebody whose number may be another instance's.
    #[error(
        "user = {user:?} has the uid {uid}, one of those that ten gives to instances of their own; give that user another, or set user = \"dynamic\""
    )]
    UserOfTen {
        /// What `user` says.
        user: String,
        /// Whose that is.
        uid: u32,
    },
    /// It cannot be said whether there is such a user.
    #[error("user = {user:?} cannot be looked up: {source}")]
    UserLookup {
        /// What `user` says.
        user: String,
        /// Why.
        source: std::io::Error,
    },
    /// Who is not root can make no private network.
    #[error(
        "network = \"private\" needs root, which ten is not; run ten as root, or set network = \"none\" or \"host\""
    )]
    PrivateNeedsRoot,
    /// Nobody whom the host asks for names can be reached from a private network.
    #[error(
        "network = \"private\": no name server of /etc/resolv.conf can be reached from there ({}); set nameservers = [\"ADDRESS\"], or [] to do without names",
        if unreachable.is_empty() { "it names none" } else { unreachable }
    )]
    NoNameserver {
        /// Those that are named.
        unreachable: String,
    },
    /// A name server that cannot be reached from a private network.
    #[error(
        "nameservers: {address} cannot be reached from a private network; name one outside this host"
    )]
    Nameserver {
        /// Its address.
        address: Ipv4Addr,
    },
    /// A variable that no process can be given.
    #[error("{name:?} cannot be an environment variable: {why}")]
    Variable {
        /// Its name.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
}

const MIB: u64 = 1024 * 1024;

/// Longest path of a Unix socket, in bytes (unix(7): sun_path has 108, one for the NUL).
const MAX_SOCKET_PATH: usize = 107;

/// Works out how to start one instance, and what is to be asked before it may run. `extra` is added
/// to its environment last.
pub fn plan(
    ground: &Ground,
    spec: &ServiceSpec,
    name: &InstanceName,
    port: u16,
    extra: &BTreeMap<String, String>,
) -> Result<(LaunchPlan, Preflight), PlanError> {
    let Stage { places, person, env } = Stage::set(ground, spec, name, port, extra)?;
    if !places.workdir.is_dir() && !places.owns(&places.workdir) {
        return Err(PlanError::Workdir { path: places.workdir });
    }
    let argv: Vec<String> = spec.argv.iter().map(|arg| places.expand(arg)).collect();
    let storage = storage(ground, spec, name, &places.folders);
    let search = env.get("PATH").cloned().unwrap_or_default();
    let program = find(&argv[0], &places, &search, &storage)?;
    // A command found in PATH may be a tool that needs more of its home than this folder.
    let folder = program.parent().filter(|_| argv[0].contains('/'));
    let walls = walls::raise(ground, spec, name, &places, folder)?;
    listener(spec, &places, &walls.socket)?;
    let mut created = places.folders.clone();
    created.extend(walls.folder);
    let plan = LaunchPlan {
        name: name.to_string(),
        program,
        argv,
        env: env.into_iter().collect(),
        workdir: places.workdir.clone(),
        folders: created,
        storage: Some(storage),
        scratch: walls.scratch,
        socket: Some(walls.socket),
        activation: spec.listen == Listen::Activation,
        user: person.user.clone(),
        walls: walls.walls,
        limits: limits(&spec.limits),
    };
    let (program, workdir) = (plan.program.clone(), places.workdir);
    let key = ground.key_file.clone();
    Ok((plan, Preflight { view: walls.view, person, program, workdir, search, key }))
}

/// The file that a command means. What is in an image is seen from inside alone, where execve(2) says
/// whether it is there.
fn find(
    command: &str,
    places: &places::Places,
    search: &str,
    storage: &Storage,
) -> Result<PathBuf, PlanError> {
    let error = match program::find(command, &places.workdir, search) {
        Err(error) if ten_kernel::has_image(storage) => error,
        found => return found,
    };
    let hidden = match &error {
        PlanError::ProgramUnusable { path, .. } => Some(path.clone()),
        PlanError::ProgramNotFound { path, .. } => {
            let mut folders = path.split(':').map(|folder| places.workdir.join(folder));
            folders.find(|folder| places.owns(folder)).map(|folder| folder.join(command))
        }
        _ => None,
    };
    hidden.filter(|path| places.owns(path)).ok_or(error)
}

/// The same without a look at the host.
pub fn outline(
    ground: &Ground,
    spec: &ServiceSpec,
    name: &InstanceName,
    port: u16,
) -> Result<Outline, PlanError> {
    let places = places::Places::new(ground, spec, name, port)?;
    let socket = walls::socket(ground, spec, name, &places)?.0;
    Ok(Outline { listener: listener(spec, &places, &socket)?, folders: places.folders })
}

fn listener(
    spec: &ServiceSpec,
    places: &places::Places,
    socket: &Path,
) -> Result<Listener, PlanError> {
    let uses_port = matches!(spec.listen, Listen::Auto | Listen::Port);
    let uses_socket = matches!(spec.listen, Listen::Auto | Listen::Socket | Listen::Activation);
    if uses_socket
        && spec.listen != Listen::Auto
        && places.socket.as_os_str().len() > MAX_SOCKET_PATH
    {
        return Err(PlanError::SocketTooLong { path: places.socket.clone() });
    }
    Ok(Listener {
        tcp: uses_port.then(|| SocketAddr::from(([127, 0, 0, 1], places.port()))),
        unix: uses_socket.then(|| socket.into()),
    })
}

/// Why a command cannot be executed inside an instance that runs, as far as that is seen from
/// outside: its file, its interpreters, the walls, and the instance's user. What is in a place
/// that the instance alone sees cannot be judged here, so this explains a refusal of the
/// kernel's and never takes its place.
pub fn why_not(
    ground: &Ground,
    spec: &ServiceSpec,
    name: &InstanceName,
    port: u16,
    extra: &BTreeMap<String, String>,
    command: &str,
) -> Option<PlanError> {
    let Stage { places, person, env } = Stage::set(ground, spec, name, port, extra).ok()?;
    let own = spec.argv.first().map(|arg| places.expand(arg)).filter(|own| own.contains('/'));
    let own = own.map(|own| places.workdir.join(own));
    let folder = own.as_ref().and_then(|own| own.parent());
    let view = walls::raise(ground, spec, name, &places, folder).ok()?.view;
    let storage = storage(ground, spec, name, &places.folders);
    let search = env.get("PATH").cloned().unwrap_or_default();
    let program = match find(command, &places, &search, &storage) {
        // Nothing is known of what is in there.
        Ok(program) if places.owns(&program) && ten_kernel::has_image(&storage) => return None,
        Ok(program) => program,
        Err(error) => return Some(error),
    };
    let (view, workdir) = (Some(view?), places.workdir);
    Preflight { view, person, program, workdir, search, key: None }.check().err()
}

/// What a program of an instance finds around itself, whatever its walls.
struct Stage {
    places: places::Places,
    person: person::Person,
    env: BTreeMap<String, String>,
}

impl Stage {
    fn set(
        ground: &Ground,
        spec: &ServiceSpec,
        name: &InstanceName,
        port: u16,
        extra: &BTreeMap<String, String>,
    ) -> Result<Self, PlanError> {
        let places = places::Places::new(ground, spec, name, port)?;
        let person = person::Person::of(ground, spec, places.instance_dir())?;
        let env = environment::build(ground, spec, name, &places, &person, extra)?;
        Ok(Self { places, person, env })
    }
}

/// Where the data of an instance are: its folders below the data folder, its own
/// `{instance_dir}` first, and what else may hold them.
pub fn data(
    ground: &Ground,
    spec: &ServiceSpec,
    name: &InstanceName,
) -> Result<Storage, PlanError> {
    // No folder has the port in its name.
    let folders = places::Places::new(ground, spec, name, 0)?.folders;
    Ok(storage(ground, spec, name, &folders))
}

fn storage(
    ground: &Ground,
    spec: &ServiceSpec,
    name: &InstanceName,
    folders: &[PathBuf],
) -> Storage {
    Storage {
        data_dir: ground.data_dir.clone(),
        folders: folders.to_vec(),
        home: ground.data_dir.join(IMAGES).join(name.to_string()),
        limit: spec.limits.storage_quota_mb.map(|mb| mb.saturating_mul(MIB)),
    }
}

/// The same limits in the units of the kernel.
fn limits(limits: &ResourceLimits) -> Limits {
    Limits {
        memory_max: limits.memory_limit_mb.map(|mb| mb.saturating_mul(MIB)),
        memory_swap_max: limits.memory_swap_max_mb.map(|mb| mb.saturating_mul(MIB)),
        cpu_weight: limits.cpu_shares,
        cpu_max_percent: limits.cpu_max_percent,
        pids_max: Some(limits.pids_limit),
        pids_required: limits.pids_asked,
        io_weight: limits.io_weight,
    }
}

#[cfg(test)]
mod tests;
