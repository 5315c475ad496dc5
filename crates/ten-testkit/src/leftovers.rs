//! What must be gone once a server has stopped.
//!
//! Found from outside, by the one thing that all of it shares: the name of the test's folder.
//! It is in the arguments of ten's processes, in the environment of every tenant and its
//! relatives (`DATA_DIR`), in the path of every mount, and in that of the image of every loop
//! device. Cgroups, ports and networks do not
//! carry it, so those are noted while the tenants that have them still run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use crate::process::{self, Process};

/// The folder of sockets that services have by default.
const DEFAULT_SOCKETS: &str = "/tmp/tenement";

/// The traces that one server may leave.
#[derive(Debug)]
pub(crate) struct Footprint {
    folder: PathBuf,
    services: Vec<String>,
    cgroups: BTreeSet<PathBuf>,
    ports: BTreeSet<u16>,
    /// Each held open: the kernel would give the name of one that is gone to the next.
    networks: BTreeMap<PathBuf, File>,
    /// Devices of the way out of private networks that were there before.
    devices: BTreeSet<String>,
}

impl Footprint {
    /// Of a server whose config and data are in `folder`.
    pub(crate) fn new(folder: &Path, config: &str) -> Self {
        let services = config.lines().filter_map(service_of).map(str::to_owned).collect();
        Self {
            folder: folder.into(),
            services,
            cgroups: BTreeSet::new(),
            ports: BTreeSet::new(),
            networks: BTreeMap::new(),
            devices: ways_out(),
        }
    }

    /// Notes a port that must be free in the end.
    pub(crate) fn add_port(&mut self, port: u16) {
        self.ports.insert(port);
    }

    /// Notes cgroups, ports and networks of the tenants that run now.
    pub(crate) fn note(&mut self) {
        let root = cgroup_root();
        let own = process::read(std::process::id());
        let own_network = own.as_ref().and_then(Process::network);
        let own = own.and_then(|own| own.cgroup());
        for process in self.processes() {
            let Some(port) = process.env.iter().find_map(|var| var.strip_prefix("PORT=")) else {
                continue;
            };
            match process.held_network() {
                Some((network, held)) if Some(&network) != own_network.as_ref() => {
                    self.networks.insert(network, held);
                }
                _ => self.ports.extend(port.parse::<u16>()),
            }
            if let (Some(root), Some(path)) = (&root, process.cgroup())
                && Some(&path) != own.as_ref()
            {
                let cgroup = root.join(path.trim_start_matches('/'));
                // The server's folder goes only when all in it have gone: also those of
                // instances that sleep by now.
                self.cgroups.extend(cgroup.parent().map(Path::to_path_buf));
                self.cgroups.insert(cgroup);
            }
        }
    }

    /// Everything that is there now, a line each.
    pub(crate) fn found(&self) -> Vec<String> {
        let mut found = Vec::new();
        for process in self.processes() {
            let Process { pid, parent, state, argv, .. } = process;
            found.push(format!("process {pid} (parent {parent}, {state}): {}", argv.join(" ")));
        }
        found.extend(self.mounts().iter().map(|mount| format!("mount {mount}")));
        found.extend(self.devices().iter().map(|image| format!("loop device of {image}")));
        let cgroups = self.cgroups.iter().filter(|path| path.exists());
        found.extend(cgroups.map(|path| format!("cgroup {}", path.display())));
        let sockets = self.sockets();
        found.extend(sockets.iter().map(|path| format!("socket or pipe {}", path.display())));
        found.extend(self.listeners());
        found.extend(self.dwellers());
        let devices = ways_out();
        found.extend(devices.difference(&self.devices).map(|name| format!("device {name}")));
        found
    }

    /// Processes that belong to the server or its tenants.
    pub(crate) fn processes(&self) -> Vec<Process> {
        process::all().into_iter().filter(|process| process.names(&self.folder)).collect()
    }

    /// Mount points below the folder (proc_pid_mountinfo(5): the fifth field).
    pub(crate) fn mounts(&self) -> Vec<String> {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = text.lines().filter_map(|line| line.split(' ').nth(4));
        points.filter(|point| Path::new(point).starts_with(&self.folder)).map(Into::into).collect()
    }

