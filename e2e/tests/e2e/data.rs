//! What operators do with data. Everything that is no operator is in `never_lost`.

use std::{fs, path::Path};

use ten_testkit::{CliOutput, Ten};

use crate::service::{LEVELS, PATIENCE, app, named};

/// Lets an instance write into a file of its own.
fn write(ten: &Ten, instance: &str, file: &Path, text: &str) {
    let (service, id) = instance.split_once(':').unwrap();
    let path = format!("/write?path={}&text={text}", file.display());
    let answer = ten.get(&format!("{id}.{service}.localhost"), &path);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn read(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok()
}

fn done(output: &CliOutput) {
    assert_eq!(output.code, Some(0), "{output:?}");
}

fn refused(output: &CliOutput, fact: &str) {
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains(fact), "{fact} is missing: {output:?}");
}

fn entries(ten: &Ten) -> usize {
    ten.cli_json(&["restore", "--list", "--json"])["trash"].as_array().unwrap().len()
}

#[test]
fn a_stop_gives_data_up_and_a_restore_brings_them_back() {
    for level in LEVELS {
        let ten = Ten::with_config(&app("", &format!("isolation = \"{level}\""))).start();
        let file = ten.data_dir().join("app/a/note");
        write(&ten, "app:a", &file, "first");
        let stopped = ten.cli(&["stop", "app:a"]);
        done(&stopped);
        for fact in ["moved to the trash until", "`ten restore app:a`"] {
            assert!(stopped.stderr.contains(fact), "{fact} is missing: {stopped:?}");
        }
        assert_eq!(read(&file), None, "{level}");
        // Awake again, in an empty folder.
        assert_eq!(ten.get("a.app.localhost", "/").text(), "app:a");
        assert_eq!(read(&file), None);
        refused(&ten.cli(&["restore", "app:a"]), "does not sleep");
        write(&ten, "app:a", &file, "second");
        done(&ten.cli(&["stop", "app:a", "--keep-data"]));
        assert_eq!(read(&file).as_deref(), Some("second"));
        refused(&ten.cli(&["restore", "app:a"]), "--replace");
        assert_eq!(read(&file).as_deref(), Some("second"));
        done(&ten.cli(&["restore", "app:a", "--replace"]));
        assert_eq!(read(&file).as_deref(), Some("first"));
        // It can still use what came back.
        write(&ten, "app:a", &file, "third");
        assert_eq!(read(&file).as_deref(), Some("third"));
        assert_eq!(entries(&ten), 1);
    }
}

#[test]
fn a_removed_instance_comes_back_with_its_data() {
    let ten = Ten::with_config(&app("", "")).start();
    let file = ten.data_dir().join("app/a/note");
    write(&ten, "app:a", &file, "mine");
    done(&ten.cli(&["rm", "app:a"]));
    assert_eq!(read(&file), None);
    assert!(!ten.cli(&["ps", "-a"]).stdout.contains("app:a"));
    done(&ten.cli(&["restore", "app:a"]));
    assert_eq!(read(&file).as_deref(), Some("mine"));
    assert!(ten.cli(&["ps", "-a"]).stdout.contains("app:a"));
    refused(&ten.cli(&["restore", "app:a"]), "the trash has no such data of app:a");
    refused(&ten.cli(&["restore", "nope:a"]), "the trash has no such data");
    done(&ten.cli(&["rm", "app:a", "--keep-data"]));
    assert_eq!(read(&file).as_deref(), Some("mine"));
}

#[test]
fn each_stop_makes_an_entry_and_any_can_be_chosen() {
    let mut ten = Ten::with_config(&app("", "")).start();
    let file = ten.data_dir().join("app/a/note");
    for text in ["one", "two", "three"] {
        write(&ten, "app:a", &file, text);
        done(&ten.cli(&["stop", "app:a"]));
    }
    write(&ten, "app:b", &ten.data_dir().join("app/b/note"), "other");
    done(&ten.cli(&["stop", "app:b"]));
    // They are there for the next server too.
    ten.stop();
    ten.start();
    let list = ten.cli_json(&["restore", "--list", "app:a", "--json"]);
    let trash = list["trash"].as_array().unwrap();
    assert_eq!(trash.len(), 3, "{list}");
    assert_eq!((&trash[0]["reason"], &trash[0]["folders"][0]), (&"stop".into(), &"app/a".into()));
    let second = trash[1]["entry"].as_str().unwrap();
    done(&ten.cli(&["restore", "app:a", "--at", second]));
    assert_eq!(read(&file).as_deref(), Some("two"));
    let first = trash[0]["at"].as_str().unwrap();
    done(&ten.cli(&["restore", "app:a", "--at", first, "--replace"]));
    assert_eq!(read(&file).as_deref(), Some("one"));
    assert_eq!(ten.cli(&["restore", "app:b", "--at", second]).code, Some(2));
    refused(&ten.cli(&["restore", "app:b", "--at", "1d"]), "no such data");
}

