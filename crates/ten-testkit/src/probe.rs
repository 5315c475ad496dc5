//! The tenant that tries to get out, `probe/probe.py`, and what its answers are compared with: a
//! row for each attempt, a column for each way to run it.
//!
//! ```text
//! service() in a config, place() beside it ──► GET /?question() ──► Matrix ──► differences()
//! ```
//!
//! The first column is the control: without walls, as root. An attempt that comes no further there
//! shows nothing about walls, and is named (`unproven`). It is a Python program because it makes
//! calls that no library of ours would make.

use std::{
    fs,
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{PermissionsExt, chown},
            net::{SocketAddr, UnixListener},
        },
    },
    path::Path,
};

use crate::process;

/// The program.
pub const PROBE: &str = include_str!("probe/probe.py");
/// Debian's; a `python3` of the PATH may live in a home folder.
pub const PYTHON: &str = "/usr/bin/python3";
/// The instance that the probe is a neighbour of, in its own service.
pub const NEIGHBOUR: &str = "other";
/// What is refused without walls too. Other tests show that it is real.
const REFUSED_ANYWAY: [&str; 3] = [
    "become another by a setuid program",
    "ask ten's API without a token",
    "connect to another tenant's network",
];
/// Of an attempt.
const OUTCOMES: [&str; 3] = ["allowed", "denied", "absent"];
/// Whether an instance sees its own cgroup depends on how the host mounts the hierarchies: of these
/// attempts, absent is as good as denied.
const BY_HIERARCHY: &str = "cgroups: write";
/// A user that runs nothing here: daemon.
const ANOTHER: u32 = 1;
/// The width of a row's name and of each cell.
const WIDTHS: [usize; 2] = [50, 16];

/// A service whose instances are the probe.
pub fn service(name: &str, keys: &str, env: &[(&str, String)]) -> String {
    let env: String = env.iter().map(|(key, value)| format!("{key} = \"{value}\"\n")).collect();
    format!(
        "[service.{name}]\ncommand = \"{PYTHON} probe.py\"\nlisten = \"port\"\n{keys}\n\
         [service.{name}.env]\n{env}\n"
    )
}

/// Puts what it needs into its workdir: itself, and a program that is setuid to another user and
/// says whom it runs as, where the host has one.
///
/// # Panics
///
/// When that cannot be written.
pub fn place(folder: &Path) {
    fs::write(folder.join("probe.py"), PROBE).expect("the probe can be written");
    if Path::new("/usr/bin/id").exists() {
        let another = folder.join("another");
        fs::copy("/usr/bin/id", &another).expect("a program can be copied");
        chown(&another, Some(ANOTHER), Some(ANOTHER)).expect("root gives files away");
        fs::set_permissions(another, fs::Permissions::from_mode(0o4755)).expect("its owner may");
    }
}

/// What the probe is asked: the port of a server, and who runs there. The neighbour must run.
///
/// # Panics
///
/// When it, or the front, does not.
pub fn question(port: u16, data: &Path, service: &str, warden: u32) -> String {
    let folder = format!("DATA_DIR={}", data.join(service).join(NEIGHBOUR).display());
    let name = format!("TENEMENT_INSTANCE={service}:{NEIGHBOUR}");
    let found = process::with_env(&[&name, &folder]);
    let tenant = found.first().unwrap_or_else(|| panic!("{name} does not run"));
    let is_front =
        |p: &process::Process| p.parent == warden && p.argv.iter().any(|arg| arg == "front");
    let front = process::all().into_iter().find(is_front).expect("a front").pid;
    let (tenant, init) = (tenant.pid, tenant.parent);
    format!("ten={port}&tenant={tenant}&init={init}&warden={warden}&front={front}")
}

/// Sockets of a stranger on the host that would let anybody in.
#[derive(Debug)]
pub struct Outside {
    name: String,
    tcp: TcpListener,
    _abstract: UnixListener,
    _path: UnixListener,
}

