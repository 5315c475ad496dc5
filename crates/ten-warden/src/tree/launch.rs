//! From a plan to a tree: what it names is prepared, its init is started, and it is put on
//! record before it may run.

use std::{
    cell::OnceCell,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::io::Errno;
use ten_kernel::{
    CgroupError, Failure, Given, Launch, LaunchPlan, Leaf, LimitError, Network, Walls, has_image,
    launch, limit, listen_unix, remove_socket,
};

use super::{Ends, Places, Tree};
use crate::{
    planner::Planned,
    protocol::{Cgroup, LaunchId},
    record::{Named, Record, RunDir, Unnamed, make_private_folder},
    spare::is_full,
};

/// A tree's name is part of file names, which end at 255 bytes (NAME_MAX).
const NAME_MAX: usize = 200;

/// Why a tree cannot be launched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error(
        "{name:?} cannot name a tree: it must be one path component of at most {NAME_MAX} bytes"
    )]
    Name { name: String },
    #[error("a tree named {name} is still there")]
    Taken { name: String },
    #[error("{0}")]
    Plan(String),
    #[error("ten is stopping")]
    Stopping,
    #[error("cannot prepare {path}")]
    Path { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Limit(#[from] LimitError),
    #[error(transparent)]
    Kernel(#[from] Failure),
    #[error("its init ended before it could be recorded")]
    InitEnded,
    #[error("its init did not hear that it may start")]
    Go(#[source] Errno),
}

impl LaunchError {
    /// Whether the disk that has records, pipes and folders is full, or a quota of it.
    pub(crate) fn is_for_want_of_room(&self) -> bool {
        matches!(self, Self::Path { source, .. } if is_full(source))
    }
}

impl Tree {
    /// Prepares everything that the plan names, starts the tree and puts it on record. What
    /// was prepared for one that cannot start is removed again.
    pub(crate) fn launch(
        launch: LaunchId,
        planned: Planned,
        note: Vec<u8>,
        places: &Places,
    ) -> Result<Self, LaunchError> {
        let Planned { plan, preflight } = planned;
        let path = Path::new(&plan.name);
        let is_component =
            path.components().count() == 1 && path.file_name() == Some(path.as_os_str());
        if !is_component || plan.name.len() > NAME_MAX || plan.name.contains('\0') {
            return Err(LaunchError::Name { name: plan.name.clone() });
        }
        let launched = Self::start(launch, &plan, preflight, note, places);
        if launched.is_err() {
            let scratch = plan.scratch.as_deref();
            if let Err(error) = places.folders.remove(&plan.name, scratch, plan.socket.as_deref()) {
                tracing::warn!(tree = plan.name, %error, "cannot remove what was prepared");
            }
        }
        launched
    }

    fn start(
        launch: LaunchId,
        plan: &LaunchPlan,
        preflight: impl Fn() -> Result<(), String>,
        note: Vec<u8>,
        places: &Places,
    ) -> Result<Self, LaunchError> {
        prepare_folders(plan, &places.folders)?;
        let [stdout, stderr] = places.folders.pipes(&plan.name);
        let pipe = |path: &Path| places.folders.make_pipe(path).map_err(on(path));
        let ((stdout, out), (stderr, err)) = (pipe(&stdout)?, pipe(&stderr)?);
        let activation = activation(plan)?;
        let link = wants_out(plan).then(|| places.way_out.link()).transpose()?;
        let blanks = places.blanks(plan);
        let cgroup = places.cgroups.as_ref().map(|tree| tree.leaf(&plan.name)).transpose()?;
        let cgroup_name = cgroup.as_ref().map(name_of).transpose()?;
        let begun = limit(&plan.limits, places.cgroups.as_ref().zip(cgroup.as_ref()))
            .map_err(LaunchError::from)
            .and_then(|()| {
                let given = Given {
                    cgroup: cgroup.as_ref(),
                    stdout: &stdout.writer,
                    stderr: &stderr.writer,
                    activation: activation.as_ref(),
                    link: link.as_ref(),
                    blanks: &blanks,
                };
                begin(plan, preflight, [out, err], places, &given)
            });
        if begun.is_err()
            && let Some(Err(error)) = cgroup.as_ref().map(Leaf::remove)
        {
            tracing::warn!(tree = plan.name, %error, "cannot remove an unused cgroup");
        }
        let Launch { init, report, door } = begun?;
        Ok(Self {
            launch,
            note,
            ends: Rc::new(Ends {
                stdout: stdout.reader,
                stderr: stderr.reader,
                door,
                meter: OnceCell::new(),
            }),
            name: plan.name.clone(),
            bare: plan.walls == Walls::Bare,
            scratch: plan.scratch.clone(),
            socket: plan.socket.clone(),
            storage: plan.storage.clone(),
            init,
            report,
            cgroup,
            cgroup_name,
            _link: link,
            watch: None,
            main: None,
            prepares: false,
            started: false,
            failure: None,
            status: None,
            killed: false,
            init_gone: false,
            cleared: false,
            end: None,
        })
    }
}

/// Starts init, and while that builds the walls, asks whether the program may run behind them, names
/// its pipes and writes the record. Only then it lets the tree run.
fn begin(
    plan: &LaunchPlan,
    preflight: impl Fn() -> Result<(), String>,
    pipes: [Option<Unnamed>; 2],
    places: &Places,
    given: &Given<'_>,
) -> Result<Launch, LaunchError> {
    // Init moves data into an image and makes filesystems: not for one that may not run.
    let asks_first = plan.storage.as_ref().is_some_and(|it| it.limit.is_some() || has_image(it));
    if asks_first {
        preflight().map_err(LaunchError::Plan)?;
    }
    let begun = launch(plan, given)?;
    let let_go = || {
        if !asks_first {
            preflight().map_err(LaunchError::Plan)?;
        }
        let mut pipes = pipes.into_iter().flatten();
        pipes.try_for_each(Unnamed::name).map_err(on(plan.name.as_ref()))?;
        places
            .folders
            .write(&Record {
                name: plan.name.clone(),
                init: Named::of(&begun.init, &places.boot_id).ok_or(LaunchError::InitEnded)?,
                bare: plan.walls == Walls::Bare,
                cgroup: given.cgroup.map(|leaf| leaf.path().into()),
                scratch: plan.scratch.clone(),
                socket: plan.socket.clone(),
            })
            .map_err(on(plan.name.as_ref()))?;
        // An init that failed already has said why; its report is not lost.
        begun.report.go().or_else(|errno| match errno {
            Errno::PIPE | Errno::CONNRESET => Ok(()),
            errno => Err(LaunchError::Go(errno)),
        })
    };
    if let Err(error) = let_go() {
        // It runs nothing yet, so there is only init to end, and it ends at once.
        let _ = begun.init.kill();
        let _ = begun.init.wait();
        return Err(error);
    }
    Ok(begun)
}

fn wants_out(plan: &LaunchPlan) -> bool {
    matches!(plan.walls, Walls::Namespaces { network: Network::Uplink, .. })
}

fn name_of(leaf: &Leaf) -> Result<Cgroup, CgroupError> {
    Ok(Cgroup { id: leaf.id()?, path: leaf.path().into() })
}

fn prepare_folders(plan: &LaunchPlan, folders: &RunDir) -> Result<(), LaunchError> {
    for folder in &plan.folders {
        make_private_folder(folder).map_err(on(folder))?;
    }
    if let Some(scratch) = &plan.scratch {
        folders.make_scratch(scratch).map_err(on(scratch))?;
    }
    plan.socket.as_deref().map_or(Ok(()), |socket| remove_socket(socket).map_err(on(socket)))
}

fn activation(plan: &LaunchPlan) -> Result<Option<OwnedFd>, LaunchError> {
    let Some(socket) = plan.socket.as_deref().filter(|_| plan.activation) else { return Ok(None) };
    listen_unix(socket).map(Some).map_err(on(socket))
}

fn on(path: &Path) -> impl FnOnce(io::Error) -> LaunchError {
    let path = path.to_path_buf();
    move |source| LaunchError::Path { path, source }
}