    /// Images below the folder that are disks (loop(4)). One that has been removed since is
    /// called so, too: its path is followed by ` (deleted)`.
    fn devices(&self) -> Vec<String> {
        let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
        let image =
            |device: fs::DirEntry| fs::read_to_string(device.path().join("loop/backing_file")).ok();
        let images = devices.filter_map(image).map(|image| image.trim_end().to_owned());
        images.filter(|image| Path::new(image).starts_with(&self.folder)).collect()
    }

    fn sockets(&self) -> Vec<PathBuf> {
        let mut sockets = Vec::new();
        walk(&self.folder, &mut sockets);
        for entry in fs::read_dir(DEFAULT_SOCKETS).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = |service: &String| {
                name.strip_prefix(service.as_str()).is_some_and(|rest| rest.starts_with('-'))
            };
            if self.services.iter().any(ours) {
                sockets.push(entry.path());
            }
        }
        sockets
    }

    /// Who listens on our ports and is not known to be someone else's: by now the port may
    /// have been given to the tenant of another server.
    fn listeners(&self) -> Vec<String> {
        let listening =
            listening_sockets().into_iter().filter(|(port, _)| self.ports.contains(port));
        let owned: Vec<_> = listening.map(|(port, inode)| (port, owner(&inode))).collect();
        let ours = owned.into_iter().filter(|(_, owner)| {
            owner.as_ref().is_none_or(|owner| owner.names(&self.folder) || !serves(owner))
        });
        ours.map(|(port, owner)| match owner {
            Some(owner) => format!("port {port}, by process {}", owner.pid),
            None => format!("port {port}"),
        })
        .collect()
    }

    /// Whoever lives in the network of a tenant of ours.
    fn dwellers(&self) -> Vec<String> {
        let all = if self.networks.is_empty() { Vec::new() } else { process::all() };
        let dwells = |process: &Process| {
            process.network().is_some_and(|net| self.networks.contains_key(&net))
        };
        let dwellers = all.into_iter().filter(dwells);
        dwellers.map(|process| format!("a tenant's network, by process {}", process.pid)).collect()
    }
}

/// Network devices that are called as those of servers are (proc_pid_net(5)). Tests in which one
/// is made have a network of their own.
fn ways_out() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let names = text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    names.filter(|name| name.starts_with("ten-")).map(str::to_owned).collect()
}

/// Whether a process is some ten's or some ten's tenant.
fn serves(process: &Process) -> bool {
    process.env.iter().any(|variable| variable.starts_with("TENEMENT_INSTANCE="))
        || process.argv.iter().any(|word| word == "--data-dir")
        || process.parent != 1 && process::read(process.parent).is_some_and(|p| serves(&p))
}

/// The name in `[service.NAME]` or `[process.NAME]`.
fn service_of(line: &str) -> Option<&str> {
    let section = line.trim().strip_prefix('[')?.strip_suffix(']')?;
    let name = section.strip_prefix("service.").or_else(|| section.strip_prefix("process."))?;
    (!name.contains('.')).then(|| name.trim_matches('"'))
}

/// Sockets and FIFOs in a folder and below.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            walk(&entry.path(), found);
        } else if kind.is_socket() || kind.is_fifo() {
            found.push(entry.path());
        }
    }
}

/// Where the v2 hierarchy is mounted.
fn cgroup_root() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = text.lines().find(|line| line.contains(" - cgroup2 "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

/// Ports that are listened on, with their sockets' inodes (proc_pid_net(5)).
fn listening_sockets() -> Vec<(u16, String)> {
    const LISTEN: &str = "0A";
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            let (Some(local), Some(&LISTEN), Some(inode)) =
                (fields.get(1), fields.get(3), fields.get(9))
            else {
                continue;
            };
            let port = local.rsplit_once(':').and_then(|(_, p)| u16::from_str_radix(p, 16).ok());
            found.extend(port.map(|port| (port, (*inode).to_owned())));
        }
    }
    found
}

fn owner(inode: &str) -> Option<Process> {
    let wanted = PathBuf::from(format!("socket:[{inode}]"));
    process::all().into_iter().find(|process| {
        let files = fs::read_dir(format!("/proc/{}/fd", process.pid));
        let mut files = files.into_iter().flatten().flatten();
        files.any(|file| fs::read_link(file.path()).is_ok_and(|target| target == wanted))
    })
}

#[cfg(test)]
mod tests;
