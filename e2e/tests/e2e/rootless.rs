//! The same without root, through user namespaces.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use rustix::process::Signal;
use tempfile::TempDir;
use ten_testkit::{Response, http, http::Request, process, ten_binary, tenant_binary};

/// nobody, nogroup.
pub(crate) const UID: u32 = 65534;

/// A server of an ordinary user. Dropping it stops it and checks that nothing is left.
pub(crate) struct Rootless {
    folder: TempDir,
    server: Child,
    address: SocketAddr,
    said: Option<JoinHandle<Vec<String>>>,
}

impl Rootless {
    /// `@tenant` in the config stands for the tenant; `furnish` puts more beside it.
    pub(crate) fn start(config: &str, furnish: impl Fn(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // The build folder may be closed to other users.
        let copies = [ten_binary(), tenant_binary()].map(|binary| {
            let copy = folder.path().join(binary.file_name().unwrap());
            fs::copy(&binary, &copy).unwrap();
            copy
        });
        let home = folder.path().join("home");
        fs::create_dir(&home).unwrap();
        chown(&home, Some(UID), Some(UID)).unwrap();
        let config = config.replace("@tenant", &copies[1].to_string_lossy());
        fs::write(home.join("tenement.toml"), config).unwrap();
        furnish(&home);
        let mut server = as_ordinary_user(&copies[0])
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
        let said = Some(thread::spawn(move || lines.collect()));
        Self { folder, server, address, said }
    }

    pub(crate) fn get(&self, host: &str, path: &str) -> Response {
        http::send(self.address, &Request::get(host, path)).unwrap()
    }

    /// What a command of the same user says on stderr.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        let ten = self.folder.path().join(ten_binary().file_name().unwrap());
        let mut command = as_ordinary_user(&ten);
        let command = command.args(args).arg("--data-dir").arg(self.home().join("data"));
        let output = command.current_dir(self.home()).env("HOME", self.home()).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// What a command inside an instance writes to stdout.
    pub(crate) fn exec(&self, instance: &str, words: &[&str]) -> String {
        let mut command = Command::new(ten_binary());
        command.env("TENEMENT_DATA_DIR", self.home().join("data")).current_dir(self.home());
        let output = command.args(["exec", instance, "--"]).args(words).output().unwrap();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {complained}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn warden(&self) -> u32 {
        self.server.id()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }
}

fn as_ordinary_user(program: &Path) -> Command {
    let uid = UID.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"]).arg(program);
    command
}

impl Drop for Rootless {
    fn drop(&mut self) {
        process::signal(self.server.id(), Signal::TERM).unwrap();
        let status = self.server.wait().unwrap();
        let said = self.said.take().unwrap().join().unwrap();
        let folder = self.folder.path().to_string_lossy();
        let left = process::all()
            .into_iter()
            .filter(|process| process.argv.iter().any(|arg| arg.contains(&*folder)));
        let left: Vec<_> = left.collect();
        if thread::panicking() {
            return eprintln!("it said: {said:#?}");
        }
        assert!(status.success(), "{status}: {said:?}");
        assert_eq!(left, []);
    }
}

#[test]
fn an_ordinary_user_serves_behind_namespaces() {
    let config = "[service.app]\ncommand = \"@tenant\"\nsocket = \"{instance_dir}/s\"\n";
    let ten = Rootless::start(config, |_| ());
    let woken = ten.get("a.app.localhost", "/");
    assert_eq!((woken.status, woken.text().as_str()), (200, "app:a"));
    let is_front = |p: &process::Process| {
        p.parent == ten.server.id() && p.argv.iter().any(|arg| arg == "front")
    };
    crate::cage::gave_up(process::all().into_iter().find(is_front).expect("a front").pid);
    assert_eq!(ten.get("a.app.localhost", "/proc").text().lines().count(), 2);
    assert_eq!(ten.get("a.app.localhost", "/pid").text(), "2");
    let planted = ten.get("a.app.localhost", "/write?path=/tmp/planted&text=x");
    assert_eq!(planted.status, 200, "{}", planted.text());
    assert!(!fs::exists("/tmp/planted").unwrap());
    let secret = ten.home().join("data/.state/ten.db").display().to_string();
    assert_eq!(ten.get("a.app.localhost", &format!("/read?path={secret}")).status, 403);
    ten.get("a.app.localhost", "/fork?kind=daemon");
}

/// Nothing that an ordinary user could set would bound what it owns.
#[test]
fn without_root_a_quota_is_refused_by_name() {
    let config = "[service.app]\ncommand = \"@tenant\"\nsocket = \"{instance_dir}/s\"\n\
                  storage_quota_mb = 10\n";
    let ten = Rootless::start(config, |_| ());
    assert_eq!(ten.get("a.app.localhost", "/").status, 503);
    let health = Command::new(ten.folder.path().join("ten"))
        .args(["health", "app:a", "--data-dir"])
        .arg(ten.home().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&health.stdout).into_owned();
    assert!(said.contains("cannot apply storage_quota_mb"), "{said}");
    assert!(said.contains("run ten as root, or remove storage_quota_mb"), "{said}");
    assert!(!ten.home().join("data/.images").exists());
}
