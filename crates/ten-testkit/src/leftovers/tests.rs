use std::{
    net::TcpListener,
    os::unix::net::UnixListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use super::*;
use crate::wait_until;

/// A process that lives until it is killed, marked as a tenant of the folder.
fn tenant(folder: &Path) -> Child {
    Command::new("sleep")
        .arg("60")
        .env_clear()
        .env("DATA_DIR", folder.join("data/api/a"))
        .env("TENEMENT_INSTANCE", "api:a")
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn an_untouched_folder_has_none() {
    let folder = TempDir::new().unwrap();
    assert_eq!(Footprint::new(folder.path(), "").found(), [""; 0]);
}

#[test]
fn a_living_process_is_found_and_a_dead_one_is_not() {
    let folder = TempDir::new().unwrap();
    let footprint = Footprint::new(folder.path(), "");
    let mut child = tenant(folder.path());
    let found = || wait_until(Duration::from_secs(5), || !footprint.found().is_empty());
    assert!(found(), "found as soon as it has executed its program");
    assert!(footprint.found()[0].contains("sleep 60"), "{:?}", footprint.found());
    let other = Footprint::new(Path::new("/tmp/another-folder"), "");
    assert_eq!(other.found(), [""; 0]);

    child.kill().unwrap();
    // Not reaped yet: dead is enough.
    assert!(wait_until(Duration::from_secs(5), || footprint.found().is_empty()));
    child.wait().unwrap();
}

#[test]
fn sockets_and_pipes_are_found() {
    let folder = TempDir::new().unwrap();
    let deep = folder.path().join("data/api/a");
    fs::create_dir_all(&deep).unwrap();
    let _socket = UnixListener::bind(deep.join("app.sock")).unwrap();
    fs::write(deep.join("app.db"), "").unwrap();
    let found = Footprint::new(folder.path(), "").found();
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with("data/api/a/app.sock"), "{found:?}");
}

#[test]
fn a_port_that_is_still_listened_on_is_found() {
    let folder = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut footprint = Footprint::new(folder.path(), "");
    footprint.add_port(listener.local_addr().unwrap().port());
    let want = format!("by process {}", std::process::id());
    assert!(footprint.found()[0].ends_with(&want), "{:?}", footprint.found());
    drop(listener);
    assert_eq!(footprint.found(), [""; 0]);
}

#[test]
fn services_are_read_from_the_config() {
    let config = "[settings]\n[service.api]\n[service.api.env]\n[process.\"web\"]\n[instances]";
    assert_eq!(Footprint::new(Path::new("/x"), config).services, ["api", "web"]);
}

#[test]
fn a_disk_in_a_file_is_found() {
    let folder = TempDir::new().unwrap();
    let image = folder.path().join("image");
    File::create(&image).unwrap().set_len(1 << 20).unwrap();
    let attached = Command::new("losetup").args(["--find", "--show"]).arg(&image).output();
    let Some(attached) = attached.ok().filter(|attached| attached.status.success()) else {
        println!("SKIP no loop devices here");
        return;
    };
    let footprint = Footprint::new(folder.path(), "");
    let found = footprint.found();
    let device = String::from_utf8(attached.stdout).unwrap();
    assert!(Command::new("losetup").args(["-d", device.trim()]).status().unwrap().success());
    assert_eq!(found, [format!("loop device of {}", image.display())]);
    assert!(wait_until(Duration::from_secs(5), || footprint.found().is_empty()));
}
