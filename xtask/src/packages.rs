//! Programs of the system that tests need, and the Debian packages that hold them.

use std::{env, path::Path};

use crate::{failure::Failure, shell};

/// Program, package, what for.
const NEEDED: [(&str, &str, &str); 4] = [
    ("cc", "build-essential", "compiles SQLite and links everything"),
    ("python3", "python3", "runs the example tenants"),
    ("kill", "procps", "tests stop and continue processes"),
    ("setpriv", "util-linux", "tests run ten as an ordinary user"),
];

/// Installs what is missing, or says what to install.
pub(crate) fn ensure() -> Result<(), Failure> {
    let missing: Vec<_> = NEEDED.iter().filter(|(program, ..)| !is_in_path(program)).collect();
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
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file())
}
