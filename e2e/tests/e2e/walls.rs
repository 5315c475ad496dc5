//! What a tenant behind namespaces can see and do.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
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

/// Its own folder can hold its command, and so it may put anything there in its place.
#[test]
fn a_command_of_its_own_holds_up_nobody_else() {
    let own = "[service.own]\ncommand = \"{instance_dir}/run\"\n";
    let ten = Ten::with_config(&(app("", "") + own)).start();
    let folder = ten.data_dir().join("own/a");
    fs::create_dir_all(&folder).unwrap();
    let pipe = folder.join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let run = folder.join("run");
    fs::write(&run, format!("#!{}\n", pipe.display())).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    let refused = ten.get("a.own.localhost", "/");
    assert!([502, 503].contains(&refused.status), "{}", refused.text());
    fs::remove_file(&run).unwrap();
    mknodat(CWD, &run, FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert_eq!(ten.cli(&["spawn", "own:a"]).code, Some(1));
    assert_eq!(ten.get("a.app.localhost", "/").text(), "app:a");
    fs::remove_dir_all(&folder).unwrap();
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
        &data.join(".state/ten.db").display().to_string(),
        &data.join(".run").display().to_string(),
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

fn owner(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().uid()
}

/// Its real, effective, saved and file system uids, as it sees them.
fn uids(ten: &Ten, host: &str) -> Vec<u32> {
    let status = ten.get(host, "/read?path=/proc/self/status").text();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    line.split_whitespace().map(|uid| uid.parse().unwrap()).collect()
}

#[test]
fn each_instance_is_a_user_of_its_own_and_stays_it() {
    let mut ten = Ten::with_config(&app("", "")).start();
    let folder = |id: &str| ten.data_dir().join("app").join(id);
    let (a, b) = (folder("a"), folder("b"));
    let first = uids(&ten, "a.app.localhost");
    let second = uids(&ten, "b.app.localhost");
    assert_ne!(first, second);
    for (uids, folder) in [(&first, &a), (&second, &b)] {
        assert_eq!(*uids, [owner(folder); 4]);
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o7777, 0o700);
    }
    let env = ten.get("a.app.localhost", "/env").text();
    assert!(env.contains(&format!("HOME={}\n", a.display())), "{env}");
    assert!(!env.contains("USER="), "{env}");
    ten.stop();
    ten.start();
    assert_eq!(uids(&ten, "b.app.localhost"), second);
    assert_eq!(uids(&ten, "a.app.localhost"), first);
    assert_ne!(uids(&ten, "c.app.localhost"), second);
}

/// What was left by another user becomes the instance's own, and nothing else does.
#[test]
fn a_folder_changes_hands_with_all_that_is_in_it() {
    let mut ten = Ten::with_config(&app("", "user = \"inherit\"")).start();
    let own = ten.data_dir().join("app/a");
    let path = own.join("kept").display().to_string();
    ten.get("a.app.localhost", &format!("/write?path={path}&text=data"));
    assert_eq!(owner(&own), 0);
    ten.stop();
    let stranger = ten.config_path().with_file_name("stranger");
    fs::write(&stranger, "").unwrap();
    fs::create_dir_all(own.join("deep/deeper")).unwrap();
    fs::write(own.join("deep/deeper/file"), "").unwrap();
    symlink(&stranger, own.join("deep/link")).unwrap();
    for (user, uid) in [("dynamic", None), ("nobody", Some(65534)), ("inherit", Some(0))] {
        ten.write_config(
            &app("", &format!("user = \"{user}\""))
                .replace("@tenant", &ten_testkit::tenant_binary().to_string_lossy()),
        );
        ten.start();
        assert_eq!(ten.get("a.app.localhost", &format!("/read?path={path}")).text(), "data");
        let written = ten.get("a.app.localhost", &format!("/write?path={path}&text=data"));
        assert_eq!(written.status, 200, "{user}: {}", written.text());
        let uid = uid.unwrap_or_else(|| owner(&own));
        assert_eq!(uids(&ten, "a.app.localhost"), [uid; 4], "{user}");
        for name in ["", "kept", "deep/deeper/file", "deep/link"] {
            assert_eq!(owner(&own.join(name)), uid, "{user}: {name}");
        }
        assert_eq!(owner(&stranger), 0, "{user}");
        ten.stop();
    }
}

#[test]
fn bind_shows_what_the_walls_hide() {
    let shown = tempfile::tempdir().unwrap();
    let path = |name: &str| shown.path().join(name).display().to_string();
    for name in ["changed", "kept", "hidden"] {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name) + "/file", name).unwrap();
    }
    let keys =
        format!("user = \"inherit\"\nbind = [\"{}\", \"{}:ro\"]", path("changed"), path("kept"));
    let ten = Ten::with_config(&app("", &keys)).start();
    let read = |name: &str| ten.get("a.app.localhost", &format!("/read?path={}/file", path(name)));
    assert_eq!((read("changed").text(), read("kept").text()), ("changed".into(), "kept".into()));
    assert_eq!(read("hidden").status, 403);
    let write = |name: &str| {
        ten.get("a.app.localhost", &format!("/write?path={}/new&text=x", path(name))).status
    };
    assert_eq!((write("changed"), write("kept")), (200, 403));
    assert!(fs::exists(path("changed") + "/new").unwrap());
}

