use std::{
    fs::{self, File},
    io::Cursor,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

struct House {
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["data", "scratch", "back"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn pack(&self) -> (Vec<u8>, Vec<String>) {
        let mut archive = Vec::new();
        let left_out = pack(&[self.at("data")], &self.at("scratch"), &mut archive).unwrap();
        assert_eq!(missing(Cursor::new(&archive)).unwrap().as_ref(), Some(&left_out));
        (archive, left_out.iter().map(ToString::to_string).collect())
    }

    fn unpack(&self, archive: &[u8]) -> Result<(), UnpackError> {
        unpack(archive, &self.at("back"), 1)
    }
}

#[test]
fn files_links_and_folders_come_back_as_they_were() {
    let house = House::new();
    let long = format!("data/{}/{}", "l".repeat(200), "m".repeat(200));
    fs::create_dir_all(house.at(&long)).unwrap();
    fs::write(house.at(&long).join("file"), "deep").unwrap();
    fs::write(house.at("data/empty"), "").unwrap();
    fs::write(house.at("data/tool"), "x").unwrap();
    fs::set_permissions(house.at("data/tool"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::create_dir(house.at("data/closed")).unwrap();
    fs::write(house.at("data/closed/inside"), "y").unwrap();
    fs::set_permissions(house.at("data/closed"), fs::Permissions::from_mode(0o500)).unwrap();
    symlink("/etc/shadow", house.at("data/link")).unwrap();
    symlink("/etc", house.at("data/folder")).unwrap();
    let (archive, left_out) = house.pack();
    assert_eq!(left_out, Vec::<String>::new());
    house.unpack(&archive).unwrap();
    let read = |path: &str| fs::read_to_string(house.at(&path.replace("data", "back/0"))).unwrap();
    assert_eq!(read(&format!("{long}/file")), "deep");
    assert_eq!((read("data/empty"), read("data/tool")), (String::new(), "x".to_owned()));
    assert_eq!(read("data/closed/inside"), "y");
    let mode = |path: &str| fs::metadata(house.at(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("back/0/tool"), mode("back/0/closed")), (0o751, 0o500));
    assert_eq!(fs::read_link(house.at("back/0/link")).unwrap(), Path::new("/etc/shadow"));
    assert_eq!(fs::read_link(house.at("back/0/folder")).unwrap(), Path::new("/etc"));
}

#[test]
fn holes_are_neither_read_nor_written() {
    let house = House::new();
    let file = File::create(house.at("data/sparse")).unwrap();
    // More pieces than one header and one more have room for.
    for piece in 0..60u64 {
        file.write_all_at(format!("piece {piece}").as_bytes(), piece << 34).unwrap();
    }
    file.set_len(1 << 40).unwrap();
    File::create(house.at("data/hole")).unwrap().set_len(1 << 40).unwrap();
    let began = Instant::now();
    let (archive, _) = house.pack();
    house.unpack(&archive).unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "it read two terabytes of holes");
    assert!(archive.len() < 1 << 20, "{} bytes", archive.len());
    let back = File::open(house.at("back/0/sparse")).unwrap();
    for piece in 0..60u64 {
        let mut text = vec![0; format!("piece {piece}").len()];
        back.read_exact_at(&mut text, piece << 34).unwrap();
        assert_eq!(text, format!("piece {piece}").as_bytes());
    }
    for name in ["sparse", "hole"] {
        let found = fs::metadata(house.at("back/0").join(name)).unwrap();
        assert_eq!(found.len(), 1 << 40);
        assert!(found.blocks() < 4096, "{name} has {} blocks", found.blocks());
    }
}

#[test]
fn what_has_no_contents_is_left_out_and_told() {
    let house = House::new();
    mknodat(CWD, house.at("data/fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(house.at("data/socket")).unwrap();
    let (archive, mut left_out) = house.pack();
    left_out.sort();
    assert_eq!(left_out, ["0/fifo: it is a FIFO", "0/socket: it is a socket"]);
    house.unpack(&archive).unwrap();
    assert_eq!(fs::read_dir(house.at("back/0")).unwrap().count(), 0);
}

#[test]
fn a_database_in_use_is_whole_at_one_moment() {
    let house = House::new();
    let path = house.at("data/app.db");
    let live = Connection::open(&path).unwrap();
    live.pragma_update(None, "journal_mode", "wal").unwrap();
    live.execute_batch("CREATE TABLE pairs (a, b)").unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    let archive = std::thread::scope(|scope| {
        scope.spawn(|| {
            let writer = Connection::open(&path).unwrap();
            writer.busy_timeout(Duration::from_secs(5)).unwrap();
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                // Both or none.
                let sql = "BEGIN; INSERT INTO pairs VALUES (1, randomblob(900));
                           INSERT INTO pairs VALUES (2, randomblob(900)); COMMIT";
                writer.execute_batch(sql).unwrap();
            }
        });
        let count = || live.query_row("SELECT count(*) FROM pairs", [], |row| row.get::<_, i64>(0));
        while count().unwrap() < 200 {}
        let (archive, left_out) = house.pack();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(left_out, Vec::<String>::new());
        archive
    });
    house.unpack(&archive).unwrap();
    assert!(!house.at("back/0/app.db-wal").exists());
    let back = Connection::open(house.at("back/0/app.db")).unwrap();
    let count = |a: i64| {
        let sql = "SELECT count(*) FROM pairs WHERE a = ?";
        back.query_row(sql, [a], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert!(count(1) >= 100);
    assert_eq!(count(1), count(2));
    let sound: String = back.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[test]
fn a_pipe_beside_a_database_holds_nobody_up() {
    for suffix in ["-journal", "-wal", "-shm"] {
        let house = House::new();
        let database = house.at("data/app.db");
        Connection::open(&database).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        let pipe = house.at(&format!("data/app.db{suffix}"));
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let (_, left_out) = house.pack();
        let told = left_out.iter().any(|line| line.contains(&format!("{suffix} beside it")));
        assert!(told, "{left_out:?}");
    }
}

#[test]
fn what_only_looks_like_a_database_is_copied_as_it_is() {
    let house = House::new();
    let text = b"SQLite format 3\0 and then something else altogether".repeat(100);
    fs::write(house.at("data/fake"), &text).unwrap();
    fs::write(house.at("data/fake-wal"), "more").unwrap();
    let (archive, left_out) = house.pack();
    assert_eq!(left_out.len(), 1, "{left_out:?}");
    house.unpack(&archive).unwrap();
    assert_eq!(fs::read(house.at("back/0/fake")).unwrap(), text);
    assert_eq!(fs::read(house.at("back/0/fake-wal")).unwrap(), b"more");
}

/// An archive with entries that ours never have.
fn forged(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    add(&mut tar, "0", tar::EntryType::Directory, "");
    fill(&mut tar);
    zstd::encode_all(Cursor::new(tar.into_inner().unwrap()), 1).unwrap()
}

fn add(tar: &mut tar::Builder<Vec<u8>>, path: &str, kind: tar::EntryType, link: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(0);
    let old = header.as_old_mut();
    // Past the builder, which would refuse such paths itself.
    old.name[..path.len()].copy_from_slice(path.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    tar.append(&header, std::io::empty()).unwrap();
}

#[test]
fn nothing_is_ever_written_outside() {
    use tar::EntryType::{Char, Directory, Fifo, Link, Regular, Symlink};
    let house = House::new();
    let outside = house.at("outside");
    fs::create_dir(&outside).unwrap();
    let aim = outside.to_str().unwrap();
    let cases: [&[(&str, tar::EntryType, &str)]; 9] = [
        &[("../outside/file", Regular, "")],
        &[("0/../../outside/file", Regular, "")],
        &[("/tmp/file", Regular, "")],
        &[("0/link", Symlink, aim), ("0/link/file", Regular, "")],
        &[("0/link", Symlink, aim), ("0/link", Directory, "")],
        &[("0/link", Symlink, "../outside/file"), ("0/link", Regular, "")],
        &[("0/hard", Link, "/etc/passwd")],
        &[("1/file", Regular, "")],
        &[("0/fifo", Fifo, ""), ("0/device", Char, "")],
    ];
    for case in cases {
        fs::remove_dir_all(house.at("back")).unwrap();
        fs::create_dir(house.at("back")).unwrap();
        let archive =
            forged(|tar| case.iter().for_each(|(path, kind, link)| add(tar, path, *kind, link)));
        assert!(house.unpack(&archive).is_err(), "{case:?}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{case:?}");
    }
    // What stands for the instance's folder itself.
    for (kind, link) in [(Symlink, aim), (Regular, "")] {
        fs::remove_dir_all(house.at("back")).unwrap();
        fs::create_dir(house.at("back")).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        add(&mut tar, "0", kind, link);
        let archive = zstd::encode_all(Cursor::new(tar.into_inner().unwrap()), 1).unwrap();
        assert!(house.unpack(&archive).is_err(), "{kind:?}");
        assert_eq!(fs::read_dir(house.at("back")).unwrap().count(), 0, "{kind:?}");
    }
    assert!(house.unpack(b"no archive").is_err());
    let (whole, _) = house.pack();
    assert!(house.unpack(&whole[..whole.len() / 2]).is_err());
}

#[test]
fn what_sqlite_leaves_beside_a_database_is_its_owners() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let house = House::new();
    let path = house.at("data/app.db");
    let db = Connection::open(&path).unwrap();
    db.pragma_update(None, "journal_mode", "wal").unwrap();
    db.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(db);
    for path in [&house.at("data"), &path] {
        std::os::unix::fs::chown(path, Some(12345), Some(12345)).unwrap();
    }
    house.pack();
    for entry in fs::read_dir(house.at("data")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), 12345, "{:?}", entry.file_name());
    }
}

/// Disks and networks change bits, and what was not compressed shows no trace of it.
#[test]
fn a_bit_that_was_changed_is_noticed() {
    let house = House::new();
    let mut noise = 1u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (noise >> 56) as u8
    })
    .take(300_000)
    .collect();
    fs::write(house.at("data/noise"), &bytes).unwrap();
    let (mut archive, _) = house.pack();
    let middle = archive.len() / 2;
    archive[middle] ^= 1;
    assert!(house.unpack(&archive).is_err());
}

#[test]
fn a_database_called_like_a_log_is_kept() {
    let house = House::new();
    for name in ["app", "app-shm"] {
        let database = Connection::open(house.at("data").join(name)).unwrap();
        database.pragma_update(None, "journal_mode", "memory").unwrap();
        database.execute_batch("CREATE TABLE t (x)").unwrap();
    }
    let (archive, _) = house.pack();
    house.unpack(&archive).unwrap();
    assert!(house.at("back/0/app-shm").exists());
}

/// Copied by SQLite it would be a terabyte, and fill the disk for everybody.
#[test]
fn a_database_of_holes_does_not_fill_the_disk() {
    let house = House::new();
    let path = house.at("data/app.db");
    let database = Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(database);
    let file = File::options().write(true).open(&path).unwrap();
    // The number of its pages (https://www.sqlite.org/fileformat.html, 1.3.7).
    file.write_all_at(&(1u32 << 28).to_be_bytes(), 28).unwrap();
    file.set_len(1 << 40).unwrap();
    let (archive, left_out) = house.pack();
    assert!(left_out[0].contains("free disk space"), "{left_out:?}");
    house.unpack(&archive).unwrap();
    let back = fs::metadata(house.at("back/0/app.db")).unwrap();
    assert!(back.len() == 1 << 40 && back.blocks() < 1000, "{} blocks", back.blocks());
    assert!(!house.at("scratch/database").exists());
}

#[test]
fn an_archive_that_was_cut_does_not_say_what_it_lacks() {
    let house = House::new();
    fs::write(house.at("data/file"), "x").unwrap();
    let (archive, _) = house.pack();
    for end in [0, 5, archive.len() - 1] {
        assert_eq!(missing(Cursor::new(&archive[..end])).unwrap(), None, "{end}");
    }
    // Other decoders pass over what it says.
    let tar = zstd::decode_all(Cursor::new(&archive)).unwrap();
    let names: Vec<_> = tar::Archive::new(Cursor::new(tar))
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().into_owned())
        .collect();
    assert_eq!(names, [Path::new("0/"), Path::new("0/file")]);
}

#[test]
fn what_is_missing_stays_on_its_line() {
    let hostile = Missing::new("0/a\nb\tc\u{1b}", "gone\n", true);
    let mut archive = Vec::new();
    missing::write(&[hostile.clone(), Missing::new("0/x: y", "z", false)], &mut archive).unwrap();
    let read = missing(Cursor::new(archive)).unwrap().unwrap();
    assert_eq!(read[0], hostile);
    assert_eq!((read.len(), read[1].to_string().as_str()), (2, "0/x: y: z"));
}
