//! A server in a cgroup of its own, as a unit with `Delegate=yes` is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use ten_testkit::{Ten, ten_binary, wait_until};

use super::cgroups::{ROOT, leaf_below, read};

const PATIENCE: Duration = Duration::from_secs(15);

const CONFIG: &str = "[service.job]\ncommand = \"@tenant --listen none\"\nlisten = \"none\"\n\
                      memory_limit_mb = 64\nstop_timeout = 0.2\n";

/// A cgroup that has every controller, as systemd would make it.
fn delegated(name: &str) -> PathBuf {
    let given_on = Path::new(ROOT).join("cgroup.subtree_control");
    fs::write(given_on, "+cpu +io +memory +pids").expect("the root has controllers");
    let path = Path::new(ROOT).join(name);
    fs::create_dir(&path).expect("a new cgroup");
    path
}

/// `ten serve` in a cgroup. The testkit only prepares its folder.
fn serve(ten: &Ten, cgroup: &Path) -> Child {
    let mut command = Command::new("/bin/machine");
    command.arg("enter").arg(cgroup).arg(ten_binary());
    command.args(["serve", "--port", "0", "--bind", "127.0.0.1", "--data-dir"]);
    command.arg(ten.data_dir()).arg("--config").arg(ten.config_path());
    let child = command.spawn().expect("it starts");
    let listens = || ten.data_dir().join("ten.sock").exists();
    assert!(wait_until(PATIENCE, listens), "it does not listen");
    assert!(wait_until(PATIENCE, || ten.cli(&["ps"]).code == Some(0)), "it does not answer");
    child
}

fn stop(mut server: Child) {
    kill_process(Pid::from_child(&server), Signal::TERM).expect("it runs");
    assert!(server.wait().expect("our child").success());
}

pub(super) fn a_delegated_cgroup_is_divided() {
    let base = delegated("unit");
    let ten = Ten::with_config(CONFIG).prepare();
    let server = serve(&ten, &base);
    let output = ten.cli(&["spawn", "job:a"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let leaf = leaf_below(&base, "job:a").expect("a leaf");
    assert_eq!(read(&leaf, "memory.max"), "67108864");
    assert_eq!(read(&base, "cgroup.procs"), "", "an inner cgroup has processes");
    let foreseen = ten.cli(&["doctor"]);
    assert_eq!(foreseen.code, Some(0), "{foreseen:?}");
    assert!(foreseen.stdout.contains("ok       cgroup memory"), "{}", foreseen.stdout);
    let seated = read(&base.join("ten"), "cgroup.procs");
    let of_ten = [
        server.id(),
        ten_testkit::process::all()
            .into_iter()
            .find(|p| p.parent == server.id() && p.argv.iter().any(|arg| arg == "front"))
            .expect("a front")
            .pid,
    ];
    for pid in of_ten {
        assert!(seated.lines().any(|line| line == pid.to_string()), "{pid} is not in {seated:?}");
    }
    stop(server);
    assert_eq!(read(&base, "cgroup.subtree_control"), "", "it is not as it was found");
    fs::remove_dir(base).expect("nothing is left in it");
}

pub(super) fn a_shared_cgroup_gives_nothing_on() {
    let base = delegated("shared");
    let mut other = Command::new("/bin/machine");
    let other = other.arg("enter").arg(&base).args(["/bin/tenant", "--listen", "none"]).spawn();
    let mut other = other.expect("it starts");
    let is_in = || !read(&base, "cgroup.procs").is_empty();
    assert!(wait_until(PATIENCE, is_in), "nobody came");
    let ten = Ten::with_config(CONFIG).prepare();
    let server = serve(&ten, &base);
    let output = ten.cli(&["spawn", "job:a"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    let why = "cannot set memory.max to 67108864: ";
    assert!(output.stderr.contains(why), "{output:?}");
    let lack = "has other processes than ten";
    assert!(output.stderr.contains(lack), "{output:?}");
    let foreseen = ten.cli(&["doctor", "--json"]);
    assert_eq!(foreseen.code, Some(1), "{foreseen:?}");
    assert!(foreseen.stdout.contains(lack), "{}", foreseen.stdout);
    stop(server);
    other.kill().expect("our child");
    other.wait().expect("our child");
    fs::remove_dir(base).expect("nothing is left in it");
}
