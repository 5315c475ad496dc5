//! Whose a folder is: no id that a stranger asks for, and no link, gives one instance what is
//! another's.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};

use ten_testkit::{Ten, tenant_binary};

use crate::{
    quota,
    rootless::Rootless,
    service::{LEVELS, app, has_root, named},
};

/// Variables of a service's `env`.
fn env(service: &str, variables: &[(&str, &str)]) -> String {
    let lines = variables.iter().map(|(name, value)| format!("{name} = \"{value}\"\n"));
    format!("[service.{service}.env]\n{}", lines.collect::<String>())
}

fn config(text: &str) -> String {
    text.replace("@tenant", &tenant_binary().to_string_lossy())
}

fn ask(ten: &Ten, host: &str, path: &str) -> (u16, String) {
    let answer = ten.get(&format!("{host}.localhost"), path);
    (answer.status, answer.text())
}

fn write(ten: &Ten, host: &str, file: &Path, text: &str) {
    let written = ask(ten, host, &format!("/write?path={}&text={text}", file.display()));
    assert_eq!(written.0, 200, "{host}: {}", written.1);
}

fn read(ten: &Ten, host: &str, file: &Path) -> (u16, String) {
    ask(ten, host, &format!("/read?path={}", file.display()))
}

/// The config that makes another's folder an id away is refused, with both places and a way out.
#[test]
fn a_folder_that_an_id_could_name_is_refused() {
    for (values, said) in [
        (["{data_dir}/{id}/app.db", "{data_dir}/uploads/{id}/"], "app:uploads` would hold"),
        (["{data_dir}/{id}", "{data_dir}/{id}-cache"], "some instances would share a folder"),
        (["{data_dir}/x/{id}", "{data_dir}/app/{id}-x/y"], "some instances would share a folder"),
    ] {
        let variables = [("DB", values[0]), ("UP", values[1])];
        let ten = Ten::with_config(&(app("", "") + &env("app", &variables))).prepare();
        let serve = ["serve", "--port", "0", "--bind", "127.0.0.1"];
        for args in [&["config", "check"][..], &serve] {
            let output = ten.cli(args);
            assert_eq!(output.code, Some(1), "{args:?}: {output:?}");
            for fact in [said, "begin it with {instance_dir}", "tenement.toml:"] {
                assert!(output.stderr.contains(fact), "{fact} is missing: {output:?}");
            }
        }
        assert!(!ten.data_dir().exists());
    }
    let both = "{data_dir}/{id}/app.db";
    let two = app("", "") + &env("app", &[("DB", both)]) + &named("web", "", "");
    let ten = Ten::with_config(&(two + &env("web", &[("DB", both)]))).prepare();
    let output = ten.cli(&["config", "check"]);
    assert!(output.stderr.contains("`app` and `web` would share folders"), "{output:?}");
}

/// Whatever ids strangers ask for, first without a quota and then with one.
#[test]
fn no_id_takes_what_belongs_to_others() {
    if !has_root() {
        return;
    }
    let variables = [("DB", "{data_dir}/{id}/app.db"), ("UP", "{data_dir}/_uploads/{id}/x")];
    let of = |keys: &str| {
        let socket = "listen = \"socket\"\nsocket = \"/tmp/own/{name}-{id}.sock\"";
        let app =
            named("app", "--listen socket", keys).replace("socket = \"{instance_dir}/s\"", socket);
        app + &env("app", &variables) + &named("web", "", "")
    };
    let mut ten = Ten::with_config(&of("")).start();
    let data = ten.data_dir();
    let owner = |path: &str| fs::symlink_metadata(data.join(path)).unwrap().uid();
    let kept = |ten: &Ten, who: &str| {
        for path in [format!("{who}/app.db"), format!("_uploads/{who}/x"), format!("app/{who}/y")] {
            let secret = format!("{who}-secret");
            assert_eq!(
                read(ten, &format!("{who}.app"), &data.join(&path)),
                (200, secret),
                "{path}"
            );
        }
    };
    let people = ["alice", "bob", "victim"];
    for who in people {
        for path in [format!("{who}/app.db"), format!("_uploads/{who}/x"), format!("app/{who}/y")] {
            write(&ten, &format!("{who}.app"), &data.join(path), &format!("{who}-secret"));
        }
    }
    write(&ten, "alice.web", &data.join("web/alice/z"), "web-secret");
    let owners =
        || people.map(|who| ["", "_uploads/", "app/"].map(|top| owner(&format!("{top}{who}"))));
    let before = owners();
    let strangers = ["uploads", "victim-cache", "cache-victim", "web-alice", "run", "images"];
    let taken = ["app", "web", "acme"];
    for quota in [false, true] {
        if quota {
            ten.stop();
            ten.write_config(&config(&of("storage_quota_mb = 20")));
            ten.start();
            if !quota::images_work(&ten) {
                break;
            }
        }
        for id in taken {
            assert_eq!(ask(&ten, &format!("{id}.app"), "/").0, 503, "{id}");
            let health = ten.cli(&["health", &format!("app:{id}")]);
            let said = health.stdout + &health.stderr;
            assert!(said.contains("choose another id"), "{id}: {said}");
        }
        for id in strangers {
            let host = format!("{id}.app");
            assert_eq!(ask(&ten, &host, "/").0, 200, "{id}");
            for path in
                ["alice/app.db", "_uploads/alice/x", "app/bob/y", "web/alice/z", "victim/app.db"]
            {
                assert_eq!(read(&ten, &host, &data.join(path)).0, 403, "{id} reads {path}");
            }
            assert_eq!(ten.cli(&["stop", &format!("app:{id}")]).code, Some(0));
        }
        for who in people {
            kept(&ten, who);
        }
        assert_eq!(read(&ten, "alice.web", &data.join("web/alice/z")).1, "web-secret");
        assert_eq!(owners(), before);
    }
}

