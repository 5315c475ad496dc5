//! Programs of the system that tests need, and the Debian packages that hold them.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use crate::{failure::Failure, python, shell};

/// Program, package, what for.
const NEEDED: [(&str, &str, &str); 19] = [
    ("cc", "build-essential", "compiles SQLite and links everything"),
    ("python3", "python3", "runs the example tenants"),
    ("kill", "procps", "tests stop and continue processes"),
    ("setpriv", "util-linux", "tests run ten as an ordinary user"),
    ("systemctl", "systemd", "the manager of units runs one in the machine"),
    ("bwrap", "bubblewrap", "raises walls beside which ten's are measured"),
    ("ip", "iproute2", "tests make hosts and networks of their own"),
    ("nft", "nftables", "tests change the filters of such hosts"),
    ("mkfs.ext4", "e2fsprogs", "makes the images that bound instances"),
    ("mkfs.xfs", "xfsprogs", "makes a disk of the machine"),
    ("mkfs.btrfs", "btrfs-progs", "makes another"),
    ("curl", "curl", "sends and takes bodies of a gigabyte"),
    ("haproxy", "haproxy", "says with the PROXY protocol who the client is"),
    ("nghttp", "nghttp2-client", "speaks HTTP/2 as others understand it"),
    ("nghttpd", "nghttp2-server", "answers in HTTP/2 as others understand it"),
    ("node", "nodejs", "a real server as a tenant"),
    ("slowhttptest", "slowhttptest", "plays thousands of slow clients"),
    ("varnishtest", "varnish", "runs the scripts about framing and keep-alive"),
    (
        "qemu-system-x86_64",
        "qemu-system-x86",
        "boots the machine whose kernel has what this one lacks",
    ),
];

/// A module that Debian keeps apart from its Python: no program tells whether it is there.
const ENVIRONMENTS: (&str, &str, &str) =
    ("python3 -m venv", "python3-venv", "holds the Python that conformance cases stand on");

/// Installs what is missing, or says what to install.
pub(crate) fn ensure() -> Result<(), Failure> {
    let path = path_outside_homes();
    let mut missing: Vec<_> = NEEDED.iter().filter(|(name, ..)| !is_in(&path, name)).collect();
    if !python::makes_environments()? {
        missing.push(&ENVIRONMENTS);
    }
    if missing.is_empty() {
        return Ok(());
    }
    for (program, package, purpose) in &missing {
        println!("missing  {program} ({purpose}), in the package {package}");
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package, _)| *package).collect();
    let install = format!("apt-get install {}", packages.join(" "));
    if !is_in_path("apt-get") {
        return Err(Failure::new("programs are missing; on Debian they come with").with(install));
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("programs are missing; as root run").with(install));
    }
    shell::run("apt-get", &["update", "--quiet"])?;
    let mut words = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    words.extend(packages);
    shell::run("apt-get", &words)
}

/// Whether a program is found as a shell would find it.
pub(crate) fn is_in_path(program: &str) -> bool {
    is_in(&env::var_os("PATH").unwrap_or_default(), program)
}

/// Whether a program is in one of the folders of a PATH.
pub(crate) fn is_in(path: &OsStr, program: &str) -> bool {
    env::split_paths(path).any(|folder| folder.join(program).is_file())
}

/// PATH without home folders. Instances do not see those, and a `python3` there may be a
/// stand-in that needs the rest of the home folder.
pub(crate) fn path_outside_homes() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let home = env::var_os("HOME").filter(|home| home != "/").map(PathBuf::from);
    let is_home = |folder: &PathBuf| {
        ["/root", "/home"].iter().any(|homes| folder.starts_with(homes))
            || home.as_ref().is_some_and(|home| folder.starts_with(home))
    };
    let folders = env::split_paths(&path).filter(|folder| !is_home(folder));
    // What was split can be joined.
    env::join_paths(folders).unwrap_or(path)
}
