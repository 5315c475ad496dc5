//! A data dir with all that a front could be after, and the probe that is sent for it.

use std::{
    collections::BTreeMap,
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{PermissionsExt, chown},
            net::{SocketAddr, UnixListener},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::Command,
};

use ten_kernel::{Cage, FRONT_USERS, hand_over};

use crate::attempts;

const EXPECTED: &str = "tests/cage/expected.txt";
const COLUMNS: [&str; 2] = ["root", "ordinary user"];
/// What the front does all day.
const WORK: usize = 9;
/// What root can do in any container, were there no cage.
const REAL: [&str; 12] = [
    "make a process: clone",
    "execute a program: execve",
    "signal another: tgkill",
    "become root",
    "see other processes",
    "list /",
    "read /etc/shadow",
    "write /tmp",
    "read a tenant's file",
    "open the ledger of users",
    "connect to ten's admin socket",
    "connect to an abstract socket outside",
];
/// nobody, nogroup.
const NOBODY: u32 = 65534;

/// The user of the front under test.
pub(crate) fn user() -> u32 {
    FRONT_USERS.end - 1
}

/// Enters the cage as the front does, and says how far it comes from there.
pub(crate) fn probe(caged: bool, data: PathBuf) {
    let attempts = attempts::Attempts::prepare(&data);
    if caged {
        let reads = ["/dev/urandom", "/proc/self/cgroup", "/sys/fs/cgroup"];
        let cage = Cage {
            user: user(),
            home: data.join(".state"),
            reads: reads.map(PathBuf::from).into(),
        };
        cage.enter().unwrap();
    }
    print!("{}", attempts.all());
}

/// A data dir, and sockets that would let anybody in.
struct House {
    folder: tempfile::TempDir,
    _sockets: [UnixListener; 3],
}

impl House {
    fn build(owner: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("data/.state")).unwrap();
        fs::create_dir_all(at("data/app/a")).unwrap();
        fs::write(at("data/.state/ten.db"), "own").unwrap();
        fs::write(at("data/app/a/secret"), "a tenant's").unwrap();
        fs::write(at("data/ten.users"), "").unwrap();
        let name = format!("ten-cage-{}", folder.path().display());
        let by_name = SocketAddr::from_abstract_name(name).unwrap();
        let sockets = [
            UnixListener::bind(at("data/ten.sock")).unwrap(),
            UnixListener::bind(at("outside")).unwrap(),
            UnixListener::bind_addr(&by_name).unwrap(),
        ];
        // Nothing but the cage is in the way of an ordinary user.
        for (path, mode) in [("", 0o755), ("outside", 0o777)] {
            fs::set_permissions(at(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        if owner == 0 {
            hand_over(&at("data/.state"), user()).unwrap();
            fs::set_permissions(at("data"), fs::Permissions::from_mode(0o700)).unwrap();
        }
        for path in ["data", "data/app", "data/app/a", "data/app/a/secret", "data/ten.sock"] {
            chown(at(path), Some(owner), Some(owner)).unwrap();
        }
        if owner != 0 {
            hand_over(&at("data/.state"), owner).unwrap();
        }
        Self { folder, _sockets: sockets }
    }

    fn ask(&self, owner: u32, caged: bool) -> String {
        let copy = self.folder.path().join("probe");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let mut command = Command::new(copy);
        command.args(["probe", if caged { "caged" } else { "free" }]);
        command.arg(self.folder.path().join("data"));
        if owner != 0 {
            command.uid(owner).gid(owner);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }
}

pub(crate) fn compare() {
    let [root, nobody] = [0, NOBODY].map(House::build);
    let columns = [root.ask(0, true), nobody.ask(NOBODY, true)];
    let free = root.ask(0, false);
    for attempt in REAL {
        assert!(free.contains(&format!("{attempt}\tallowed\n")), "{attempt} is no attempt: {free}");
    }
    let table = table(&columns);
    let works = |line: &str| line.matches("allowed").count() == COLUMNS.len();
    assert!(table.lines().skip(1).take(WORK).all(works), "a front could not work: {table}");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(EXPECTED, &table).unwrap();
    }
    let expected = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(EXPECTED));
    assert_eq!(table, expected.unwrap(), "\n{table}");
}

fn table(columns: &[String; COLUMNS.len()]) -> String {
    let rows = |text: &str| -> Vec<(String, String)> {
        let split = text.lines().filter_map(|line| line.split_once('\t'));
        split.map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect()
    };
    let cells = columns.each_ref().map(|text| rows(text).into_iter().collect::<BTreeMap<_, _>>());
    let row = |name: &str, cells: &[&str]| {
        let cells: String = cells.iter().map(|cell| format!("{cell:<18}")).collect();
        format!("{name:<44}{}\n", cells.trim_end())
    };
    let mut table = row("", &COLUMNS);
    for (name, _) in rows(&columns[0]) {
        table += &row(&name, &cells.each_ref().map(|column| column[&name].as_str()));
    }
    table
}
