//! What a tenant that tries to get out can do, for each way to run it, and what a command inside
//! it can, which must be the same: every attempt and its outcome, compared with
//! `walls_matrix/expected.txt`. An attempt that comes further than it did fails here.
//! `UPDATE_FIXTURES=1` writes the table anew, to be read and judged.
//!
//! The first column has no walls: what is not allowed there shows nothing about them. The same
//! table for an older kernel is in `machine/tests/machine/inside/walls`.

mod bubblewrap;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ten_testkit::{
    Response, Ten,
    probe::{self, Matrix, Outside, PYTHON, rows},
};

use crate::{
    lab::{self, HOST, METADATA, SOMEBODY},
    rootless::{Rootless, UID},
};

const EXPECTED: &str = "tests/e2e/walls_matrix/expected.txt";

/// A column: its title, its service, the keys of that.
type Column = (&'static str, &'static str, &'static str);
const AS_ROOT: [Column; 5] = [
    ("process, root", "process", "isolation = \"process\""),
    ("root", "root", ""),
    ("root, inherit", "inherit", "user = \"inherit\""),
    ("none", "none", "network = \"none\""),
    ("private", "private", "network = \"private\"\nnameservers = []"),
];
const ROOTLESS: [Column; 2] =
    [("rootless", "rootless", ""), ("rootless, none", "rootless-none", "network = \"none\"")];

/// In a lab: what of the host and of the world beyond it is reached is part of the table.
#[test]
fn nobody_gets_further_than_the_table_says() {
    lab::run("walls_matrix::nobody_gets_further_than_the_table_says", |_| compare());
}

fn compare() {
    let outside = Outside::open();
    let mut ten = Ten::with_config(&config(&outside, &AS_ROOT)).prepare();
    let folder = ten.config_path().parent().unwrap().to_path_buf();
    probe::place(&folder);
    a_setuid_program_is_real(&folder);
    ten.start();
    assert_eq!(ten.cli(&["token-gen"]).code, Some(0));
    let as_root = Server {
        get: &|host, path| ten.get(host, path),
        exec: &|instance, words| {
            let output = ten.cli(&[&["exec", instance, "--"], words].concat());
            assert_eq!(output.code, Some(0), "{}", output.stderr);
            output.stdout
        },
        port: ten.address().port(),
        data: ten.data_dir(),
        warden: ten.warden(),
    };
    let mut columns: Vec<_> = AS_ROOT.iter().map(|(_, name, _)| as_root.column(name)).collect();
    let ten = Rootless::start(&config(&outside, &ROOTLESS), probe::place);
    ten.cli(&["token-gen"]);
    let as_user = Server {
        get: &|host, path| ten.get(host, path),
        exec: &|instance, words| ten.exec(instance, words),
        port: ten.address().port(),
        data: ten.home().join("data"),
        warden: ten.warden(),
    };
    columns.extend(ROOTLESS.iter().map(|(_, name, _)| as_user.column(name)));
    let found = Matrix::new(&columns);
    let titles: Vec<_> = AS_ROOT.iter().chain(&ROOTLESS).map(|(title, ..)| *title).collect();
    let table = found.table(&titles);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(EXPECTED, &table).unwrap();
    }
    let differences = found.differences(&fs::read_to_string(EXPECTED).unwrap());
    assert!(differences.is_empty(), "{differences:#?}\n{table}");
    let unproven = found.unproven().join(", ");
    if !unproven.is_empty() {
        println!("SKIP these come no further here without walls, and show nothing: {unproven}");
    }
}

/// A service for each column, and what its probes have to know.
fn config(outside: &Outside, columns: &[Column]) -> String {
    columns.iter().map(|(_, name, keys)| probe::service(name, keys, &env(outside))).collect()
}

fn env(outside: &Outside) -> Vec<(&'static str, String)> {
    let beyond = [
        ("PROBE_HOST_ADDRESS", HOST.to_owned()),
        ("PROBE_SOMEBODY", SOMEBODY.to_owned()),
        ("PROBE_METADATA", METADATA.to_owned()),
    ];
    outside.env().into_iter().chain(beyond).collect()
}

/// What the probe is refused without walls too: whoever has not given up privileges gets them.
fn a_setuid_program_is_real(folder: &Path) {
    let uid = UID.to_string();
    let mut other = Command::new("setpriv");
    other.args(["--reuid", &uid, "--clear-groups", "--"]).arg(folder.join("another")).arg("-u");
    let said = other.output().expect("setpriv");
    if said.stdout == format!("{uid}\n").into_bytes() {
        return println!("SKIP nobody becomes another here (nosuid): that row shows nothing");
    }
    assert_eq!(said.stdout, b"1\n", "{said:?}");
}

/// A server, and the ways to ask its instances.
struct Server<'a> {
    get: &'a dyn Fn(&str, &str) -> Response,
    exec: &'a dyn Fn(&str, &[&str]) -> String,
    port: u16,
    data: PathBuf,
    warden: u32,
}

impl Server<'_> {
    /// What both say, the program of an instance and a command beside it.
    fn column(&self, service: &str) -> String {
        let question = self.question(service);
        let by_program = said(&(self.get)(&format!("a.{service}.localhost"), &question));
        let words = [PYTHON, "probe.py", question.trim_start_matches("/?")];
        let by_command = (self.exec)(&format!("{service}:a"), &words);
        let by_command: BTreeMap<_, _> = rows(&by_command).collect();
        for (attempt, outcome) in rows(&by_program) {
            let other = by_command.get(attempt);
            assert_eq!(other, Some(&outcome), "{service}: {attempt}, through ten exec");
        }
        by_program
    }

    fn question(&self, service: &str) -> String {
        let neighbour = format!("{}.{service}.localhost", probe::NEIGHBOUR);
        assert_eq!(said(&(self.get)(&neighbour, "/")), "here");
        format!("/?{}", probe::question(self.port, &self.data, service, self.warden))
    }
}

fn said(response: &Response) -> String {
    assert_eq!(response.status, 200, "{}", response.text());
    response.text()
}