/// It is read-only else, and what is hidden in it stays hidden.
#[test]
fn bind_makes_the_workdir_writable() {
    let mut ten = Ten::with_config(&app("", "user = \"inherit\"")).start();
    let (config, data) = (fs::read_to_string(ten.config_path()).unwrap(), ten.data_dir());
    let new = ten.config_path().with_file_name("new");
    let write = |ten: &Ten| {
        let path = format!("/write?path={}&text=x", new.display());
        ten.get("a.app.localhost", &path).status
    };
    assert_eq!((write(&ten), new.exists()), (403, false));
    ten.stop();
    ten.write_config(&format!("{config}bind = [\".\"]\n"));
    ten.start();
    assert_eq!((write(&ten), new.exists()), (200, true));
    ten.get(
        "b.app.localhost",
        &format!("/write?path={}&text=b", data.join("app/b/secret").display()),
    );
    for hidden in ["app/b/secret", ".state/ten.db"] {
        assert!(data.join(hidden).exists(), "{hidden}");
        let path = data.join(hidden).display().to_string();
        let read = ten.get("a.app.localhost", &format!("/read?path={path}"));
        assert_eq!(read.status, 403, "{hidden}: {}", read.text());
    }
}

/// A command that cannot run inside says before the start what is missing, and what to do.
#[test]
fn what_the_command_needs_is_looked_at_before_the_start() {
    let tools = tempfile::tempdir().unwrap();
    let script = |name: &str, interpreter: &Path| {
        let path = tools.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!{} -e\nexec sleep 100\n", interpreter.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let open = |mode| fs::set_permissions(tools.path(), fs::Permissions::from_mode(mode)).unwrap();
    open(0o755);
    let interpreter = tools.path().join("elsewhere/sh");
    let command = script("bin/app", &interpreter);
    script("elsewhere/x", Path::new("/bin/sh"));
    fs::copy("/bin/sh", &interpreter).unwrap();
    let config = |keys: &str| {
        let command = command.display();
        format!("[service.app]\ncommand = \"{command}\"\nlisten = \"none\"\n{keys}\n")
    };
    let mut ten = Ten::with_config(&config("")).start();
    let spawn = |ten: &Ten, says: &[&str]| {
        let output = ten.cli(&["spawn", "app:a"]);
        assert_eq!(output.code, Some(i32::from(!says.is_empty())), "{output:?}");
        for words in says {
            assert!(output.stderr.contains(words), "{words} is not in {}", output.stderr);
        }
    };
    let hidden = interpreter.display().to_string();
    spawn(&ten, &[&hidden, "not visible inside the walls", "bind = ["]);
    ten.stop();
    ten.write_config(&config(&format!("bind = [\"{}:ro\"]", tools.path().display())));
    open(0o700);
    ten.start();
    spawn(&ten, &["is closed to it", "chmod o+rX"]);
    open(0o755);
    spawn(&ten, &[]);
}
