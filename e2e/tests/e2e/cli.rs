//! The command line, as an operator and as a script use it.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use ten_testkit::Ten;

use crate::service::app;

#[test]
fn exit_codes_say_what_happened() {
    let mut ten = Ten::with_config(&app("", "")).start();
    for (args, code) in [
        (&["ps"][..], 0),
        (&["spawn", "app:a"], 0),
        (&["spawn", "app:a"], 0),
        (&["stop", "app:a"], 0),
        (&["stop", "app:a"], 0),
        (&["stop", "app:nobody"], 1),
        (&["spawn", "nope:a"], 1),
        (&["spawn"], 2),
        (&["frobnicate"], 2),
        (&["weight", "app:a", "101"], 2),
        (&["config", "check"], 0),
        (&["--version"], 0),
    ] {
        let output = ten.cli(args);
        assert_eq!(output.code, Some(code), "{args:?}: {output:?}");
        if code != 0 {
            assert!(!output.stderr.trim().is_empty() && output.stdout.is_empty(), "{output:?}");
        }
    }
    ten.stop();
    let nobody = ten.cli(&["ps"]);
    assert_eq!(nobody.code, Some(3), "{nobody:?}");
    assert!(nobody.stderr.contains("ten serve"), "{}", nobody.stderr);
}

#[test]
fn a_log_filter_that_makes_no_sense_is_said_so() {
    let ten = Ten::with_config(&app("", "")).env("RUST_LOG", "ten_proxy=loud").start();
    let lines = ten.server_lines().concat();
    assert!(lines.contains("RUST_LOG is \"ten_proxy=loud\", which is not understood"), "{lines}");
}

#[test]
fn spawn_takes_variables_and_tells_where_it_is() {
    let ten = Ten::with_config(&app("", "")).start();
    let spawned = ten.cli(&["spawn", "app", "--id", "prod", "--env", "COLOUR=blue"]);
    assert_eq!(spawned.code, Some(0), "{spawned:?}");
    let url = format!("http://prod.app.localhost:{}", ten.address().port());
    assert!(spawned.stdout.contains(&url), "{spawned:?}");
    assert!(ten.get("prod.app.localhost", "/env").text().contains("COLOUR=blue"));
}

#[test]
fn logs_are_shown_searched_and_followed() {
    let ten = Ten::with_config(&app("", "")).start();
    ten.get("a.app.localhost", "/");
    let mut follow = ten
        .command()
        .args(["logs", "app:a", "-f"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("ten logs");
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert_eq!(ten.get("a.app.localhost", "/flood?lines=20").status, 200);
    // Each line has its number; the last is seen while the command still runs.
    let last = lines.find(|line| line.as_ref().unwrap().contains("19"));
    assert!(last.is_some(), "the stream ended");
    follow.kill().unwrap();
    follow.wait().unwrap();
    let found = ten.cli(&["logs", "app", "--search", "FLOOD 19", "--limit", "5"]);
    assert_eq!(found.stdout.lines().count(), 1, "{found:?}");
    // A document a line, the same for a listing and for a stream without end.
    let json = ten.cli(&["logs", "app:a", "--limit", "3", "--json"]).stdout;
    let parsed: Result<Vec<serde_json::Value>, _> =
        json.lines().map(serde_json::from_str).collect();
    assert_eq!(parsed.map(|lines| lines.len()).ok(), Some(3), "{json}");
}

#[test]
fn a_broken_config_is_told_whole_and_nothing_starts() {
    let ten = Ten::with_config(&app("", "")).prepare();
    ten.write_config("[service.api]\ncomand = \"x\"\nidle_timeout = -1\n");
    let output = ten.cli(&["serve", "--port", "0"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    for fact in ["comand", "command", "idle_timeout", "tenement.toml"] {
        assert!(output.stderr.contains(fact), "{fact} is missing:\n{}", output.stderr);
    }
    assert!(!ten.data_dir().exists(), "it made its folder before it knew its config");
    assert_eq!(ten.cli(&["config", "check"]).code, Some(1));
}

#[test]
fn init_writes_a_config_that_works() {
    let ten = Ten::with_config("").prepare();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.py"), "print('hi')").unwrap();
    std::fs::write(folder.path().join("requirements.txt"), "").unwrap();
    let run = |args: &[&str]| {
        ten.command()
            .args(args)
            .current_dir(folder.path())
            .env_remove("TENEMENT_CONFIG")
            .output()
            .expect("ten")
    };
    let init = run(&["init", "--name", "shop"]);
    assert!(init.status.success(), "{init:?}");
    let check = run(&["config", "check"]);
    assert!(check.status.success(), "{check:?}");
    let again = run(&["init", "--name", "shop"]);
    assert!(!again.status.success(), "it overwrote a config");
    for args in [&["completions", "bash"][..], &["config", "schema"], &["config"]] {
        let output = run(args);
        assert!(output.status.success() && !output.stdout.is_empty(), "{args:?}: {output:?}");
    }
}

#[test]
fn a_start_in_vain_shows_what_the_program_said() {
    let config = "[service.app]\ncommand = \"sh -c 'echo no such module; exit 3'\"\n\
                  socket = \"{instance_dir}/s\"\n";
    let ten = Ten::with_config(config).start();
    let failed = ten.cli(&["spawn", "app:a"]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    for fact in ["exited with status 3", "no such module"] {
        assert!(failed.stderr.contains(fact), "{fact} is missing: {}", failed.stderr);
    }
}