/// What an earlier config left where an id now points is not given away, nor moved into an image.
#[test]
fn what_others_left_in_its_place_is_refused() {
    if !has_root() {
        return;
    }
    for quota in ["", "storage_quota_mb = 20"] {
        let earlier = app("", "") + &env("app", &[("UP", "{data_dir}/uploads/{id}/x")]);
        let mut ten = Ten::with_config(&earlier).start();
        let file = ten.data_dir().join("uploads/alice/x");
        write(&ten, "alice.app", &file, "secret");
        let owner = || fs::metadata(&file).unwrap().uid();
        let before = owner();
        ten.stop();
        let now =
            quota::config(quota).replace("{data_dir}/more/{id}/app.db", "{data_dir}/{id}/app.db");
        ten.write_config(&config(&now));
        ten.start();
        assert_eq!(ask(&ten, "uploads.app", "/").0, 503);
        let health = ten.cli(&["health", "app:uploads"]);
        let said = health.stdout + &health.stderr;
        assert!(said.contains("has files of another instance in it"), "{said}");
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), owner()), ("secret", before));
        assert!(!ten.data_dir().join(".images/app:uploads/image").exists());
        if quota.is_empty() {
            assert_eq!(ask(&ten, "alice.app", "/").0, 200);
        }
    }
}

/// Makes a link at the data folder of a server that has not started yet, and what it leads to.
fn behind_a_link(ten: &Ten) -> (tempfile::TempDir, PathBuf) {
    // Not below /tmp, which every instance has anew, where a wrong name would hide nothing.
    let disk = tempfile::Builder::new().prefix("ten-disk-").tempdir_in("/var").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(disk.path(), mode).unwrap();
    let real = disk.path().join("data");
    fs::create_dir(&real).unwrap();
    symlink(&real, ten.data_dir()).unwrap();
    (disk, real)
}

#[test]
fn a_linked_data_dir_is_hidden_and_works() {
    if !has_root() {
        return;
    }
    for level in LEVELS {
        let text = app("", &format!("isolation = \"{level}\""));
        let mut ten =
            Ten::with_config(&(text + &env("app", &[("DB", "{data_dir}/{id}/app.db")]))).prepare();
        let (disk, real) = behind_a_link(&ten);
        ten.start();
        let note = real.join("app/alice/note");
        write(&ten, "alice.app", &note, "secret");
        write(&ten, "alice.app", &real.join("alice/app.db"), "more");
        assert!(
            ask(&ten, "alice.app", "/env")
                .1
                .contains(&format!("DB={}/alice/app.db", real.display()))
        );
        assert_eq!(ask(&ten, "bob.app", "/").0, 200);
        if level == "namespace" {
            let seen =
                [&note, &real.join(".state/ten.db"), &real.join("ten.sock"), &real.join(".run")];
            for top in [real.as_path(), &ten.data_dir()] {
                for path in seen.map(|path| top.join(path.strip_prefix(&real).unwrap())) {
                    assert_eq!(read(&ten, "bob.app", &path).0, 403, "{path:?}");
                }
            }
        }
        // All that operators do with data.
        let file = disk.path().join("a.tar.zst").display().to_string();
        for args in [
            &["backup", "app:alice", &file][..],
            &["stop", "app:alice"],
            &["restore", "app:alice"],
            &["stop", "app:alice"],
            &["restore", "app:alice", &file],
        ] {
            let output = ten.cli(args);
            assert_eq!(output.code, Some(0), "{level} {args:?}: {output:?}");
        }
        assert_eq!(read(&ten, "alice.app", &note).1, "secret");
        assert_eq!(fs::read_to_string(real.join("alice/app.db")).unwrap(), "more");
        // The same server by either name.
        let same = ten.command().arg("ps").env("TENEMENT_DATA_DIR", &real).output().unwrap();
        assert!(same.status.success(), "{same:?}");
        let second = ten.cli(&["serve", "--port", "0", "--data-dir", &real.display().to_string()]);
        assert_eq!(second.code, Some(1), "{second:?}");
        ten.stop();
        drop(ten);
    }
}

