//! The same app without ten: how long it takes from being started to its first answer. That
//! much of a wake is not ten's.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ten_testkit::{Request, http, wait_until};

use crate::{failure::Failure, packages::path_outside_homes, tree};

/// As long as ten would wait for it (startup_timeout).
const DEADLINE: Duration = Duration::from_secs(10);

/// Starts it, asks until it answers, ends it.
pub(crate) fn first_answer() -> Result<Duration, Failure> {
    let folder = tempfile::tempdir().map_err(Failure::io("make a temporary folder"))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|free| free.local_addr());
    let address = address.map_err(Failure::io("find a free port"))?;
    let began = Instant::now();
    let child = Command::new("python3")
        .arg("app.py")
        .current_dir(tree::root().join("examples/notes"))
        .env("PATH", path_outside_homes())
        .env("PORT", address.port().to_string())
        .env("DATABASE_PATH", folder.path().join("notes.db"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _app = Ended(child.map_err(Failure::io("start python3"))?);
    let answered = wait_until(DEADLINE, || answers(address));
    let took = began.elapsed();
    match answered && fs::exists(folder.path().join("notes.db")).unwrap_or_default() {
        true => Ok(took),
        false => Err(Failure::new("examples/notes does not answer when started by itself")),
    }
}

fn answers(address: SocketAddr) -> bool {
    http::send(address, &Request::get("localhost", "/")).is_ok_and(|answer| answer.status == 200)
}

/// A child that does not outlive its value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
