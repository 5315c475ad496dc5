//! Servers in cgroups that others have made: below whom instances get theirs, and that nobody
//! else's is touched.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use rustix::{
    mount::{MountFlags, UnmountFlags, mount, unmount},
    process::Signal,
};
use ten_testkit::{
    Ten,
    process::{self, Process},
    ten_binary, tenant_binary, wait_until,
};

use super::cgroups::{ROOT, leaf_below, read};

const PATIENCE: Duration = Duration::from_secs(15);

pub(super) const CONFIG: &str = "[service.job]\ncommand = \"@tenant --listen none\"\nlisten = \"none\"\n\
     memory_limit_mb = 64\nstop_timeout = 0.2\n";

/// A cgroup that has every controller, and so have those below it down to the last.
pub(super) fn given(path: &str) -> PathBuf {
    let mut cgroup = PathBuf::from(ROOT);
    for name in path.split('/') {
        let given_on = cgroup.join("cgroup.subtree_control");
        fs::write(given_on, "+cpu +io +memory +pids").expect("it has controllers");
        cgroup.push(name);
        fs::create_dir(&cgroup).expect("a new cgroup");
    }
    cgroup
}

/// Whoever else is in a cgroup.
struct Other(Child);

impl Other {
    fn within(cgroup: &Path) -> Self {
        let mut command = Command::new("/bin/machine");
        command.arg("enter").arg(cgroup).arg(tenant_binary()).args(["--listen", "none"]);
        let child = command.spawn().expect("it starts");
        let pid = child.id().to_string();
        let is_in = || read(cgroup, "cgroup.procs").lines().any(|line| line == pid);
        assert!(wait_until(PATIENCE, is_in), "nobody came");
        Self(child)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.0.kill().expect("our child");
        self.0.wait().expect("our child");
    }
}

/// `ten serve` somewhere. The testkit only prepares its folder.
struct Server(Child);

impl Server {
    fn enter(ten: &Ten, cgroup: &Path) -> Self {
        let mut command = Command::new("/bin/machine");
        command.arg("enter").arg(cgroup);
        Self::start(ten, command)
    }

    fn contained(ten: &Ten, cgroup: &Path) -> Self {
        let mut command = Command::new(UNSHARE[0]);
        command.args(&UNSHARE[1..]).args(container(cgroup));
        Self::start(ten, command)
    }

    fn start(ten: &Ten, mut command: Command) -> Self {
        command.arg(ten_binary()).args(arguments(ten));
        let server = Self(command.spawn().expect("it starts"));
        answers(ten);
        server
    }

    fn stop(mut self, ten: &Ten) -> ExitStatus {
        process::signal(warden(ten).expect("it runs").pid, Signal::TERM).expect("it runs");
        self.0.wait().expect("our child")
    }
}

/// What `ten serve` is told.
pub(super) fn arguments(ten: &Ten) -> Vec<String> {
    let path = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
    let words = ["serve", "--port", "0", "--bind", "127.0.0.1", "--data-dir"].map(str::to_owned);
    let places = [path(ten.data_dir()), "--config".to_owned(), path(ten.config_path())];
    words.into_iter().chain(places).collect()
}

pub(super) fn answers(ten: &Ten) {
    let answers = || ten.data_dir().join("ten.sock").exists() && ten.cli(&["ps"]).code == Some(0);
    assert!(wait_until(PATIENCE, answers), "it does not answer");
}

/// The process itself, whatever has started it.
pub(super) fn warden(ten: &Ten) -> Option<Process> {
    let data_dir = ten.data_dir().display().to_string();
    let is_it = |process: &Process| {
        let starts = |word: &str, at: usize| process.argv.get(at).is_some_and(|arg| arg == word);
        let own = process.argv.contains(&data_dir);
        own && starts("serve", 1) && starts(ten_binary().to_str().expect("UTF-8"), 0)
    };
    process::all().into_iter().find(is_it)
}

pub(super) fn front(ten: &Ten) -> Process {
    let parent = warden(ten).expect("it runs").pid;
    let is_it = |p: &Process| p.parent == parent && p.argv.iter().any(|arg| arg == "front");
    process::all().into_iter().find(is_it).expect("a front")
}

