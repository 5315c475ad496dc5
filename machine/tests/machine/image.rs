//! The machine's whole file tree: an initramfs in the "newc" format (kernel:
//! driver-api/early-userspace/buffer-format), uncompressed, because it never travels.

use std::{
    collections::BTreeSet,
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use ten_testkit::{ten_binary, tenant_binary};

use crate::{
    disks,
    kernel::{Kernel, run},
    python,
};

/// Where modules are, in the order of their names.
pub(crate) const MODULES: &str = "/modules";

/// Folders that must be there to be mounted on or written to.
const FOLDERS: [&str; 14] = [
    "dev", "etc", "home", "mnt", "modules", "proc", "root", "run", "sys", "tmp", "usr", "var",
    "var/lib", "var/tmp",
];

/// Programs of the host's that cases need: what makes images, a trick of tenants, and what makes
/// containers.
const TOOLS: [&str; 3] = ["mkfs.ext4", "chattr", "unshare"];

/// The host's manager of units, which runs one in the machine.
pub(crate) const SYSTEMD: &str = "/lib/systemd/systemd";

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// Writes the image: this program as init, the programs under test, Python, their libraries, the
/// kernel's modules.
pub(crate) fn write(path: &Path, kernel: &Kernel) -> io::Result<()> {
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.folder(Path::new(folder));
    }
    let mut programs =
        vec![("machine", env::current_exe()?), ("ten", ten_binary()), ("tenant", tenant_binary())];
    for tool in TOOLS {
        programs.push((tool, disks::tool(tool)?));
    }
    let mut libraries = BTreeSet::new();
    for (name, from) in &programs {
        archive.file(&Path::new("/bin").join(name), &without_symbols(path, from)?);
        libraries.extend(libraries_of(from)?);
    }
    for part in python::parts()? {
        archive.file(&part.at, &fs::read(&part.from)?);
        // Modules of its library that are linked, and itself.
        if part.at.extension().is_none_or(|extension| extension == "so") {
            libraries.extend(libraries_of(&part.from)?);
        }
    }
    libraries.extend(libraries_of(Path::new(SYSTEMD))?);
    archive.file(Path::new(SYSTEMD), &fs::read(SYSTEMD)?);
    for library in libraries {
        archive.file(&library, &fs::read(&library)?);
    }
    for (number, module) in kernel.modules.iter().enumerate() {
        let name = format!("{MODULES}/{number:02}.ko");
        archive.file(Path::new(&name), &fs::read(module)?);
    }
    archive.file(Path::new("/etc/passwd"), b"root:x:0:0:root:/root:/bin/sh\n");
    archive.file(Path::new("/etc/resolv.conf"), b"nameserver 192.0.2.53\n");
    archive.entry("init", LINK, b"/bin/machine");
    fs::write(path, archive.end())
}

/// Debug symbols are most of a program, and all of it must be unpacked by an interpreted CPU.
fn without_symbols(beside: &Path, program: &Path) -> io::Result<Vec<u8>> {
    let stripped = beside.with_extension("stripped");
    match run(Command::new("strip").arg("-o").arg(&stripped).arg(program)) {
        Ok(_) => fs::read(&stripped),
        Err(_) => fs::read(program),
    }
}

/// The libraries that a program is linked with, and what loads them.
fn libraries_of(program: &Path) -> io::Result<Vec<PathBuf>> {
    let text = run(Command::new("ldd").arg(program)).map_err(io::Error::other)?;
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

/// An archive in the making.
#[derive(Debug, Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    folders: BTreeSet<PathBuf>,
}

impl Archive {
    fn folder(&mut self, path: &Path) {
        if path.as_os_str().is_empty() || !self.folders.insert(path.into()) {
            return;
        }
        self.folder(path.parent().unwrap_or(Path::new("")));
        self.entry(&path.to_string_lossy(), FOLDER, b"");
    }

    /// A file at an absolute path, with the folders above it.
    fn file(&mut self, path: &Path, content: &[u8]) {
        let path = path.strip_prefix("/").unwrap_or(path);
        self.folder(path.parent().unwrap_or(Path::new("")));
        self.entry(&path.to_string_lossy(), PROGRAM, content);
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let links = 1;
        let (size, name_size) = (content.len() as u32, name.len() as u32 + 1);
        // Inode, mode, uid, gid, links, mtime, size, device of it (2), device it is (2),
        // length of the name, checksum (unused).
        let fields = [self.entries, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(name.bytes().chain([0]));
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    /// Names and contents end at multiples of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn end(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, b"");
        self.bytes
    }
}
