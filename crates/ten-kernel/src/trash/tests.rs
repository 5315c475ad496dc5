use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
};

use super::*;

fn data_dir() -> (tempfile::TempDir, Trash) {
    let data = tempfile::tempdir().unwrap();
    let trash = Trash::open(data.path()).unwrap();
    (data, trash)
}

fn folders(paths: &[&str]) -> Vec<PathBuf> {
    paths.iter().map(PathBuf::from).collect()
}

fn write(data: &Path, file: &str) {
    fs::create_dir_all(data.join(file).parent().unwrap()).unwrap();
    fs::write(data.join(file), file).unwrap();
}

#[test]
fn folders_go_and_come_back_as_they_were() {
    let (data, trash) = data_dir();
    write(data.path(), "api/a/deep/file");
    write(data.path(), "more/a/file");
    let inode = fs::metadata(data.path().join("api/a/deep/file")).unwrap().ino();
    let both = folders(&["api/a", "missing/a", "more/a"]);
    let entry = trash.prepare("one".into(), b"a note").unwrap();
    assert_eq!(trash.entries().unwrap(), [], "it is shown before it is whole");
    assert!(trash.fill(&entry, &both).unwrap());
    trash.sync("one", &both).unwrap();
    assert!(!data.path().join("api/a").exists() && !data.path().join("more/a").exists());
    assert_eq!(trash.entries().unwrap(), [("one".to_owned(), b"a note".to_vec())]);
    fs::remove_dir(data.path().join("more")).unwrap();
    trash.put_back("one", &both).unwrap();
    trash.sync("one", &both).unwrap();
    assert_eq!(fs::metadata(data.path().join("api/a/deep/file")).unwrap().ino(), inode);
    assert_eq!(fs::read_to_string(data.path().join("more/a/file")).unwrap(), "more/a/file");
    assert_eq!(trash.entries().unwrap(), []);
    assert!(matches!(trash.put_back("one", &both), Err(PutBackError::NoEntry)));
}

/// The kernel mounts what is among the images, so nothing gets there that was not there before.
#[test]
fn what_was_no_image_never_becomes_one() {
    let (data, trash) = data_dir();
    let (plain, image) = (folders(&["api/a"]), folders(&[".images/api:a"]));
    write(data.path(), "api/a/image");
    let entry = trash.prepare("plain".into(), b"").unwrap();
    assert!(trash.fill(&entry, &plain).unwrap());
    let imported = trash.prepare_import("imported".into(), b"").unwrap();
    write(&trash.path(&imported), "0/image");
    assert!(trash.complete(&imported).unwrap());
    write(data.path(), ".images/api:a/image");
    let entry = trash.prepare("image".into(), b"").unwrap();
    assert!(trash.fill(&entry, &image).unwrap());
    for (name, elsewhere) in [("plain", &image), ("imported", &image), ("image", &plain)] {
        let refused = trash.put_back(name, elsewhere);
        assert!(matches!(refused, Err(PutBackError::Io(_))), "{name}: {refused:?}");
        assert_eq!(trash.holds_image(name).unwrap(), name == "image", "{name}");
    }
    assert!(!data.path().join(".images/api:a/image").exists());
    trash.put_back("image", &image).unwrap();
    trash.put_back("plain", &plain).unwrap();
    let image = fs::read_to_string(data.path().join(".images/api:a/image")).unwrap();
    assert_eq!(image, ".images/api:a/image");
    assert!(!trash.holds_image("image").unwrap());
}

#[test]
fn without_data_there_is_no_entry() {
    let (data, trash) = data_dir();
    fs::create_dir_all(data.path().join("api/a")).unwrap();
    let entry = trash.prepare("one".into(), b"").unwrap();
    assert!(!trash.fill(&entry, &folders(&["api/a", "api/b"])).unwrap());
    assert_eq!(fs::read_dir(data.path().join(FOLDER)).unwrap().count(), 0);
}

#[test]
fn a_place_that_is_taken_is_left_alone() {
    let (data, trash) = data_dir();
    write(data.path(), "api/a/file");
    write(data.path(), "more/a/file");
    let both = folders(&["api/a", "more/a"]);
    let entry = trash.prepare("one".into(), b"").unwrap();
    trash.fill(&entry, &both).unwrap();
    write(data.path(), "more/a/newer");
    fs::create_dir_all(data.path().join("api/a")).unwrap();
    let refused = trash.put_back("one", &both);
    assert!(matches!(refused, Err(PutBackError::Occupied { path }) if path == both[1]));
    assert!(!data.path().join("api/a/file").exists(), "one of two was put back");
    fs::remove_file(data.path().join("more/a/newer")).unwrap();
    trash.put_back("one", &both).unwrap();
    assert!(data.path().join("api/a/file").exists() && data.path().join("more/a/file").exists());
}