/// An instance starts below this cgroup, and with its limit.
pub(super) fn limits_below(ten: &Ten, base: &Path, id: &str) -> PathBuf {
    let output = ten.cli(&["spawn", &format!("job:{id}")]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let leaf = leaf_below(base, &format!("job:{id}")).expect("a leaf");
    assert_eq!(read(&leaf, "memory.max"), "67108864");
    assert!(!read(&leaf, "cgroup.procs").is_empty());
    leaf
}

fn says(ten: &Ten, text: &str) {
    let foreseen = ten.cli(&["doctor"]);
    assert_eq!(foreseen.code, Some(0), "{foreseen:?}");
    for line in [text, "ok       cgroup memory"] {
        assert!(foreseen.stdout.contains(line), "{line}: {}", foreseen.stdout);
    }
}

/// Started as root from a shell that somebody has logged in to.
pub(super) fn others_in_a_session_are_left_alone() {
    let user = given("user");
    let session = given_below(&user, "session");
    let other = Other::within(&session);
    let ten = Ten::with_config(CONFIG).prepare();
    let folders = |cgroup: &Path| {
        let entries = fs::read_dir(cgroup).expect("a cgroup").map(|entry| entry.expect("one"));
        entries.filter(|entry| entry.path().is_dir()).count()
    };
    let server = Server::enter(&ten, &session);
    let leaf = limits_below(&ten, Path::new(ROOT), "a");
    says(&ten, "at the top, /sys/fs/cgroup: /sys/fs/cgroup/user/session has other processes");
    // Everybody is where they were, and nothing was given on or made there.
    for pid in [other.0.id(), server.0.id(), front(&ten).pid] {
        let seated = read(&session, "cgroup.procs");
        assert!(seated.lines().any(|line| line == pid.to_string()), "{pid} is not in {seated:?}");
    }
    assert_eq!(read(&session, "cgroup.subtree_control"), "");
    assert_eq!(read(&user, "cgroup.subtree_control"), "");
    assert_eq!((folders(&session), folders(&user)), (0, 1));
    assert!(server.stop(&ten).success());
    assert!(!leaf.exists() && !leaf.parent().expect("a folder").exists());
    drop(other);
    for cgroup in [session, user] {
        fs::remove_dir(cgroup).expect("nothing is left in it");
    }
}

/// One that is somebody's, and gives nothing on.
fn given_below(base: &Path, name: &str) -> PathBuf {
    let path = base.join(name);
    fs::create_dir(&path).expect("a new cgroup");
    path
}

/// The words of this program, after unshare(1), that make a container in a cgroup. Only what is
/// inside goes there, and the namespace of cgroups begins there.
pub(super) fn container(cgroup: &Path) -> Vec<&str> {
    let cgroup = cgroup.to_str().expect("UTF-8");
    let seen = ["/bin/unshare", "--cgroup", "/bin/machine", "contained"];
    ["/bin/machine", "enter", cgroup].into_iter().chain(seen).collect()
}

/// Begins a container, and takes it along when it is killed.
pub(super) const UNSHARE: [&str; 5] =
    ["/bin/unshare", "--pid", "--fork", "--mount", "--kill-child"];

/// The first process of a container, and nobody else in it.
pub(super) fn a_container_is_divided() {
    let base = given("container");
    let ten = Ten::with_config(CONFIG).prepare();
    let server = Server::contained(&ten, &base);
    limits_below(&ten, &base, "a");
    says(&ten, "below ten's own, /sys/fs/cgroup/container");
    assert_eq!(read(&base, "cgroup.procs"), "", "an inner cgroup has processes");
    let seated = read(&base.join("ten"), "cgroup.procs");
    for pid in [warden(&ten).expect("it runs").pid, front(&ten).pid] {
        assert!(seated.lines().any(|line| line == pid.to_string()), "{pid} is not in {seated:?}");
    }
    assert!(server.stop(&ten).success());
    assert_eq!(read(&base, "cgroup.subtree_control"), "", "it is not as it was found");
    fs::remove_dir(base).expect("nothing is left in it");
}

/// Beside others, whose place is theirs to choose: it says so, and what helps does help.
pub(super) fn a_shared_container_says_what_to_do() {
    let base = given("shared");
    let other = Other::within(&base);
    let ten = Ten::with_config(CONFIG).prepare();
    let server = Server::contained(&ten, &base);
    let refused = ten.cli(&["spawn", "job:a"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for fact in [
        "cannot set memory.max to 67108864: ",
        "/sys/fs/cgroup has other processes than ten",
        "move the others to a cgroup below",
    ] {
        assert!(refused.stderr.contains(fact), "{fact}: {refused:?}");
    }
    assert_eq!(read(&base, "cgroup.subtree_control"), "");
    assert!(server.stop(&ten).success());
    // As it says.
    let below = given_below(&base, "others");
    fs::write(below.join("cgroup.procs"), other.0.id().to_string()).expect("root may");
    let server = Server::contained(&ten, &base);
    limits_below(&ten, &base, "a");
    assert!(server.stop(&ten).success());
    drop(other);
    for cgroup in [below, base] {
        fs::remove_dir(cgroup).expect("nothing is left in it");
    }
}

/// Makes of new namespaces what a container is: only its own processes and cgroups are seen.
pub(super) fn contain() -> rustix::io::Result<()> {
    unmount(ROOT, UnmountFlags::DETACH)?;
    for (kind, at) in [("proc", "/proc"), ("cgroup2", ROOT), ("tmpfs", "/run")] {
        mount(kind, at, kind, MountFlags::empty(), None)?;
    }
    Ok(())
}
