//! What a tenant that tries to get out can do, for each way to run it: every attempt and its
//! outcome, compared with `walls_matrix/expected.txt`. An attempt that comes further than it
//! did fails here. `UPDATE_FIXTURES=1` writes the table anew, to be read and judged.

use std::{
    collections::BTreeMap,
    fs,
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

use crate::rootless::Rootless;

const PROBE: &str = include_str!("walls_matrix/probe.py");
const EXPECTED: &str = "tests/e2e/walls_matrix/expected.txt";
/// Debian's; a `python3` of the PATH may live in a home folder.
const PYTHON: &str = "/usr/bin/python3";
const COLUMNS: [&str; 3] = ["root", "root, inherit", "rootless"];

#[test]
fn nobody_gets_further_than_the_table_says() {
    let outside = Outside::open();
    let config = |keys: &str| {
        format!(
            "[service.app]\ncommand = \"{PYTHON} probe.py\"\nlisten = \"port\"\n{keys}\n\
             [service.app.env]\nPROBE_OUTSIDE = \"{}\"\n",
            outside.name
        )
    };
    let as_root = |keys: &str| {
        let mut ten = Ten::with_config(&config(keys)).prepare();
        place_probe(ten.config_path().parent().unwrap());
        ten.start();
        ten.get("other.app.localhost", "/");
        said(&ten.get("a.app.localhost", "/"))
    };
    let rootless = || {
        let ten = Rootless::start(&config(""), place_probe);
        ten.get("other.app.localhost", "/");
        said(&ten.get("a.app.localhost", "/"))
    };
    let columns = [as_root(""), as_root("user = \"inherit\""), rootless()];
    let table = table(&columns);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(EXPECTED, &table).unwrap();
    }
    assert_eq!(table, fs::read_to_string(EXPECTED).unwrap(), "\n{table}");
}

fn said(response: &Response) -> String {
    assert_eq!(response.status, 200, "{}", response.text());
    response.text()
}

fn place_probe(folder: &Path) {
    fs::write(folder.join("probe.py"), PROBE).unwrap();
}

/// A row for each attempt, in the order in which they were made.
fn table(columns: &[String; 3]) -> String {
    let cells = columns.each_ref().map(|text| rows(text).collect::<BTreeMap<_, _>>());
    let [first, second, third] = COLUMNS;
    let mut table = format!("{:<40}{first:<16}{second:<16}{third}\n", "");
    for (name, _) in rows(&columns[0]) {
        let [first, second, third] = cells.each_ref().map(|column| column[name]);
        table += &match first == second && second == third {
            true => format!("{name:<40}{first}\n"),
            false => format!("{name:<40}{first:<16}{second:<16}{third}\n"),
        };
    }
    table
}

fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once('\t'))
}

/// Sockets of a stranger on the host that would let anybody in.
struct Outside {
    name: String,
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
            name,
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        outside
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = fs::remove_file(Path::new("/tmp").join(&self.name));
    }
}
