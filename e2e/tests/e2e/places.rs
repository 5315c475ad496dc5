//! Whose a folder is: no id that a stranger asks for, and no link, gives one instance what is
//! another's.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use ten_testkit::{Ten, tenant_binary};

use crate::{
    quota,
    service::{app, has_root, named},
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
