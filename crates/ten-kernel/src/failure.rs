//! What can go wrong between a launch plan and a running program, small enough to travel
//! from a process that has lost everything but one descriptor.

use std::{fmt, io, path::Path};

use rustix::io::Errno;

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One step of a launch. What each does is its text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the text beside each variant is its documentation")]
        pub enum Step { $($(#[$doc])* $name,)* }

        impl Step {
            const ALL: &[Self] = &[$(Self::$name,)*];

            /// What was being done, to be read after "cannot".
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

steps! {
    SingleThread = "fork from a process that has more than one thread",
    Report = "open the report socket",
    Clone = "create the process with its namespaces and cgroup",
    Descriptors = "arrange the file descriptors",
    Session = "start a session",
    Subreaper = "become the reaper of orphans",
    Storage = "apply storage_quota_mb",
    StorageWalls = "mount the image that holds its data: that needs isolation = \"namespace\"",
    StorageSocket = "reach a socket in its own folder, which is in an image: set `socket` to another place, or leave it out",
    StorageTwice = "tell which data are right: its folder and its image both have some; move one of them away",
    StorageImage = "make the image that holds its data",
    StorageLoop = "make a loop device of the image that holds its data",
    StorageMount = "mount the image that holds its data",
    StorageLimit = "limit the image that holds its data",
    StorageProject = "limit its folders by a project quota",
    Owner = "give folders and pipes to the user of the instance (user = \"inherit\" does without)",
    OwnerOther = "take over a folder that has files of another instance in it (move them away, or chown them to root where they are meant for this one)",
    User = "become the user of the instance (only root can; user = \"inherit\" does without)",
    UserMap = "map the user and group id",
    CgroupNamespace = "create the cgroup namespace",
    Hostname = "set the host name",
    Loopback = "bring up its own loopback device",
    Link = "connect it to the network that leads out",
    Forwarding = "pass packets on for private networks",
    UplinkRules = "filter what leaves private networks",
    Uplink = "make the network through which private ones reach out",
    PrivateMounts = "detach the mounts from the host's",
    OpenBind = "open what is to be shown",
    ReadOnlyTree = "make the file tree read-only",
    MountPoint = "make a place to mount on",
    MountProc = "mount /proc",
    MountSys = "mount over /sys",
    MountDevices = "mount /dev",
    MountPrivate = "mount a private folder",
    MountText = "show a file that was made for it",
    MountBind = "show a folder or file",
    Capabilities = "drop the capabilities",
    NoNewPrivileges = "give up gaining privileges",
    Landlock = "confine it to its own places",
    Syscalls = "refuse system calls",
    Undumpable = "close init to debuggers",
    Signals = "take over the signals",
    Fork = "fork",
    Limits = "set the resource limits",
    Workdir = "enter the working folder",
    Execute = "execute",
    FrontTree = "build a file tree of the front's own",
    FrontUser = "become the user of the front",
    Terminal = "make a terminal",
    Pipes = "make the pipes of a command",
    Asked = "understand what is to be run",
}

impl Step {
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which step.
    pub step: Step,
    /// The error number of the system call (errno(3)).
    pub errno: i32,
    /// On what, such as a path; empty where the step says it all.
    pub detail: String,
}

impl Failure {
    /// For `map_err`: this step failed, and there is nothing more to say.
    pub(crate) fn of(step: Step) -> impl FnOnce(Errno) -> Self {
        move |errno| Self { step, errno: errno.raw_os_error(), detail: String::new() }
    }

    /// For `map_err`: this step failed on this path.
    pub(crate) fn on(step: Step, path: &Path) -> impl FnOnce(Errno) -> Self {
        move |errno| Self { step, errno: errno.raw_os_error(), detail: path.display().to_string() }
    }
}

impl Failure {
    /// What could not be done, and why; without what to do about it.
    pub fn reason(&self) -> String {
        let why = io::Error::from_raw_os_error(self.errno);
        match self.detail.as_str() {
            "" => format!("cannot {}: {why}", self.step.text()),
            detail => format!("cannot {}: {detail}: {why}", self.step.text()),
        }
    }
}

impl Failure {
    /// Whether what was to be executed is not there, or its interpreter is not (execve(2)).
    pub fn is_missing_file(&self) -> bool {
        self.step == Step::Execute && self.errno == Errno::NOENT.raw_os_error()
    }

    /// Whether there may be no more processes (fork(2)).
    pub fn is_for_want_of_processes(&self) -> bool {
        self.step == Step::Fork && self.errno == Errno::AGAIN.raw_os_error()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason())?;
        self.remedy().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl std::error::Error for Failure {}

/// An error and what caused it, on one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
