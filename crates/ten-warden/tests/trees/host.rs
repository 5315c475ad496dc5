//! A warden for one case, and the eyes of the test.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use ten_kernel::{LaunchPlan, Limits, Mount, Network, Walls};
use ten_warden::{FrontCommand, Keeping, Options, Warden, WayOutOptions};

use crate::{
    front::{Line, Order},
    obedient::Obedient,
};

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The uid of the case without privileges.
const NOBODY: u32 = 65534;
/// In the environment of everything a case starts.
const TAG: &str = "TEN_TEST_TAG";

/// Whom the warden runs as, and whether it has cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    RootWithCgroups,
    RootWithoutCgroups,
    Nobody,
}

impl Setting {
    pub(crate) const ALL: [Self; 3] =
        [Self::RootWithCgroups, Self::RootWithoutCgroups, Self::Nobody];

    /// What this host lacks for it.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let root = rustix::process::geteuid().is_root();
        match self {
            _ if !root => Some("the tests of trees run as root, and become nobody by themselves"),
            Self::RootWithCgroups => {
                let name = format!("tenement-test-probe-{}", std::process::id());
                let tree = ten_kernel::CgroupTree::open(&name);
                let missing = !matches!(&tree, Ok(Some(_)));
                if let Ok(Some(tree)) = tree {
                    tree.remove();
                }
                missing.then_some("this host has no cgroup v2 that can be written to")
            }
            Self::RootWithoutCgroups | Self::Nobody => None,
        }
    }
}

/// What surrounds the tree of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Bare,
    Namespaces,
}

impl Level {
    pub(crate) const ALL: [Self; 2] = [Self::Bare, Self::Namespaces];
}

pub(crate) struct Host {
    folder: tempfile::TempDir,
    setting: Setting,
    tag: String,
    warden: Child,
    stream: BufReader<UnixStream>,
    lines: Vec<Line>,
    launches: u64,
}