impl Outside {
    /// Listens.
    ///
    /// # Panics
    ///
    /// When it cannot.
    pub fn open() -> Self {
        let name = format!("ten-outside-{}", std::process::id());
        let path = Path::new("/tmp").join(&name);
        let by_name = SocketAddr::from_abstract_name(&name).expect("a short name");
        let outside = Self {
            _abstract: UnixListener::bind_addr(&by_name).expect("a name of our own"),
            _path: UnixListener::bind(&path).expect("a path of our own"),
            // Both families.
            tcp: TcpListener::bind("[::]:0").expect("a free port"),
            name,
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("its owner may");
        outside
    }

    /// What tells a probe where they are.
    pub fn env(&self) -> [(&'static str, String); 2] {
        let port = self.tcp.local_addr().expect("it listens").port();
        [("PROBE_OUTSIDE", self.name.clone()), ("PROBE_OUTSIDE_PORT", port.to_string())]
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = fs::remove_file(Path::new("/tmp").join(&self.name));
    }
}

/// What a probe said, an attempt and its outcome each.
pub fn rows(said: &str) -> impl Iterator<Item = (&str, &str)> {
    said.lines().filter_map(|line| line.split_once('\t'))
}

/// All attempts in all columns, the control first.
#[derive(Debug)]
pub struct Matrix {
    rows: Vec<(String, Vec<String>)>,
}

impl Matrix {
    /// Of what was said in each column, in the order in which the first one did.
    pub fn new(columns: &[String]) -> Self {
        let cell = |column: &str, name: &str| {
            let found = rows(column).find(|(other, _)| *other == name);
            found.map_or("", |(_, outcome)| outcome).to_owned()
        };
        let row = |(name, _): (&str, &str)| {
            (name.to_owned(), columns.iter().map(|column| cell(column, name)).collect())
        };
        Self { rows: rows(&columns[0]).map(row).collect() }
    }

    /// As text. Where all walls have the same outcome, it is there once.
    pub fn table(&self, titles: &[&str]) -> String {
        let mut table = line("", titles);
        for (name, cells) in &self.rows {
            let mut cells: Vec<_> = cells.iter().map(String::as_str).collect();
            if cells[1..].iter().all(|cell| *cell == cells[1]) {
                cells.truncate(2);
            }
            table += &line(name, &cells);
        }
        table
    }

    fn parse(table: &str) -> Self {
        let mut lines = table.lines().map(|line| {
            let mut words = line.split("  ").map(str::trim).filter(|word| !word.is_empty());
            let name = if line.starts_with(' ') { "" } else { words.next().unwrap_or_default() };
            (name.to_owned(), words.map(str::to_owned).collect::<Vec<_>>())
        });
        let columns = lines.next().map_or(0, |(_, titles)| titles.len());
        let rows = lines.map(|(name, mut cells)| {
            let last = cells.last().cloned().unwrap_or_default();
            cells.resize(columns, last);
            (name, cells)
        });
        Self { rows: rows.collect() }
    }

    /// Where this is not what a table says. Hosts differ in what they have: of what the control did
    /// not find there or here, nothing must be allowed behind walls, and no more is compared; nor is it
    /// wrong where the control is stopped. Facts must be the same.
    pub fn differences(&self, table: &str) -> Vec<String> {
        let expected = Self::parse(table);
        let mut found = Vec::new();
        for (name, cells) in &self.rows {
            match expected.rows.iter().find(|(other, _)| other == name) {
                Some((_, wanted)) if agree(name, wanted, cells) => {}
                Some((_, wanted)) => found.push(format!("{name}: {cells:?}, and not {wanted:?}")),
                None => found.push(format!("{name}: is not in the table")),
            }
        }
        for (name, _) in &expected.rows {
            if !self.rows.iter().any(|(other, _)| other == name) {
                found.push(format!("{name}: was not tried"));
            }
        }
        found
    }

    /// Attempts that show nothing on this host.
    pub fn unproven(&self) -> Vec<&str> {
        let stopped = |cell: &str| ["absent", "denied"].contains(&cell);
        let rows = self
            .rows
            .iter()
            .filter(|(name, cells)| stopped(&cells[0]) && !REFUSED_ANYWAY.contains(&name.as_str()));
        rows.map(|(name, _)| name.as_str()).collect()
    }
}

fn agree(name: &str, wanted: &[String], found: &[String]) -> bool {
    // A fact, and no attempt.
    if !OUTCOMES.contains(&wanted[0].as_str()) {
        return wanted == found;
    }
    let absent = |cells: &[String]| cells[0] == "absent";
    if absent(wanted) || absent(found) {
        return !found[1..].iter().any(|cell| cell == "allowed");
    }
    let further = wanted[0] != "allowed" && found[0] == "allowed";
    let may = |cells: &[String]| cells.iter().map(|cell| cell == "allowed").collect::<Vec<_>>();
    let same = match name.starts_with(BY_HIERARCHY) {
        true => may(&wanted[1..]) == may(&found[1..]),
        false => wanted[1..] == found[1..],
    };
    !further && same
}

fn line(name: &str, cells: &[&str]) -> String {
    let [first, each] = WIDTHS;
    // Two blanks at least, by which cells are told apart.
    let cells: String = cells.iter().map(|cell| format!("{cell:<0$}  ", each - 2)).collect();
    format!("{name:<0$}  {1}\n", first - 2, cells.trim_end())
}

#[cfg(test)]
mod tests;
