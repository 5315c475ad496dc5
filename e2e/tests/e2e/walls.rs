//! What a tenant behind namespaces can see and do.

use ten_testkit::Ten;

use crate::service::{PATIENCE, app};

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn a_tenant_sees_only_itself_in_proc() {
    let ten = Ten::with_config(&app("", "")).start();
    ten.get("b.app.localhost", "/");
    let seen = ten.get("a.app.localhost", "/proc").text();
    // Its init, and itself.
    assert_eq!(lines(&seen).len(), 2, "{seen}");
    assert_eq!(ten.get("a.app.localhost", "/pid").text(), "2");
}

#[test]
fn it_keeps_forking_after_its_first_child_died() {
    let ten = Ten::with_config(&app("", "")).start();
    for round in 0..5 {
        let child = ten.get("a.app.localhost", "/fork?kind=child");
        assert_eq!(child.status, 200, "round {round}: {}", child.text());
        let killed = ten.get("a.app.localhost", &format!("/signal?pid={}&sig=9", child.text()));
        assert_eq!(killed.status, 200, "round {round}: {}", killed.text());
    }
    ten.wait_until("killed children are reaped", PATIENCE, || {
        lines(&ten.get("a.app.localhost", "/proc").text()).len() == 2
    });
}

#[test]
fn it_cannot_see_or_signal_another_tenant_or_ten() {
    let ten = Ten::with_config(&app("", "")).start();
    ten.get("a.app.localhost", "/");
    ten.get("b.app.localhost", "/");
    let mut others: Vec<u32> = ten.processes_of("app:b").iter().map(|p| p.pid).collect();
    others.extend([ten.warden(), ten.front().unwrap()]);
    for pid in others {
        let answer = ten.get("a.app.localhost", &format!("/signal?pid={pid}&sig=9"));
        assert_eq!(answer.status, 403, "pid {pid}: {}", answer.text());
        let answer = ten.get("a.app.localhost", &format!("/read?path=/proc/{pid}/environ"));
        assert_eq!(answer.status, 403, "pid {pid}: {}", answer.text());
    }
    // Everyone it can reach at all is itself.
    let answer = ten.get("b.app.localhost", "/count");
    assert_eq!(answer.text(), "2", "b was touched");
}

#[test]
fn it_cannot_read_or_write_what_belongs_to_others() {
    let ten = Ten::with_config(&app("", "")).start();
    let data = ten.data_dir();
    let secret = data.join("app/b/secret").display().to_string();
    ten.get("b.app.localhost", &format!("/write?path={secret}&text=b"));
    ten.get("a.app.localhost", "/");
    let own = data.join("app/a/own").display().to_string();
    assert_eq!(ten.get("a.app.localhost", &format!("/write?path={own}&text=a")).status, 200);
    assert_eq!(std::fs::read_to_string(&own).unwrap(), "a");
    for path in [
        secret.as_str(),
        &data.join("ten.db").display().to_string(),
        &data.join("ten.sock").display().to_string(),
        &data.join(".run").display().to_string(),
        &data.join("app/b/s").display().to_string(),
        "/proc/1/environ",
        "/proc/1/root/etc/passwd",
    ] {
        let read = ten.get("a.app.localhost", &format!("/read?path={path}"));
        assert_eq!(read.status, 403, "reads {path}: {}", read.text());
    }
    let planted = data.join("app/c").display().to_string();
    for path in [secret.as_str(), &planted, "/etc/planted", "/usr/bin/planted", "/sys/planted"] {
        let written = ten.get("a.app.localhost", &format!("/write?path={path}&text=x"));
        let really = std::fs::read_to_string(path).is_ok_and(|text| text == "x");
        assert!(!really, "wrote {path}: {}", written.text());
    }
    assert_eq!(ten.get("b.app.localhost", &format!("/read?path={secret}")).text(), "b");
}

#[test]
fn its_tmp_is_its_own() {
    let ten = Ten::with_config(&app("", "")).start();
    for place in ["/tmp", "/var/tmp", "/dev/shm"] {
        let path = format!("{place}/from-a");
        let written = ten.get("a.app.localhost", &format!("/write?path={path}&text=a"));
        assert_eq!(written.status, 200, "{place}: {}", written.text());
        assert!(!std::path::Path::new(&path).exists(), "{path} is on the host");
        assert_eq!(ten.get("b.app.localhost", &format!("/read?path={path}")).status, 403);
    }
}

#[test]
fn it_inherits_nothing_it_was_not_given() {
    for listen in ["port", "activation"] {
        let config = app(&format!("--listen {listen}"), &format!("listen = \"{listen}\""));
        let ten = Ten::with_config(&config).env("SECRET_OF_TEN", "x").start();
        let env = ten.get("a.app.localhost", "/env").text();
        assert!(!env.contains("SECRET_OF_TEN"), "{env}");
        for variable in ["PORT=", "SOCKET_PATH=", "DATA_DIR=", "TENEMENT_INSTANCE=app:a"] {
            assert!(env.contains(variable), "{variable} is missing: {env}");
        }
        let fds = ten.get("a.app.localhost", "/fds").text();
        let foreign = |line: &&str| {
            let target = line.split_once(' ').map_or("", |(_, target)| target);
            !["/dev/null", "socket:", "pipe:", "anon_inode:", "/proc/"]
                .iter()
                .any(|own| target.starts_with(own))
                && !target.contains("/output/")
                && !target.contains("app:a")
        };
        assert_eq!(fds.lines().filter(foreign).collect::<Vec<_>>(), [""; 0], "{fds}");
    }
}
