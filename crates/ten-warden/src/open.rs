//! Everything a warden must have before it serves: its folder for itself, its sockets, and
//! no processes of a predecessor.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, Write},
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    io::Errno,
    process::getpid,
};
use ten_kernel::{
    CgroupError, CgroupTree, DirLock, LockError, listen_tcp, listen_unix, procfs, raise_open_files,
};

use crate::{
    ahead::Ahead,
    front::FrontCommand,
    keeper::Keeping,
    leftovers::{self, LeftoverError},
    planner::Planner,
    record::{RunDir, make_private_folder},
    tree::Places,
    warden::Warden,
    way_out::{WayOut, WayOutOptions},
    wire::FDS_MAX,
};

/// Descriptors beside `Boot` that are no listeners: the admin socket, the note, the keeper.
const BOOT_FDS: usize = 3;

/// What a warden is told.
#[derive(Debug)]
pub struct Options {
    /// The folder that only one warden may serve.
    pub data_dir: PathBuf,
    /// Where records and log pipes are: a folder for this boot alone, named by the first eight
    /// digits of the boot id. Folders so named beside it are removed.
    pub run_dir: PathBuf,
    /// The name of the folder for the trees' cgroups.
    pub cgroup_name: String,
    /// The way out of private networks.
    pub way_out: WayOutOptions,
    /// Where requests arrive. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Where operators connect.
    pub admin_socket: PathBuf,
    /// How to start the front.
    pub front: FrontCommand,
    /// The group of the front, where it is not the warden's own: trees' sockets are given to it.
    pub front_group: Option<u32>,
    /// What its keeper does.
    pub keeping: Keeping,
    /// What every front is told at birth; the warden does not look inside.
    pub note: Vec<u8>,
    /// Files that a front may read, which it cannot open. At most as many as one message carries.
    pub shown: Vec<PathBuf>,
    /// What the front's orders mean.
    pub planner: Arc<dyn Planner>,
}

/// Why there is no warden.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder is missing and cannot be made.
    #[error("cannot use the folder {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another one serves this folder.
    #[error(
        "another ten (pid {}) serves {path}",
        pid.map_or("unknown".into(), |pid| pid.to_string())
    )]
    Served {
        /// The data folder.
        path: PathBuf,
        /// The pid that the other one wrote down.
        pid: Option<u32>,
    },
    /// The lock cannot be used.
    #[error(transparent)]
    Lock(LockError),
    /// What an earlier run left cannot be cleared.
    #[error("cannot clear what an earlier run left")]
    Leftover(#[from] LeftoverError),
    /// The cgroups cannot be used.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// A TCP socket cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More addresses than can be passed on.
    #[error("{count} addresses to listen on, and at most {} are possible", FDS_MAX - BOOT_FDS)]
    TooManyListeners {
        /// How many were asked for.
        count: usize,
    },
    /// The admin socket cannot be bound.
    #[error("cannot listen on {path}")]
    Admin {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused something that it never should.
    #[error("cannot {doing}")]
    Kernel {
        /// What.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "create it for this user, or name another one as data_dir",
            Self::Served { .. } => "stop it first, or name another data_dir",
            Self::Lock(_) => "run ten as the user that owns data_dir, or name another one",
            Self::Leftover(_) => {
                "end by hand what it names, or remove the record it names if nothing of it runs"
            }
            Self::Cgroup(_) => "give ten a cgroup that it may write to (systemd: Delegate=yes)",
            Self::Listen { .. } => "stop what listens there, or choose another port or address",
            Self::TooManyListeners { .. } => "listen on fewer addresses",
            Self::Admin { .. } => "choose a shorter data_dir, on a file system that has sockets",
            Self::Kernel { .. } => "this kernel is too old or too closed for ten: it needs 5.14",
        }
    }
}

impl Warden {
    /// Takes the data folder, clears what a killed predecessor left, and binds every socket.
    /// Nothing is started yet.
    ///
    /// The calling process must have one thread, and keep it so.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let lock = take(&options.data_dir)?;
        let folders = RunDir::open(&options.run_dir).map_err(folder(&options.run_dir))?;
        let boot_id = procfs::boot_id().map_err(kernel("read the boot id"))?;
        leftovers::clear(&options.run_dir, &folders, &boot_id)?;
        let cgroups = CgroupTree::open(&options.cgroup_name)?;
        if let Some((tree, shared)) = cgroups.as_ref().and_then(|t| Some((t, t.shared()?))) {
            tracing::info!(
                path = %tree.path().display(),
                shared = %shared.display(),
                "instances get their cgroups at the top: others are in the server's own"
            );
        }
        for lack in cgroups.iter().flat_map(CgroupTree::lacks) {
            tracing::debug!(%lack, "some limits cannot be applied");
        }
        let (addresses, boot) = boot_fds(&options)?;
        rustix::process::set_child_subreaper(Some(getpid()))
            .map_err(errno("become the reaper of orphans"))?;
        raise_open_files().map_err(errno("raise the limit of open files"))?;
        let way_out = WayOut::prepare(options.way_out.clone());
        let (blanks, recipe) = (Ahead::none(), RefCell::default());
        let places = Places { folders, cgroups, way_out, blanks, recipe, boot_id };
        Self::new(options, lock, places, addresses, boot).map_err(errno("set up the event loop"))
    }
}

fn take(data_dir: &Path) -> Result<DirLock, OpenError> {
    make_private_folder(data_dir).map_err(folder(data_dir))?;
    DirLock::take(&data_dir.join("ten.lock")).map_err(|error| match error {
        LockError::Held { pid, .. } => OpenError::Served { path: data_dir.into(), pid },
        other => OpenError::Lock(other),
    })
}

/// The addresses that were bound, and what goes beside `Boot`: the listeners, the admin
/// socket, the note.
fn boot_fds(options: &Options) -> Result<(Vec<SocketAddr>, Vec<OwnedFd>), OpenError> {
    if options.listen.len() > FDS_MAX - BOOT_FDS {
        return Err(OpenError::TooManyListeners { count: options.listen.len() });
    }
    let mut addresses = Vec::new();
    let mut fds = Vec::new();
    for address in &options.listen {
        let failed = |source| OpenError::Listen { address: *address, source };
        let listener = listen_tcp(*address).map_err(failed)?;
        addresses.push(listener.local_addr().map_err(failed)?);
        fds.push(listener.into());
    }
    let failed = |source| OpenError::Admin { path: options.admin_socket.clone(), source };
    let admin = listen_unix(&options.admin_socket).map_err(failed)?;
    rustix::io::ioctl_fionbio(&admin, true).map_err(|errno| failed(errno.into()))?;
    fds.push(admin);
    fds.push(sealed(&options.note).map_err(kernel("keep the note in memory"))?);
    Ok((addresses, fds))
}

/// Memory that no front can change for the next one (memfd_create(2)).
fn sealed(note: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create("ten-note", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(note)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

fn folder(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Folder { path, source }
}

fn kernel(doing: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Kernel { doing, source }
}

fn errno(doing: &'static str) -> impl FnOnce(Errno) -> OpenError {
    move |errno| OpenError::Kernel { doing, source: errno.into() }
}
