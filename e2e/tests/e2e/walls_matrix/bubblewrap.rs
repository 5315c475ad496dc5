//! The same probe behind bubblewrap's walls, with flags that mean what ours do: a trusted outsider,
//! who also shows that the attempts are real. Where it denies something and ten does not, this
//! fails. `walls_matrix/beside_bubblewrap.txt` has both; bubblewrap's columns depend on the kernel
//! and are there to be read, ten's are compared.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::chown,
    path::Path,
    process::{Child, Command, Stdio},
};

use ten_testkit::{Request, Response, Ten, http, wait_until};

use super::{Outside, PROBE, PYTHON, config, place_probe, rows, said};
use crate::{
    lab::{self, HOST, METADATA, SOMEBODY},
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
    let mut ten = Ten::with_config(&config(&outside, "user = \"inherit\"")).prepare();
    let folder = ten.config_path().parent().unwrap().to_path_buf();
    place_probe(&folder);
    ten.start();
    let rootless = Rootless::start(&config(&outside, ""), place_probe);
    let home = rootless.home();
    let ask = |get: &dyn Fn(&str, &str) -> Response, port: u16| {
        get("other.app.localhost", "/");
        said(&get("a.app.localhost", &format!("/?ten={port}")))
    };
    let columns = [
        ask(&|host, path| ten.get(host, path), ten.address().port()),
        Wrapped::start(&outside, &folder, &ten.data_dir(), 0).ask(ten.address().port()),
        ask(&|host, path| rootless.get(host, path), rootless.address().port()),
        Wrapped::start(&outside, &home, &home.join("data"), UID).ask(rootless.address().port()),
    ];
    let table = table(&columns);
    for line in table.lines().skip(1) {
        let (_, cells) = parts(line);
        for (own, theirs) in [(0, 1), (2, 3)] {
            let weaker = cells[own] == "allowed" && cells[theirs] == "denied";
            assert!(!weaker, "ten allows what bubblewrap denies: {line}\n{table}");
        }
    }
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(BESIDE, &table).unwrap();
    }
    let own = |table: &str| -> Vec<String> {
        let own = |line| {
            let (name, cells) = parts(line);
            format!("{name}: {}, {}", cells[0], cells[2])
        };
        table.lines().skip(1).map(own).collect()
    };
    assert_eq!(own(&table), own(&fs::read_to_string(BESIDE).unwrap()), "\n{table}");
}

/// A row for each attempt, without the facts.
fn table(columns: &[String; 4]) -> String {
    let row = |name: &str, cells: [&str; 4]| {
        let cells: String = cells.iter().map(|cell| format!("{cell:<16}")).collect();
        format!("{name:<40}{}\n", cells.trim_end())
    };
    let mut table = row("", COLUMNS);
    for (name, first) in rows(&columns[0]) {
        if ["allowed", "denied"].contains(&first) {
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
            ("PROBE_OUTSIDE", outside.name.clone()),
            ("PROBE_OUTSIDE_PORT", outside.port().to_string()),
            ("PROBE_HOST_ADDRESS", HOST.to_owned()),
            ("PROBE_SOMEBODY", SOMEBODY.to_owned()),
            ("PROBE_METADATA", METADATA.to_owned()),
        ];
        for (name, value) in variables {
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
        Self { process, address, _neighbour: neighbour }
    }

    fn ask(&self, ten: u16) -> String {
        said(&http::send(self.address, &Request::get("probe", &format!("/?ten={ten}"))).unwrap())
    }
}

impl Drop for Wrapped {
    fn drop(&mut self) {
        // What is in its namespace goes with it (--die-with-parent).
        self.process.kill().unwrap();
        self.process.wait().unwrap();
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
