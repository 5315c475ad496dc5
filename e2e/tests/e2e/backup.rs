//! Backups: taken of what runs and what sleeps, and brought back.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use rusqlite::Connection;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use ten_testkit::{CliOutput, Ten};

use crate::service::{LEVELS, app};

fn done(output: &CliOutput) {
    assert_eq!(output.code, Some(0), "{output:?}");
}

fn refused(output: &CliOutput, fact: &str) {
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains(fact), "{fact} is missing: {output:?}");
}

fn write(ten: &Ten, id: &str, name: &str, text: &str) -> PathBuf {
    let file = ten.data_dir().join("app").join(id).join(name);
    let path = format!("/write?path={}&text={text}", file.display());
    assert_eq!(ten.get(&format!("{id}.app.localhost"), &path).status, 200);
    file
}

/// A place for backups, beside the server's data.
fn shelf(ten: &Ten) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir_in(ten.data_dir().parent().unwrap()).unwrap();
    let file = folder.path().join("a.tar.zst").to_str().unwrap().to_owned();
    (folder, file)
}

#[test]
fn a_running_instance_is_backed_up_and_restored() {
    for level in LEVELS {
        let ten = Ten::with_config(&app("", &format!("isolation = \"{level}\""))).start();
        let (_shelf, file) = shelf(&ten);
        let note = write(&ten, "a", "note", "text");
        let folder = note.parent().unwrap();
        mknodat(CWD, folder.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        symlink("/etc/shadow", folder.join("link")).unwrap();
        let sparse = fs::File::create(folder.join("sparse")).unwrap();
        sparse.write_all_at(b"end", 1 << 40).unwrap();
        let live = Connection::open(folder.join("app.db")).unwrap();
        live.pragma_update(None, "journal_mode", "wal").unwrap();
        live.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES ('in the log')").unwrap();
        done(&ten.cli(&["backup", "app:a", &file]));
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert!(fs::metadata(&file).unwrap().len() < 1 << 20);
        refused(&ten.cli(&["backup", "app:a", &file]), "is there already");
        fs::remove_file(folder.join("fifo")).unwrap();
        // It goes on as before.
        live.execute_batch("INSERT INTO t VALUES ('later')").unwrap();
        drop(live);
        refused(&ten.cli(&["restore", "app:a", &file]), "does not sleep");
        done(&ten.cli(&["stop", "app:a", "--keep-data"]));
        refused(&ten.cli(&["restore", "app:a", &file]), "has data already");
        done(&ten.cli(&["restore", "app:a", &file, "--replace"]));
        assert_eq!(fs::read_to_string(&note).unwrap(), "text");
        assert_eq!(fs::read_link(folder.join("link")).unwrap(), Path::new("/etc/shadow"));
        assert!(!folder.join("fifo").exists());
        let sparse = fs::metadata(folder.join("sparse")).unwrap();
        assert_eq!(sparse.len(), (1 << 40) + 3);
        assert!(sparse.blocks() < 1000, "{} blocks", sparse.blocks());
        let back = Connection::open(folder.join("app.db")).unwrap();
        let all = "SELECT group_concat(x) FROM t";
        let text: String = back.query_row(all, [], |row| row.get(0)).unwrap();
        assert_eq!(text, "in the log", "{level}");
        drop(back);
        // What it had before is in the trash, and what came back is its own.
        assert_eq!(ten.cli_json(&["restore", "--list", "--json"])["trash"][0]["reason"], "restore");
        write(&ten, "a", "note", "again");
        let owner = |path: &Path| fs::metadata(path).unwrap().uid();
        assert_eq!(owner(&note), owner(folder), "{level}");
    }
}

#[test]
fn a_backup_makes_another_instance_too() {
    let ten = Ten::with_config(&app("", "")).start();
    let (shelf, file) = shelf(&ten);
    write(&ten, "a", "note", "text");
    done(&ten.cli(&["stop", "app:a", "--keep-data"]));
    done(&ten.cli(&["backup", "app:a", &file]));
    done(&ten.cli(&["restore", "app:b", &file]));
    let list = ten.cli(&["ps", "-a"]).stdout;
    assert!(list.contains("app:b"), "{list}");
    let copy = ten.data_dir().join("app/b/note");
    let read = ten.get("b.app.localhost", &format!("/read?path={}", copy.display()));
    assert_eq!(read.text(), "text");
    refused(&ten.cli(&["backup", "app:nobody", "/dev/shm/none"]), "no instance is called");
    assert!(!Path::new("/dev/shm/none").exists());
    assert_eq!(fs::read_dir(shelf.path()).unwrap().count(), 1, "a draft is left");
}

#[test]
fn what_is_no_backup_changes_nothing() {
    let ten = Ten::with_config(&app("", "")).start();
    let (_shelf, file) = shelf(&ten);
    let note = write(&ten, "a", "note", "text");
    done(&ten.cli(&["stop", "app:a", "--keep-data"]));
    done(&ten.cli(&["backup", "app:a", &file]));
    let whole = fs::read(&file).unwrap();
    for bad in [&b"no archive"[..], &whole[..whole.len() / 2], &[]] {
        fs::write(&file, bad).unwrap();
        let output = ten.cli(&["restore", "app:a", &file, "--replace"]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert_eq!(fs::read_to_string(&note).unwrap(), "text");
    }
    refused(&ten.cli(&["restore", "app:a", "/nowhere/at/all"]), "No such file");
    ten.wait_until("the trash is empty", crate::service::PATIENCE, || {
        fs::read_dir(ten.data_dir().join(".trash")).unwrap().next().is_none()
    });
}

#[test]
fn a_backup_that_lacks_something_says_so_and_is_kept() {
    let ten = Ten::with_config(&app("", "")).start();
    let (_shelf, file) = shelf(&ten);
    let note = write(&ten, "a", "note", "text");
    let folder = note.parent().unwrap();
    mknodat(CWD, folder.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let whole = ten.cli(&["backup", "app:a", &file]);
    done(&whole);
    assert!(whole.stderr.contains("left out: 0/fifo: it is a FIFO"), "{whole:?}");
    // Longer than an archive has room for, and a name that would drive a terminal.
    let deep = vec!["d".repeat(250); 14].join("/") + "/" + &"\x1b[2J".repeat(50);
    fs::create_dir_all(folder.join(&deep)).unwrap();
    let locked = Connection::open(folder.join("app.db")).unwrap();
    locked.execute_batch("CREATE TABLE t (x); BEGIN EXCLUSIVE").unwrap();
    let output = ten.cli(&["backup", "app:a", &file, "--force", "--quiet"]);
    refused(&output, "is not complete");
    refused(&output, "its path is too long");
    refused(&output, "0/app.db: SQLite cannot copy it");
    assert!(!output.stderr.contains('\x1b') && !output.stderr.contains("FIFO"), "{output:?}");
    drop(locked);
    fs::remove_dir_all(folder.join("d".repeat(250))).unwrap();
    done(&ten.cli(&["stop", "app:a", "--keep-data"]));
    let restored = ten.cli(&["restore", "app:b", &file]);
    done(&restored);
    assert!(restored.stderr.contains("does not have 0/app.db"), "{restored:?}");
    assert_eq!(fs::read_to_string(ten.data_dir().join("app/b/note")).unwrap(), "text");
    // Whole once more, and told to programs.
    let told = ten.cli_json(&["backup", "app:a", &file, "--force", "--json"]);
    assert_eq!(told["missing"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(
        (&told["missing"][0]["path"], &told["missing"][0]["lost"]),
        (&"0/fifo".into(), &false.into())
    );
    fs::remove_file(folder.join("fifo")).unwrap();
}

/// A tenant that swaps a folder for a link while its backup is taken gets nothing of ten's.
#[test]
fn no_link_leads_a_backup_out() {
    let ten = Ten::with_config(&app("", "")).start();
    let (_shelf, file) = shelf(&ten);
    let folder = write(&ten, "a", "note", "text").parent().unwrap().to_owned();
    fs::create_dir(folder.join("real")).unwrap();
    let own = Connection::open(folder.join("real/ten.db")).unwrap();
    own.execute_batch("CREATE TABLE mine (x)").unwrap();
    drop(own);
    symlink(ten.data_dir(), folder.join("false")).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let sub = folder.join("sub");
            while !over.load(Ordering::Relaxed) {
                for name in ["real", "false"] {
                    fs::rename(folder.join(name), &sub).unwrap();
                    fs::rename(&sub, folder.join(name)).unwrap();
                }
            }
        });
        for round in 0..20 {
            // A database that was moved while SQLite opened it could not be copied.
            let backup = ten.cli(&["backup", "app:a", &file, "--force"]);
            let moved = backup.stderr.contains("SQLite cannot copy it");
            assert!(backup.code == Some(i32::from(moved)), "{backup:?}");
            let copy = format!("app:copy{round}");
            done(&ten.cli(&["restore", &copy, &file]));
            let copy = ten.data_dir().join(format!("app/copy{round}"));
            for name in ["real/ten.db", "sub/ten.db"] {
                let found = fs::symlink_metadata(copy.join(name).parent().unwrap());
                if found.is_ok_and(|found| found.is_dir()) && copy.join(name).exists() {
                    let bytes = fs::read(copy.join(name)).unwrap();
                    let text = String::from_utf8_lossy(&bytes);
                    assert!(!text.contains("TABLE tokens"), "round {round}: ten's own store");
                }
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// An archiver that dies, long after the first bytes of it have come through.
#[test]
fn a_backup_that_breaks_off_says_why() {
    // The second folder comes after all of the first.
    let second = "[service.app.env]\nDB = \"{data_dir}/second/{id}/z.db\"\n";
    let ten = Ten::with_config(&(app("", "") + second)).start();
    let (shelf, file) = shelf(&ten);
    let folder = write(&ten, "a", "note", "text").parent().unwrap().to_owned();
    let noise = fs::File::open("/dev/urandom").unwrap();
    let mut noise = std::io::Read::take(noise, 4 << 20);
    std::io::copy(&mut noise, &mut fs::File::create(folder.join("noise")).unwrap()).unwrap();
    // It waits for this one.
    let locked = Connection::open(ten.data_dir().join("second/a/z.db")).unwrap();
    locked.execute_batch("CREATE TABLE t (x); BEGIN EXCLUSIVE").unwrap();
    let output = thread::scope(|scope| {
        let backup = scope.spawn(|| ten.cli(&["backup", "app:a", &file]));
        let archivers = || {
            let all = ten_testkit::process::all().into_iter();
            let own = ten.data_dir().display().to_string();
            all.filter(move |it| {
                let argv = &it.argv;
                argv.iter().any(|arg| arg == "pack") && argv.iter().any(|arg| arg.contains(&own))
            })
        };
        let is_begun = || {
            let drafts = fs::read_dir(shelf.path()).unwrap();
            drafts.flatten().any(|draft| draft.metadata().is_ok_and(|meta| meta.len() > 1 << 20))
        };
        ten.wait_until("the backup has begun", crate::service::PATIENCE, is_begun);
        let archiver = archivers().next().expect("an archiver").pid;
        ten.signal(archiver, rustix::process::Signal::KILL);
        backup.join().unwrap()
    });
    refused(&output, "cannot back up app:a");
    refused(&output, "it ended with signal: 9 (SIGKILL)");
    assert_eq!(fs::read_dir(shelf.path()).unwrap().count(), 0, "a draft is left");
}