#[test]
fn a_service_may_keep_its_data_and_all_may_be_stopped() {
    let config = app("", "") + &named("safe", "", "storage_persist = true");
    let ten = Ten::with_config(&config).start();
    let files = ["app/a/note", "app/b/note", "safe/a/note"].map(|file| ten.data_dir().join(file));
    for (instance, file) in ["app:a", "app:b", "safe:a"].iter().zip(&files) {
        write(&ten, instance, file, "text");
    }
    let stopped = ten.cli(&["stop", "--all"]);
    done(&stopped);
    assert!(stopped.stderr.contains("the data of 2 moved to the trash"), "{stopped:?}");
    assert_eq!(files.map(|file| file.exists()), [false, false, true]);
    done(&ten.cli(&["rm", "safe:a"]));
    assert!(ten.data_dir().join("safe/a/note").exists());
}

#[test]
fn further_folders_go_too() {
    let env = "[service.app.env]\nDATABASE_PATH = \"{data_dir}/own/{id}/app.db\"\n";
    let ten = Ten::with_config(&(app("", "") + env)).start();
    let own = ten.data_dir().join("own/a/app.db");
    write(&ten, "app:a", &own, "own");
    done(&ten.cli(&["stop", "app:a"]));
    assert_eq!(read(&own), None);
    done(&ten.cli(&["restore", "app:a"]));
    assert_eq!(read(&own).as_deref(), Some("own"));
}

#[test]
fn the_trash_is_emptied_in_time_whatever_is_in_it() {
    let config = "[settings]\ntrash_retention = 1\n".to_owned() + &app("", "");
    let ten = Ten::with_config(&config).start();
    let folder = ten.data_dir().join("app/a");
    write(&ten, "app:a", &folder.join("note"), "text");
    done(&ten.cli(&["stop", "app:a", "--keep-data"]));
    let deep = (0..100).fold(folder.join("d"), |at, _| at.join("deeper"));
    fs::create_dir_all(deep).unwrap();
    let kind = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, folder.join("fifo"), kind, mode, 0).unwrap();
    std::os::unix::fs::symlink("/etc", folder.join("link")).unwrap();
    fs::File::create(folder.join("sparse")).unwrap().set_len(1 << 40).unwrap();
    done(&ten.cli(&["stop", "app:a"]));
    assert!(!folder.exists());
    ten.wait_until("the trash is empty", PATIENCE, || {
        fs::read_dir(ten.data_dir().join(".trash")).unwrap().next().is_none()
    });
    assert!(Path::new("/etc/passwd").exists());
    refused(&ten.cli(&["restore", "app:a"]), "no such data");
}

#[test]
fn a_request_that_waits_for_the_end_of_a_stop_finds_an_empty_folder() {
    let ten = Ten::with_config(&app("--term-delay-ms 300", "")).start();
    let file = ten.data_dir().join("app/a/note");
    write(&ten, "app:a", &file, "old");
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| ten.cli(&["stop", "app:a"]));
        ten.wait_until("it is stopping", PATIENCE, || {
            ten.cli(&["ps", "-a"]).stdout.contains("stopping")
        });
        let answer = ten.get("a.app.localhost", &format!("/read?path={}", file.display()));
        assert_eq!(answer.status, 403, "it still had its data: {}", answer.text());
        done(&stop.join().unwrap());
    });
    done(&ten.cli(&["stop", "app:a"]));
    done(&ten.cli(&["restore", "app:a"]));
    assert_eq!(read(&file).as_deref(), Some("old"));
}