/// The role of the warden: `warden FOLDER CGROUP_NAME ADDRESS`.
pub(crate) fn warden(args: Vec<String>) -> ExitCode {
    let [folder, cgroup_name, address] = args.try_into().expect("three arguments");
    let folder = PathBuf::from(folder);
    let program = PathBuf::from("/proc/self/exe");
    let keeping = Keeping {
        planner: Arc::new(Obedient),
        data_dir: folder.join("data"),
        scratch: folder.join("run/archives"),
        archiver: FrontCommand { program: program.clone(), argv: vec!["none".into()] },
    };
    let opened = Warden::open(Options {
        data_dir: folder.join("data"),
        run_dir: folder.join("run"),
        cgroup_name,
        way_out: WayOutOptions { device: "ten-unused".into(), expected: false },
        listen: vec![address.parse().unwrap()],
        admin_socket: folder.join("data/ten.sock"),
        front: FrontCommand { program, argv: vec!["test-front".into(), "front".into()] },
        note: b"a note".to_vec(),
        shown: vec![folder.join("shown")],
        planner: Arc::new(Obedient),
        keeping,
        front_group: None,
    });
    match opened {
        Ok(warden) => warden.run(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl Host {
    pub(crate) fn start(setting: Setting) -> Self {
        let folder = tempfile::Builder::new().prefix("ten-trees-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let tag = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        let warden = command(folder.path(), setting, &tag, "127.0.0.1:0").spawn().unwrap();
        let stream = connect(folder.path());
        Self { folder, setting, tag, warden, stream, lines: Vec::new(), launches: 0 }
    }

    pub(crate) fn setting(&self) -> Setting {
        self.setting
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn warden_pid(&self) -> u32 {
        self.warden.id()
    }

    /// A plan for a shell script.
    pub(crate) fn plan(&mut self, level: Level, script: &str) -> (u64, LaunchPlan) {
        self.launches += 1;
        let launch = self.launches;
        let walls = match level {
            Level::Bare => Walls::Bare,
            Level::Namespaces => Walls::Namespaces {
                hostname: "inside".into(),
                network: Network::Host,
                mounts: vec![
                    Mount::Proc,
                    Mount::Private { at: "/tmp".into(), mode: 0o1777 },
                    Mount::Private { at: "/dev".into(), mode: 0o755 },
                    Mount::Bind {
                        from: "/dev/null".into(),
                        at: "/dev/null".into(),
                        writable: true,
                    },
                ],
            },
        };
        let plan = LaunchPlan {
            name: format!("tree-{launch}"),
            program: "/bin/sh".into(),
            argv: ["sh", "-c", script].map(String::from).to_vec(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into()), (TAG.into(), self.tag.clone())],
            workdir: "/".into(),
            folders: Vec::new(),
            storage: None,
            scratch: None,
            socket: None,
            activation: false,
            user: ten_kernel::User::Inherit,
            walls,
            limits: Limits::default(),
        };
        (launch, plan)
    }

    pub(crate) fn launch(&mut self, launch: u64, plan: LaunchPlan) {
        self.order(&Order::Launch { launch, plan: Box::new(plan) });
    }

    /// Launches a script, waits for its end, and gives its whole output.
    pub(crate) fn output_of(&mut self, level: Level, script: &str) -> String {
        // The last word shows that all before it was read.
        let (launch, plan) = self.plan(level, &format!("({script}) 2>&1; echo the-end"));
        self.finish(launch, plan)
    }

    pub(crate) fn finish(&mut self, launch: u64, plan: LaunchPlan) -> String {
        self.launch(launch, plan);
        let text = self.wait_for_text(launch, "the-end");
        self.exit_of(launch);
        text.replace("the-end\n", "")
    }

    /// Starts a script and waits until it says "ready". The pid of its main process.
    pub(crate) fn start_script(&mut self, level: Level, script: &str) -> (u64, u32) {
        let (launch, plan) = self.plan(level, script);
        self.launch(launch, plan);
        let pid = self.wait_for(|line| match line {
            Line::Launched { launch: l, pid } if *l == launch => Some(*pid),
            Line::Failed { launch: l, reason } if *l == launch => panic!("{reason}"),
            _ => None,
        });
        self.wait_for_text(launch, "ready");
        (launch, pid)
    }

    pub(crate) fn order(&mut self, order: &Order) {
        let text = serde_json::to_string(order).unwrap();
        writeln!(self.stream.get_mut(), "{text}").unwrap();
    }

    pub(crate) fn exit_of(&mut self, launch: u64) -> ten_warden::Exit {
        self.wait_for(|line| match line {
            Line::Exited { launch: l, exit } if *l == launch => Some(*exit),
            Line::Failed { launch: l, reason } if *l == launch => panic!("{reason}"),
            _ => None,
        })
    }

    pub(crate) fn failure_of(&mut self, launch: u64) -> String {
        self.wait_for(|line| match line {
            Line::Failed { launch: l, reason } if *l == launch => Some(reason.clone()),
            Line::Launched { launch: l, .. } if *l == launch => panic!("it was launched"),
            _ => None,
        })
    }

    pub(crate) fn wait_for_text(&mut self, launch: u64, text: &str) -> String {
        let mut all = String::new();
        let mut seen = 0;
        let deadline = Instant::now() + PATIENCE;
        loop {
            for line in &self.lines[seen..] {
                if let Line::Output { launch: l, text } = line
                    && *l == launch
                {
                    all.push_str(text);
                }
            }
            seen = self.lines.len();
            if all.contains(text) {
                return all;
            }
            assert!(Instant::now() < deadline, "no {text:?} in {all:?}: {:?}", self.lines);
            self.read_line();
        }
    }

    /// Reads until a line is what is looked for; lines of the past count too.
    pub(crate) fn wait_for<T>(&mut self, look: impl Fn(&Line) -> Option<T>) -> T {
        let mut seen = 0;
        loop {
            if let Some(found) = self.lines[seen..].iter().find_map(&look) {
                return found;
            }
            seen = self.lines.len();
            self.read_line();
        }
    }

    /// The same, and forgets what was said until then.
    pub(crate) fn take<T>(&mut self, look: impl Fn(&Line) -> Option<T>) -> T {
        let found = self.wait_for(look);
        self.lines.clear();
        found
    }

    fn read_line(&mut self) {
        if let Err(error) = self.try_read_line() {
            panic!("nothing more ({error}) after {:?}", self.lines);
        }
    }

    fn try_read_line(&mut self) -> io::Result<()> {
        let mut text = String::new();
        if self.stream.read_line(&mut text)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.lines.push(serde_json::from_str(&text)?);
        Ok(())
    }

    /// Connects to the front that comes now, forgetting what the last one said, which may
    /// still have accepted a connection while it died.
    pub(crate) fn reconnect(&mut self) {
        self.lines.clear();
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.stream = connect(self.folder.path());
            match self.try_read_line() {
                Ok(()) => return,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        }
    }

    pub(crate) fn boot(&mut self) -> Line {
        self.wait_for(|line| matches!(line, Line::Boot { .. }).then(|| line.clone()))
    }

    pub(crate) fn kill_warden(&mut self) {
        self.warden.kill().unwrap();
        self.warden.wait().unwrap();
    }

    /// Starts another one after it, which listens where the first did.
    pub(crate) fn restart_warden(&mut self) {
        let Line::Boot { listeners, .. } = self.boot() else { unreachable!() };
        let mut command = command(self.folder.path(), self.setting, &self.tag, &listeners[0]);
        self.warden = command.spawn().unwrap();
        self.reconnect();
    }

    /// A warden on the same folder, to its end.
    pub(crate) fn second_warden(&self) -> std::process::Output {
        command(self.folder.path(), self.setting, &self.tag, "127.0.0.1:0")
            .stderr(Stdio::piped())
            .output()
            .unwrap()
    }

    pub(crate) fn signal_warden(&self, signal: i32) {
        signal_pid(self.warden.id(), signal);
    }

    pub(crate) fn wait_warden(&mut self) -> std::process::ExitStatus {
        self.warden.wait().unwrap()
    }

    /// Processes of this case other than the warden's own.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let tag = format!("{TAG}={}", self.tag);
        all_pids()
            .filter(|pid| *pid != self.warden.id())
            // Before its environment is looked at: one that ends meanwhile has none then.
            .filter(|pid| !self.is_servant(*pid))
            .filter(|pid| {
                fs::read(format!("/proc/{pid}/environ"))
                    .is_ok_and(|env| env.split(|b| *b == 0).any(|v| v == tag.as_bytes()))
            })
            .collect()
    }

    /// Whether it is the front or its keeper, which until they have a name of their own have that of
    /// the warden whose fork they are.
    fn is_servant(&self, pid: u32) -> bool {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let named = ["test-front", "ten-keeper"].iter().any(|name| line.starts_with(name));
        let unnamed = line.contains("\0warden\0");
        named || unnamed && ten_kernel::procfs::parent(pid) == Some(self.warden.id())
    }

    /// Waits until `is` holds; `story` is told where it never does.
    pub(crate) fn wait_until(&self, is: impl Fn() -> bool, story: impl Fn() -> String) {
        let deadline = Instant::now() + PATIENCE;
        while !is() {
            assert!(Instant::now() < deadline, "{}", story());
            std::thread::yield_now();
        }
    }

    /// Waits until the case has this many processes: a shell says "ready" before those that
    /// it put into the background have begun.
    pub(crate) fn wait_for_processes(&self, count: usize) {
        self.wait_until(|| self.processes().len() >= count, || format!("{:?}", self.describe()));
    }

    /// Waits until the case has no more processes than this.
    pub(crate) fn wait_for_at_most(&self, count: usize) {
        self.wait_until(|| self.processes().len() <= count, || format!("{:?}", self.describe()));
    }

    /// Checks that the case left nothing, first with the warden there, then without.
    pub(crate) fn nothing_is_left(mut self) {
        // Inits show the warden's environment as it was when it began, so they count too. Who
        // empties a scratch folder that was put aside ends by itself.
        let deadline = Instant::now() + PATIENCE;
        while self.describe().iter().any(|process| process.contains("ten-trash")) {
            assert!(Instant::now() < deadline, "{:?}", self.describe());
            std::thread::yield_now();
        }
        assert_eq!(self.describe(), [""; 0]);
        for folder in ["run/launches", "run/output"] {
            let left: Vec<_> = fs::read_dir(self.folder().join(folder))
                .unwrap()
                .map(|e| e.unwrap().path())
                .collect();
            assert!(left.is_empty(), "{left:?}");
        }
        if self.warden.try_wait().unwrap().is_none() {
            self.signal_warden(15);
            self.wait_for(|line| (*line == Line::Terminate).then_some(()));
            self.order(&Order::Farewell);
            assert!(self.wait_warden().success());
        }
        assert!(!self.folder().join("data/ten.sock").exists());
        if self.setting == Setting::RootWithCgroups {
            let left = folders_named(&self.tag, Path::new("/sys/fs/cgroup"));
            assert!(left.is_empty(), "{left:?}");
        }
    }

    fn describe(&self) -> Vec<String> {
        let line = |pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        self.processes().into_iter().map(|pid| format!("{pid} {}", line(pid))).collect()
    }
}

impl Drop for Host {
    /// A case that failed must not leave what it started.
    fn drop(&mut self) {
        if matches!(self.warden.try_wait(), Ok(None)) {
            let _ = self.warden.kill();
            let _ = self.warden.wait();
        }
        for pid in self.processes() {
            signal_pid(pid, 9);
        }
        for tree in folders_named(&self.tag, Path::new("/sys/fs/cgroup")) {
            let leaves = fs::read_dir(&tree).into_iter().flatten().flatten();
            leaves.for_each(|leaf| drop(fs::remove_dir(leaf.path())));
            let _ = fs::remove_dir(tree);
        }
    }
}

fn folders_named(name: &str, below: &Path) -> Vec<PathBuf> {
    // Other tests remove theirs while this looks.
    let entries = fs::read_dir(below).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .flat_map(|folder| match folder.file_name() == name {
            true => vec![folder.path()],
            false => folders_named(name, &folder.path()),
        })
        .collect()
}

pub(crate) fn signal_pid(pid: u32, signal: i32) {
    let status = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
    assert!(status.is_ok());
}

fn all_pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
}

fn command(folder: &Path, setting: Setting, tag: &str, address: &str) -> Command {
    let mut program = std::env::current_exe().unwrap();
    if setting == Setting::Nobody {
        // Where nobody can reach it.
        let copy = folder.join("trees");
        if !copy.exists() {
            fs::hard_link(&program, &copy)
                .or_else(|_| fs::copy(&program, &copy).map(drop))
                .unwrap();
        }
        program = copy;
    }
    let mut command = Command::new(program);
    if setting == Setting::Nobody {
        command.uid(NOBODY).gid(NOBODY);
    }
    // A folder in a folder that does not exist cannot be made, and so there is no cgroup.
    let cgroup = match setting {
        Setting::RootWithoutCgroups => format!("missing/{tag}"),
        _ => tag.to_owned(),
    };
    command.arg("warden").arg(folder).arg(cgroup).arg(address).env(TAG, tag);
    command
}

/// Connects as soon as the socket is there.
fn connect(folder: &Path) -> BufReader<UnixStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(folder.join("data/ten.sock")) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                return BufReader::new(stream);
            }
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::yield_now();
    }
}
