//! The same without root, through user namespaces.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{PermissionsExt, chown},
    process::{Command, Stdio},
};

use rustix::process::Signal;
use ten_testkit::{http, http::Request, process, ten_binary, tenant_binary};

/// nobody, nogroup.
const UID: u32 = 65534;

#[test]
fn an_ordinary_user_serves_behind_namespaces() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The build folder may be closed to other users.
    for binary in [ten_binary(), tenant_binary()] {
        fs::copy(&binary, folder.path().join(binary.file_name().unwrap())).unwrap();
    }
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(UID), Some(UID)).unwrap();
    let config = format!(
        "[service.app]\ncommand = \"{}\"\nsocket = \"{{instance_dir}}/s\"\n",
        folder.path().join("tenant").display()
    );
    fs::write(home.join("tenement.toml"), config).unwrap();
    let uid = UID.to_string();
    let mut server = Command::new("setpriv")
        .args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"])
        .arg(folder.path().join("ten"))
        .args(["serve", "--port", "0", "--data-dir"])
        .arg(home.join("data"))
        .current_dir(&home)
        .env("HOME", &home)
        .stderr(Stdio::piped())
        .spawn()
        .expect("setpriv");
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut said = String::new();
    let address = loop {
        let line = lines.next().unwrap_or_else(|| panic!("it ended: {said}"));
        said += &(line.clone() + "\n");
        if let Some((_, rest)) = line.split_once("listening on http://") {
            break rest.split(' ').next().unwrap().parse().expect("an address");
        }
    };
    let reader = std::thread::spawn(move || lines.collect::<Vec<_>>());
    let get = |host: &str, path: &str| http::send(address, &Request::get(host, path)).unwrap();
    let woken = get("a.app.localhost", "/");
    assert_eq!((woken.status, woken.text().as_str()), (200, "app:a"), "{said}");
    assert_eq!(get("a.app.localhost", "/proc").text().lines().count(), 2);
    assert_eq!(get("a.app.localhost", "/pid").text(), "2");
    let planted = get("a.app.localhost", "/write?path=/tmp/planted&text=x");
    assert_eq!(planted.status, 200, "{}", planted.text());
    assert!(!fs::exists("/tmp/planted").unwrap());
    let secret = home.join("data/ten.db").display().to_string();
    assert_eq!(get("a.app.localhost", &format!("/read?path={secret}")).status, 403);
    get("a.app.localhost", "/fork?kind=daemon");
    process::signal(server.id(), Signal::TERM).unwrap();
    let status = server.wait().unwrap();
    let rest = reader.join().unwrap();
    assert!(status.success(), "{status}: {rest:?}");
    let left = process::all().into_iter().filter(|process| {
        process.argv.iter().any(|arg| arg.contains(&*folder.path().to_string_lossy()))
    });
    assert_eq!(left.collect::<Vec<_>>(), []);
}
