//! The same probe behind bubblewrap's walls, with flags that mean what ours do: a trusted outsider,
//! who also shows that the attempts are real. Where it denies something and ten does not, this
//! fails. `walls_matrix/beside_bubblewrap.txt` has both; bubblewrap's columns depend on the kernel
//! and are there to be read, ten's are compared.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use ten_testkit::{
    Request, Ten, http,
    probe::{self, Outside, PROBE, PYTHON, rows},
    wait_until,
};

use super::{Server, config, env, said};
use crate::{
    lab,
    rootless::{Rootless, UID},
    service::PATIENCE,
};

const BESIDE: &str = "tests/e2e/walls_matrix/beside_bubblewrap.txt";
const COLUMNS: [&str; 4] = ["ten", "bubblewrap", "ten, rootless", "bubblewrap, rootless"];
/// Always there, and hidden by both.
const HIDDEN: [&str; 5] = ["/tmp", "/var/tmp", "/run", "/home", "/root"];

#[test]
fn bubblewrap_denies_nothing_that_ten_allows() {
    lab::run("walls_matrix::bubblewrap::bubblewrap_denies_nothing_that_ten_allows", |_| compare());
}

fn compare() {
    if Command::new("bwrap").arg("--version").output().is_err() {
        return println!("SKIP bwrap is not installed (Debian: bubblewrap)");
    }
    let outside = Outside::open();
    let mut ten =
        Ten::with_config(&config(&outside, &[("", "app", "user = \"inherit\"")])).prepare();
    let folder = ten.config_path().parent().unwrap().to_path_buf();
    probe::place(&folder);
    ten.start();
    assert_eq!(ten.cli(&["token-gen"]).code, Some(0));
    let rootless = Rootless::start(&config(&outside, &[("", "app", "")]), probe::place);
    rootless.cli(&["token-gen"]);
    let home = rootless.home();
    let none = &|_: &str, _: &[&str]| String::new();
    let as_root = Server {
        get: &|host, path| ten.get(host, path),
        exec: none,
        port: ten.address().port(),
        data: ten.data_dir(),
        warden: ten.warden(),
    };
    let as_user = Server {
        get: &|host, path| rootless.get(host, path),
        exec: none,
        port: rootless.address().port(),
        data: home.join("data"),
        warden: rootless.warden(),
    };
    let questions = [&as_root, &as_user].map(|server| server.question("app"));
    let ask =
        |server: &Server<'_>, question: &str| said(&(server.get)("a.app.localhost", question));
    let columns = [
        ask(&as_root, &questions[0]),
        Wrapped::start(&outside, &folder, &ten.data_dir(), 0).ask(&questions[0]),
        ask(&as_user, &questions[1]),
        Wrapped::start(&outside, &home, &home.join("data"), UID).ask(&questions[1]),
    ];
    let table = table(&columns);
    for line in table.lines().skip(1) {
        let (_, cells) = parts(line);
        for (own, theirs) in [(0, 1), (2, 3)] {
            let weaker = cells[own] == "allowed" && cells[theirs] != "allowed";
            assert!(!weaker, "ten allows what bubblewrap does not: {line}\n{table}");
        }
    }
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(BESIDE, &table).unwrap();
    }
    let own = |table: &str| -> Vec<String> {
        let own = |line| {
            let (name, cells) = parts(line);
            // Whether there is nothing or no way to it depends on the host.
            format!("{name}: {:?}", [0, 2].map(|column| cells[column] == "allowed"))
        };
        table.lines().skip(1).map(own).collect()
    };
    assert_eq!(own(&table), own(&fs::read_to_string(BESIDE).unwrap()), "\n{table}");
}

/// A row for each attempt, without the facts.
fn table(columns: &[String; 4]) -> String {
    let row = |name: &str, cells: [&str; 4]| {
        let cells: String = cells.iter().map(|cell| format!("{cell:<16}")).collect();
        format!("{name:<50}{}\n", cells.trim_end())
    };
    let mut table = row("", COLUMNS);
    for (name, first) in rows(&columns[0]) {
        if ["allowed", "denied", "absent"].contains(&first) {
            let cell = |column: &String| {
                let found = rows(column).find(|(other, _)| *other == name);
                found.map_or_else(String::new, |(_, cell)| cell.to_owned())
            };
            let cells = columns.each_ref().map(cell);
            table += &row(name, cells.each_ref().map(String::as_str));
        }
    }
    table
}

/// A row's name, and its four cells of one word.
fn parts(line: &str) -> (String, Vec<&str>) {
    let words: Vec<_> = line.split_whitespace().collect();
    let (name, cells) = words.split_at(words.len() - COLUMNS.len());
    (name.join(" "), cells.to_vec())
}

/// The probe behind bubblewrap.
struct Wrapped {
    process: Child,
    /// What it leaves behind when it is killed.
    socket: PathBuf,
    address: SocketAddr,
    /// Whoever listens on the port beside.
    _neighbour: TcpListener,
}

impl Wrapped {
    fn start(outside: &Outside, folder: &Path, data: &Path, uid: u32) -> Self {
        let own = data.join("app/wrapped");
        fs::create_dir(&own).unwrap();
        chown(&own, Some(uid), Some(uid)).unwrap();
        assert_eq!(fs::read_to_string(folder.join("probe.py")).unwrap(), PROBE);
        let (neighbour, port) = neighbours();
        let mut command = Command::new("setpriv");
        if uid != 0 {
            let id = uid.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        }
        command.args(["--", "bwrap"]);
        if uid != 0 {
            command.args(["--unshare-user", "--disable-userns"]);
        }
        command.args(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]);
        command.args([
            "--die-with-parent",
            "--new-session",
            "--cap-drop",
            "ALL",
            "--hostname",
            "a",
        ]);
        command.args(["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]);
        for hidden in HIDDEN {
            command.args(["--tmpfs", hidden]);
        }
        command.arg("--ro-bind").args([folder, folder]).arg("--tmpfs").arg(data);
        command.arg("--bind").args([&own, &own]).arg("--chdir").arg(folder).arg("--clearenv");
        let variables = [
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("DATA_DIR", own.display().to_string()),
            ("PORT", port.to_string()),
        ];
        for (name, value) in variables.into_iter().chain(env(outside)) {
            command.args(["--setenv", name]).arg(value);
        }
        // Which it may open again, as its own.
        command.args([PYTHON, "probe.py"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().expect("setpriv");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listens = wait_until(PATIENCE, || {
            assert_eq!(process.try_wait().unwrap(), None, "bwrap ended");
            TcpStream::connect(address).is_ok()
        });
        assert!(listens, "the probe behind bwrap does not listen");
        Self { process, socket: own.join("socket"), address, _neighbour: neighbour }
    }

    fn ask(&self, question: &str) -> String {
        said(&http::send(self.address, &Request::get("probe", question)).unwrap())
    }
}

impl Drop for Wrapped {
    fn drop(&mut self) {
        // What is in its namespace goes with it (--die-with-parent).
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let _ = fs::remove_file(&self.socket);
    }
}

/// A port that somebody listens on, and the free one after it.
fn neighbours() -> (TcpListener, u16) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let next = listener.local_addr().unwrap().port().saturating_add(1);
        if TcpListener::bind(("127.0.0.1", next)).is_ok() {
            return (listener, next);
        }
    }
}