#[test]
fn a_name_is_used_once() {
    let (data, trash) = data_dir();
    write(data.path(), "api/a/file");
    let entry = trash.prepare("one".into(), b"").unwrap();
    let again = trash.prepare("one".into(), b"").unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    trash.fill(&entry, &folders(&["api/a"])).unwrap();
    let again = trash.prepare("one".into(), b"").unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn no_link_is_followed_and_nothing_climbs() {
    let (data, trash) = data_dir();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("a")).unwrap();
    fs::write(outside.path().join("a/file"), "x").unwrap();
    symlink(outside.path(), data.path().join("link")).unwrap();
    for (number, path) in ["link/a", "../a", "/etc", ".."].into_iter().enumerate() {
        let entry = trash.prepare(format!("entry-{number}"), b"").unwrap();
        let moved = trash.fill(&entry, &folders(&[path]));
        assert!(!matches!(moved, Ok(true)), "{path}: {moved:?}");
    }
    assert!(outside.path().join("a/file").exists());
    // A link in the place of a folder is moved as a link.
    fs::create_dir(data.path().join("api")).unwrap();
    symlink(outside.path(), data.path().join("api/a")).unwrap();
    let entry = trash.prepare("link".into(), b"").unwrap();
    assert!(trash.fill(&entry, &folders(&["api/a"])).unwrap());
    trash.purge("link").unwrap();
    assert!(outside.path().join("a/file").exists());
}

#[test]
fn what_a_killed_process_left_is_finished() {
    let (data, trash) = data_dir();
    write(data.path(), "api/a/file");
    write(data.path(), "api/b/file");
    let filled = trash.prepare("filled".into(), b"filled").unwrap();
    let half = beneath::folder(&trash.folder, ".new-filled".as_ref()).unwrap();
    let place = Place::find(&trash.data_dir, "api/a".as_ref()).unwrap().unwrap();
    place.move_to(&half, "0").unwrap();
    trash.prepare("empty".into(), b"empty").unwrap();
    drop(filled);
    let purged = trash.prepare("purged".into(), b"").unwrap();
    trash.fill(&purged, &folders(&["api/b"])).unwrap();
    fs::rename(data.path().join(".trash/purged"), data.path().join(".trash/.gone-purged")).unwrap();
    let import = trash.prepare_import("half".into(), b"").unwrap();
    fs::create_dir(trash.path(&import).join("0")).unwrap();
    drop(trash);
    let trash = Trash::open(data.path()).unwrap();
    assert_eq!(trash.entries().unwrap(), [("filled".to_owned(), b"filled".to_vec())]);
    trash.finish_purges().unwrap();
    assert_eq!(fs::read_dir(data.path().join(FOLDER)).unwrap().count(), 1);
    trash.put_back("filled", &folders(&["api/a"])).unwrap();
    assert!(data.path().join("api/a/file").exists());
}

#[test]
fn purging_removes_and_opens_nothing() {
    let (data, trash) = data_dir();
    write(data.path(), "api/a/file");
    let fifo = data.path().join("api/a/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
    let entry = trash.prepare("one".into(), b"").unwrap();
    trash.fill(&entry, &folders(&["api/a"])).unwrap();
    trash.purge("one").unwrap();
    assert_eq!(fs::read_dir(data.path().join(FOLDER)).unwrap().count(), 0);
}

#[test]
fn an_import_is_an_entry_once_it_is_whole() {
    let (data, trash) = data_dir();
    let import = trash.prepare_import("one".into(), b"note").unwrap();
    fs::create_dir(trash.path(&import).join("0")).unwrap();
    fs::write(trash.path(&import).join("0/file"), "x").unwrap();
    assert_eq!(trash.entries().unwrap(), []);
    assert!(trash.complete(&import).unwrap());
    trash.put_back("one", &folders(&["api/a"])).unwrap();
    assert!(data.path().join("api/a/file").exists());
    let nothing = trash.prepare_import("two".into(), b"").unwrap();
    assert!(!trash.complete(&nothing).unwrap());
    let given_up = trash.prepare_import("three".into(), b"").unwrap();
    fs::create_dir(trash.path(&given_up).join("0")).unwrap();
    trash.abandon(&given_up).unwrap();
    assert_eq!(fs::read_dir(data.path().join(FOLDER)).unwrap().count(), 0);
}

/// Two operators in the same millisecond, one with a backup: each needs an entry of its own.
#[test]
fn an_import_and_an_entry_do_not_share_a_name() {
    let (_data, trash) = data_dir();
    let first = trash.prepare("one".into(), b"").unwrap();
    let import = trash.prepare_import("one".into(), b"").unwrap_err();
    assert_eq!(import.kind(), io::ErrorKind::AlreadyExists);
    assert!(!trash.fill(&first, &[]).unwrap());
    let import = trash.prepare_import("one".into(), b"").unwrap();
    let second = trash.prepare("one".into(), b"").unwrap_err();
    assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
    trash.abandon(&import).unwrap();
    assert_eq!(fs::read_dir(trash.path.as_path()).unwrap().count(), 0);
}

#[test]
fn what_others_left_in_the_trash_hides_no_entry() {
    let (data, trash) = data_dir();
    write(data.path(), "api/a/file");
    let entry = trash.prepare("one".into(), b"note").unwrap();
    trash.fill(&entry, &folders(&["api/a"])).unwrap();
    fs::write(data.path().join(".trash/stray"), "x").unwrap();
    symlink("/etc", data.path().join(".trash/link")).unwrap();
    assert_eq!(trash.entries().unwrap(), [("one".to_owned(), b"note".to_vec())]);
}
