//! Scripts of `varnishtest` (Debian's `varnish`), which plays both the client and the instance:
//! framing and keep-alive, header by header. They are in `vtc/`.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use ten_conformance::{program, service};
use ten_testkit::Ten;

#[test]
fn every_script_of_varnishtest_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vtc");
    let entries =
        fs::read_dir(folder).expect("the scripts").map(|entry| entry.expect("a script").path());
    let mut scripts: Vec<PathBuf> = entries.collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    let failures: Vec<String> = scripts.iter().filter_map(|script| run(script)).collect();
    assert!(
        failures.is_empty(),
        "{} of {} fail:\n{}",
        failures.len(),
        scripts.len(),
        failures.join("\n")
    );
}

/// What `varnishtest` has to say, if it does not like it.
fn run(script: &Path) -> Option<String> {
    // The script listens there before its client sends anything.
    let free =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let backend = free.expect("a free port");
    let command = format!("{} {backend}", program("forward-backend").display());
    let ten = Ten::with_config(&service("vtc", &command, "")).start();
    let output = Command::new("varnishtest")
        .args(["-t", "20", "-D", "host=a.vtc.localhost"])
        .args(["-D", &format!("ten={}", ten.address()), "-D", &format!("backend={backend}")])
        .arg(script)
        .output()
        .expect("varnishtest is installed: cargo xtask test sees to it");
    let said = String::from_utf8_lossy(&output.stdout);
    (!output.status.success()).then(|| format!("{}\n{said}", script.display()))
}