/// Neither its other name nor a way around it shows what the data folder hides.
#[test]
fn nothing_shows_what_the_data_dir_hides() {
    if !has_root() {
        return;
    }
    let mut ten = Ten::with_config("").prepare();
    let (disk, real) = behind_a_link(&ten);
    let around = disk.path().join("around");
    symlink(disk.path(), &around).unwrap();
    symlink("data", disk.path().join("other")).unwrap();
    ten.write_config(&config(&app("", "")));
    ten.start();
    write(&ten, "alice.app", &real.join("app/alice/note"), "secret");
    ten.stop();
    let shown = |path: PathBuf| format!("bind = [\"{}:ro\"]", path.display());
    for keys in [
        shown(real.clone()),
        shown(real.join("app/alice")),
        shown(ten.data_dir()),
        shown(disk.path().join("other/app")),
        shown(around),
        format!("workdir = \"{}\"", real.join("app").display()),
        "workdir = \"{data_dir}/app/alice\"".into(),
    ] {
        ten.write_config(&config(&app("", &keys)));
        ten.start();
        assert_eq!(ask(&ten, "bob.app", "/").0, 503, "{keys}");
        let health = ten.cli(&["health", "app:bob"]);
        let said = health.stdout + &health.stderr;
        assert!(said.contains("would show what data_dir hides"), "{keys}: {said}");
        ten.stop();
    }
    // A link below it leads to what nothing hides.
    fs::rename(real.join("app"), disk.path().join("app")).unwrap();
    symlink(disk.path().join("app"), real.join("app")).unwrap();
    ten.write_config(&config(&app("", "")));
    ten.start();
    assert_eq!(ask(&ten, "bob.app", "/").0, 503);
    assert!(ten.cli(&["health", "app:bob"]).stdout.contains("is a link"));
    ten.stop();
    fs::remove_file(real.join("app")).unwrap();
    fs::rename(disk.path().join("app"), real.join("app")).unwrap();
    // And what would lead ten itself.
    fs::remove_dir_all(real.join(".run")).unwrap();
    symlink(disk.path(), real.join(".run")).unwrap();
    let output = ten.cli(&["serve", "--port", "0", "--bind", "127.0.0.1"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains(".run is a link"), "{output:?}");
    fs::remove_file(real.join(".run")).unwrap();
}

/// Without root nothing but the walls is between two instances.
#[test]
fn without_root_a_linked_data_dir_is_hidden_too() {
    let disk = tempfile::Builder::new().prefix("ten-disk-").tempdir_in("/var").unwrap();
    let real = disk.path().join("data");
    fs::create_dir(&real).unwrap();
    for folder in [disk.path(), &real] {
        std::os::unix::fs::chown(folder, Some(crate::rootless::UID), None).unwrap();
    }
    let config = "[service.app]\ncommand = \"@tenant\"\nsocket = \"{instance_dir}/s\"\n";
    let ten = Rootless::start(config, |home| {
        symlink(disk.path().join("data"), home.join("data")).unwrap();
    });
    let secret = real.join("app/a/secret");
    let written = ten.get("a.app.localhost", &format!("/write?path={}&text=x", secret.display()));
    assert_eq!(written.status, 200, "{}", written.text());
    for path in [&secret, &real.join(".state/ten.db"), &real.join("ten.sock"), &real] {
        let read = ten.get("b.app.localhost", &format!("/read?path={}", path.display()));
        assert_eq!(read.status, 403, "{path:?}: {}", read.text());
    }
    let said = ten.cli(&["backup", "app:a", &disk.path().join("a.tar.zst").display().to_string()]);
    assert!(said.contains("is backed up in"), "{said}");
}

/// The walls of one server's instances know nothing of the other's data folder.
#[test]
fn two_servers_on_one_host_are_strangers() {
    if !has_root() {
        return;
    }
    let servers = [(); 2].map(|()| {
        let mut ten = Ten::with_config(&config(&app("", ""))).prepare();
        // Made by somebody, and open to everybody.
        let (disk, real) = behind_a_link(&ten);
        ten.start();
        let note = real.join("app/alice/note");
        write(&ten, "alice.app", &note, "secret");
        (ten, disk, note)
    });
    let owners = servers.each_ref().map(|(_, _, note)| fs::metadata(note).unwrap().uid());
    assert_ne!(owners[0], owners[1]);
    for (here, there) in [(0, 1), (1, 0)] {
        let (ten, _, own) = &servers[here];
        let (_, _, others) = &servers[there];
        assert_eq!(read(ten, "alice.app", own), (200, "secret".into()));
        assert_eq!(read(ten, "alice.app", others).0, 403);
        assert_eq!(read(ten, "alice.app", others.parent().unwrap()).0, 403);
    }
}
