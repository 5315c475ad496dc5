//! What a tenant that tries to get out can do, for each way to run it, and what a command inside
//! it can, which must be the same: every attempt and its outcome, compared with `walls_matrix/expected.txt`. An attempt that comes further than it
//! did fails here. `UPDATE_FIXTURES=1` writes the table anew, to be read and judged.

mod bubblewrap;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::PermissionsExt,
            net::{SocketAddr, UnixListener},
        },
    },
    path::Path,
};

use ten_testkit::{Response, Ten};

use crate::{
    lab::{self, HOST, METADATA, SOMEBODY},
    rootless::Rootless,
};

const PROBE: &str = include_str!("walls_matrix/probe.py");
const EXPECTED: &str = "tests/e2e/walls_matrix/expected.txt";
/// Debian's; a `python3` of the PATH may live in a home folder.
const PYTHON: &str = "/usr/bin/python3";
const COLUMNS: [&str; 6] =
    ["root", "root, inherit", "rootless", "network: none", "rootless, none", "network: private"];

/// In a lab: what of the host and of the world beyond it is reached is part of the table.
#[test]
fn nobody_gets_further_than_the_table_says() {
    lab::run("walls_matrix::nobody_gets_further_than_the_table_says", |_| compare());
}

fn compare() {
    let outside = Outside::open();
    let config = |keys: &str| config(&outside, keys);
    let as_root = |keys: &str| {
        let mut ten = Ten::with_config(&config(keys)).prepare();
        place_probe(ten.config_path().parent().unwrap());
        ten.start();
        ten.get("other.app.localhost", "/");
        let port = ten.address().port();
        let by_program = said(&ten.get("a.app.localhost", &format!("/?ten={port}")));
        let by_command = ten.cli(&["exec", "app:a", "--", PYTHON, "probe.py", &port.to_string()]);
        assert_eq!(by_command.code, Some(0), "{}", by_command.stderr);
        same(by_program, &by_command.stdout)
    };
    let rootless = |keys: &str| {
        let ten = Rootless::start(&config(keys), place_probe);
        ten.get("other.app.localhost", "/");
        let port = ten.address().port();
        let by_program = said(&ten.get("a.app.localhost", &format!("/?ten={port}")));
        same(by_program, &ten.exec("app:a", &[PYTHON, "probe.py", &port.to_string()]))
    };
    let alone = "network = \"none\"";
    let columns = [
        as_root(""),
        as_root("user = \"inherit\""),
        rootless(""),
        as_root(alone),
        rootless(alone),
        as_root("network = \"private\"\nnameservers = []"),
    ];
    let table = table(&columns);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(EXPECTED, &table).unwrap();
    }
    assert_eq!(table, fs::read_to_string(EXPECTED).unwrap(), "\n{table}");
}

/// A service whose instances are the probe.
fn config(outside: &Outside, keys: &str) -> String {
    format!(
        "[service.app]\ncommand = \"{PYTHON} probe.py\"\nlisten = \"port\"\n{keys}\n\
         [service.app.env]\nPROBE_OUTSIDE = \"{}\"\nPROBE_OUTSIDE_PORT = \"{}\"\n\
         PROBE_HOST_ADDRESS = \"{HOST}\"\nPROBE_SOMEBODY = \"{SOMEBODY}\"\n\
         PROBE_METADATA = \"{METADATA}\"\n",
        outside.name,
        outside.port(),
    )
}

fn said(response: &Response) -> String {
    assert_eq!(response.status, 200, "{}", response.text());
    response.text()
}

/// What both say, the program of an instance and a command beside it.
fn same(by_program: String, by_command: &str) -> String {
    let commands: BTreeMap<_, _> = rows(by_command).collect();
    for (attempt, outcome) in rows(&by_program) {
        assert_eq!(commands.get(attempt), Some(&outcome), "{attempt}, through ten exec");
    }
    by_program
}

fn place_probe(folder: &Path) {
    fs::write(folder.join("probe.py"), PROBE).unwrap();
}

/// A row for each attempt, in the order in which they were made.
fn table(columns: &[String; COLUMNS.len()]) -> String {
    let cells = columns.each_ref().map(|text| rows(text).collect::<BTreeMap<_, _>>());
    let mut table = row("", &COLUMNS);
    for (name, first) in rows(&columns[0]) {
        let cells = cells.each_ref().map(|column| column[name]);
        table += &match cells.iter().all(|cell| *cell == first) {
            true => row(name, &[first]),
            false => row(name, &cells),
        };
    }
    table
}

fn row(name: &str, cells: &[&str]) -> String {
    let cells: String = cells.iter().map(|cell| format!("{cell:<16}")).collect();
    format!("{name:<40}{}\n", cells.trim_end())
}

fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once('\t'))
}

/// Sockets of a stranger on the host that would let anybody in.
struct Outside {
    name: String,
    tcp: TcpListener,
    _abstract: UnixListener,
    _path: UnixListener,
}

impl Outside {
    fn open() -> Self {
        let name = format!("ten-outside-{}", std::process::id());
        let path = Path::new("/tmp").join(&name);
        let by_name = SocketAddr::from_abstract_name(&name).unwrap();
        let outside = Self {
            _abstract: UnixListener::bind_addr(&by_name).unwrap(),
            _path: UnixListener::bind(&path).unwrap(),
            // Both families.
            tcp: TcpListener::bind("[::]:0").unwrap(),
            name,
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        outside
    }
}

impl Outside {
    fn port(&self) -> u16 {
        self.tcp.local_addr().unwrap().port()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = fs::remove_file(Path::new("/tmp").join(&self.name));
    }
}
