//! `ten doctor` against what a start really says, and `ten init` against what walls hide.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use serde_json::Value;
use ten_testkit::{CliOutput, Ten, ten_binary};

use crate::service::app;

/// The check of this name.
fn check(report: &str, name: &str) -> Value {
    let report: Value =
        serde_json::from_str(report).unwrap_or_else(|why| panic!("{why}: {report}"));
    let groups = report["groups"].as_array().expect("groups").iter();
    let mut checks = groups.flat_map(|group| group["checks"].as_array().expect("checks"));
    checks.find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
}

fn doctor(ten: &Ten) -> CliOutput {
    let port = ten.address().port().to_string();
    ten.cli(&["doctor", "--json", "--port", &port])
}

#[test]
fn a_server_that_runs_lacks_nothing() {
    let ten = Ten::with_config(&app("", "")).start();
    let found = doctor(&ten);
    assert_eq!(found.code, Some(0), "{found:?}");
    for name in
        ["system calls", "seccomp", "namespace", "own network", "data_dir", "front's cage", "app"]
    {
        assert_eq!(check(&found.stdout, name)["ok"], true, "{name}: {}", found.stdout);
    }
    // Its own port is not somebody else's.
    let port = check(&found.stdout, &format!("port {}", ten.address().port()));
    assert_eq!(port["detail"], "the server listens on it");
    assert_eq!(check(&found.stdout, "admin socket")["ok"], true);
    let people = ten.cli(&["doctor", "--port", "0"]);
    assert!(people.stdout.contains("ok       namespace"), "{}", people.stdout);
    assert_eq!(ten.get("a.app.localhost", "/").status, 200);
}

/// What is foreseen is what happens, in the same words.
#[test]
fn a_limit_is_missing_where_a_start_fails_for_it() {
    for (name, key) in [
        ("cgroup memory", "memory_limit_mb = 64"),
        ("cgroup cpu", "cpu_shares = 100"),
        ("cgroup pids", "pids_limit = 100"),
        ("cgroup io", "io_weight = 100"),
    ] {
        let ten = Ten::with_config(&app("", key)).start();
        let found = doctor(&ten);
        let check = check(&found.stdout, name);
        let spawned = ten.cli(&["spawn", "app:a"]);
        assert_eq!(found.code, spawned.code, "{key}: {check}, {spawned:?}");
        assert_eq!(check["ok"], spawned.code == Some(0), "{key}: {check}");
        if let Some(fix) = check["fix"].as_str() {
            assert_eq!(check["needed_by"], "app");
            assert!(spawned.stderr.contains(fix), "{fix}\n{}", spawned.stderr);
        }
    }
}

/// A program with this text.
fn install(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A home folder outside of what other rules hide, with tools where their installers put them.
#[test]
fn init_shows_the_tools_of_a_home_folder() {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let at = |path: &str| home.path().join(path);
    install(&at(".bun/bin/bun"), "#!/bin/sh\n");
    install(&at(".local/bin/uv"), "#!/bin/sh\n");
    // A tool whose interpreter is a tool, found through a link.
    install(&at(".nvm/versions/node/v22/bin/node"), "#!/bin/sh\n");
    install(&at(".nvm/versions/node/v22/lib/npm-cli.js"), "#!/usr/bin/env node\n");
    fs::create_dir_all(at("bin")).unwrap();
    std::os::unix::fs::symlink(at(".nvm/versions/node/v22/lib/npm-cli.js"), at("bin/npm")).unwrap();
    let path = [".bun/bin", ".local/bin", ".nvm/versions/node/v22/bin", "bin"]
        .map(|folder| at(folder).display().to_string())
        .join(":");
    let ten = Ten::with_config("").prepare();
    let run = |folder: &Path, args: &[&str]| {
        let mut command: Command = ten.command();
        let command = command.args(args).current_dir(folder).env("HOME", home.path());
        let command = command.env("PATH", format!("{path}:/usr/bin:/bin"));
        command.env_remove("TENEMENT_CONFIG").output().expect("ten")
    };
    for (marker, text, file, want) in [
        ("bun.lock", "", "index.ts", r#"bind = ["~/.bun:ro"]"#),
        ("uv.lock", "", "app.py", r#"bind = ["~/.local:ro"]"#),
        (
            "package.json",
            r#"{"scripts": {"start": "x"}}"#,
            "x",
            r#"bind = ["~/bin:ro", "~/.nvm:ro"]"#,
        ),
        ("requirements.txt", "", "app.py", r#"# bind = ["/srv/models:ro"]"#),
    ] {
        let project = tempfile::tempdir().unwrap();
        fs::write(project.path().join(marker), text).unwrap();
        fs::write(project.path().join(file), "").unwrap();
        let init = run(project.path(), &["init", "--name", "shop"]);
        assert!(init.status.success(), "{init:?}");
        let config = project.path().join("tenement.toml");
        let written = fs::read_to_string(&config).unwrap();
        assert!(written.lines().any(|line| line == want), "{want}\n{written}");
        // With the line it can be started, without it not.
        let shop = |expected| {
            let found = run(project.path(), &["doctor", "--json", "--port", "0"]);
            let found = check(&String::from_utf8_lossy(&found.stdout), "shop");
            assert_eq!(found["ok"], expected, "{marker}: {found}");
            found
        };
        shop(true);
        if !want.starts_with('#') {
            fs::write(&config, written.replace(want, "")).unwrap();
            let detail = shop(false)["detail"].to_string();
            assert!(detail.contains("add bind = ["), "{detail}");
        }
    }
}

/// In a user namespace in which this user has no number, no further one can be made.
#[test]
fn walls_that_cannot_be_raised_are_told_with_the_way_out() {
    let ten = Ten::with_config(&app("", "")).prepare();
    let shut_in = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--"]).arg(ten_binary()).args(args);
        let command = command.env("TENEMENT_CONFIG", ten.config_path());
        command.env("TENEMENT_DATA_DIR", ten.data_dir()).output().expect("unshare")
    };
    let output = shut_in(&["doctor", "--json", "--port", "0"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let walls = check(&String::from_utf8_lossy(&output.stdout), "namespace");
    assert_eq!(walls["ok"], false, "{walls}");
    assert_eq!(walls["needed_by"], "app");
    assert!(walls["fix"].as_str().is_some_and(|fix| fix.starts_with("run ten as root")), "{walls}");
}
