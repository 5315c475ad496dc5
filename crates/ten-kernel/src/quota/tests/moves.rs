//! That data are in one place, whole, whatever happens on the way there.

use std::{
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    },
    process::Command,
};

use rustix::fs::mknodat;

use super::*;

#[test]
fn what_was_there_before_is_in_it_and_in_one_place() {
    let Some(house) = House::new() else { return };
    house.write("api/a/db/file", "content");
    house.write("b/a/other", "other");
    let top = house.path("api/a");
    symlink("/etc/shadow", top.join("link")).unwrap();
    fs::hard_link(top.join("db/file"), top.join("hard")).unwrap();
    mknodat(
        rustix::fs::CWD,
        top.join("fifo"),
        rustix::fs::FileType::Fifo,
        Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
    let sparse = File::create(top.join("sparse")).unwrap();
    sparse.write_all_at(b"end", 10 << 30).unwrap();
    fs::set_permissions(top.join("db"), fs::Permissions::from_mode(0o700)).unwrap();
    rustix::fs::chown(top.join("db/file"), Some(rustix::fs::Uid::from_raw(4711)), None).unwrap();
    house.within(Some(20 * MIB), |held| {
        let (one, two) = (at(&held, 0), at(&held, 1));
        assert_eq!(fs::read_to_string(one.join("db/file")).unwrap(), "content");
        assert_eq!(fs::read_to_string(two.join("other")).unwrap(), "other");
        assert_eq!(fs::read_link(one.join("link")).unwrap(), Path::new("/etc/shadow"));
        let (file, hard) = (one.join("db/file").metadata(), one.join("hard").metadata());
        let (file, hard) = (file.unwrap(), hard.unwrap());
        assert_eq!((file.ino(), file.nlink(), file.uid()), (hard.ino(), 2, 4711));
        let fifo = fs::symlink_metadata(one.join("fifo")).unwrap();
        assert_eq!(fifo.mode(), libc::S_IFIFO | 0o640);
        let sparse = one.join("sparse").metadata().unwrap();
        assert_eq!(sparse.len(), (10 << 30) + 3);
        assert!(sparse.blocks() < 100, "{}", sparse.blocks());
    });
    for folder in ["api/a", "b/a"] {
        assert_eq!(fs::read_dir(house.path(folder)).unwrap().count(), 0, "it is there twice");
    }
    assert!(!house.path(".images/api:a/before").exists());
    // And it stays there, with a limit or without one.
    for limit in [Some(10 * MIB), Some(20 * MIB), None] {
        house.within(limit, |held| {
            assert_eq!(fs::read_to_string(at(&held, 0).join("hard")).unwrap(), "content");
        });
    }
    house.nothing_is_left();
}

/// Whoever waits for the start is told when it will take as long as there are data, and only then.
#[test]
fn it_is_said_before_data_are_moved() {
    let Some(house) = House::new() else { return };
    let limit = Some(20 * MIB);
    assert!(!house.moves(None) && !house.moves(limit), "there is nothing to move");
    fs::remove_file(house.image()).unwrap();
    house.write("api/a/file", "content");
    assert!(!house.moves(None), "without a limit nothing is moved");
    // A backup of the folder is waited for, and that is said before.
    let (end, reporter) = Reporter::pair().unwrap();
    let reader = File::open(house.path("api/a")).unwrap();
    rustix::fs::flock(&reader, rustix::fs::FlockOperation::LockShared).unwrap();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| house.try_telling(&reporter, limit, drop));
        let mut ready = [rustix::event::PollFd::new(&end, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut ready, None).unwrap();
        assert_eq!(end.next(), Some(Report::Preparing));
        assert_eq!(fs::read_to_string(house.path("api/a/file")).unwrap(), "content");
        drop(reader);
        held.join().unwrap().unwrap();
    });
    assert!(house.image().exists() && !house.moves(limit), "it is moved already");
    // Killed before the rest was removed, or before there was an image.
    house.write(".images/api:a/before/api/a/file", "content");
    assert!(house.moves(limit) && !house.moves(limit));
    fs::remove_file(house.image()).unwrap();
    house.write(".images/api:a/before/api/a/file", "content");
    assert!(!house.moves(None), "putting it back takes no time");
    assert_eq!(fs::read_to_string(house.path("api/a/file")).unwrap(), "content");
    fs::create_dir_all(house.path(".images/api:a/before/api")).unwrap();
    fs::rename(house.path("api/a"), house.path(".images/api:a/before/api/a")).unwrap();
    assert!(house.moves(limit) && !house.moves(limit));
    house.nothing_is_left();
}

/// Where no image can be made, everything is where it was.
#[test]
fn what_cannot_be_moved_stays_where_it_is() {
    let Some(house) = House::new() else { return };
    house.write("api/a/file", "content");
    house.write("b/a/other", "other");
    // In the way of the draft.
    fs::create_dir_all(house.path(".images/api:a/draft/x")).unwrap();
    let failure = house.try_within(Some(MIB), |_| ()).unwrap_err();
    assert_eq!(failure.step, Step::StorageImage);
    for (file, text) in [("api/a/file", "content"), ("b/a/other", "other")] {
        assert_eq!(fs::read_to_string(house.path(file)).unwrap(), text);
    }
    assert!(!house.image().exists() && !house.path(".images/api:a/before").exists());
    fs::remove_dir_all(house.path(".images/api:a/draft")).unwrap();
    house.within(None, |held| assert!(held.shown.is_empty()));
    house.within(Some(8 * MIB), |held| assert_eq!(held.shown.len(), 2));
    house.nothing_is_left();
}

/// Killed at each step of making an image: the data are whole, where the next start or a
/// backup looks for them.
#[test]
fn whoever_dies_in_between_loses_nothing() {
    let Some(house) = House::new() else { return };
    let before = house.path(".images/api:a/before");
    type Break = fn(&House, &Path);
    let breaks: [(&str, Break); 4] = [
        ("nothing moved", |_, before| fs::create_dir_all(before).unwrap()),
        ("one folder moved", |house, before| {
            fs::create_dir_all(before.join("api")).unwrap();
            fs::rename(house.path("api/a"), before.join("api/a")).unwrap();
        }),
        ("both moved, one new folder made", |house, before| {
            for folder in ["api", "b"] {
                fs::create_dir_all(before.join(folder)).unwrap();
                fs::rename(house.path(folder).join("a"), before.join(folder).join("a")).unwrap();
            }
            fs::create_dir(house.path("api/a")).unwrap();
        }),
        ("half a draft", |house, before| {
            for folder in ["api", "b"] {
                fs::create_dir_all(before.join(folder)).unwrap();
                fs::rename(house.path(folder).join("a"), before.join(folder).join("a")).unwrap();
            }
            fs::write(house.path(".images/api:a/draft"), "half").unwrap();
        }),
    ];
    for (what, interrupt) in breaks {
        for limit in [Some(20 * MIB), None] {
            house.write("api/a/file", "content");
            house.write("b/a/other", "other");
            interrupt(&house, &before);
            house.look(|folders| {
                assert_eq!(
                    fs::read_to_string(folders[0].join("file")).unwrap(),
                    "content",
                    "{what}"
                );
                assert_eq!(
                    fs::read_to_string(folders[1].join("other")).unwrap(),
                    "other",
                    "{what}"
                );
            });
            house.within(limit, |held| {
                let (one, two) = match limit {
                    Some(_) => (at(&held, 0), at(&held, 1)),
                    None => (house.path("api/a"), house.path("b/a")),
                };
                assert_eq!(fs::read_to_string(one.join("file")).unwrap(), "content", "{what}");
                assert_eq!(fs::read_to_string(two.join("other")).unwrap(), "other", "{what}");
            });
            assert!(!before.exists(), "{what}");
            house.nothing_is_left();
            let _ = fs::remove_file(house.image());
            for folder in ["api", "b"] {
                fs::remove_dir_all(house.path(folder)).unwrap();
            }
        }
    }
}

#[test]
fn data_in_two_places_are_not_chosen_from() {
    let Some(house) = House::new() else { return };
    house.within(Some(MIB), |held| fs::write(at(&held, 0).join("in"), "in").unwrap());
    house.write("api/a/out", "out");
    let failure = house.try_within(Some(MIB), |_| ()).unwrap_err();
    assert_eq!(failure.step, Step::StorageTwice);
    assert_eq!(fs::read_to_string(house.path("api/a/out")).unwrap(), "out");
    house.nothing_is_left();
}

/// Two filesystems on one image would destroy it.
#[test]
fn who_reads_a_running_one_sees_the_same_filesystem() {
    let Some(house) = House::new() else { return };
    house.within(Some(8 * MIB), |held| fs::write(at(&held, 0).join("live"), "zero").unwrap());
    let (first, second) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    for reader_comes_first in [false, true] {
        let turn = |mine: bool| {
            if !mine {
                first.wait();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                turn(!reader_comes_first);
                house.within(Some(8 * MIB), |held| {
                    turn(reader_comes_first);
                    fs::write(at(&held, 0).join("live"), "one").unwrap();
                    second.wait();
                    second.wait();
                });
            });
            scope.spawn(|| {
                turn(reader_comes_first);
                house.look(|folders| {
                    turn(!reader_comes_first);
                    second.wait();
                    let live = fs::read_to_string(folders[0].join("live")).unwrap();
                    assert_eq!(live, "one");
                    assert_eq!(house.devices().len(), 1);
                    second.wait();
                });
            });
        });
    }
    house.nothing_is_left();
    let checked = Command::new("fsck.ext4").args(["-f", "-n"]).arg(house.image()).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn many_start_at_once() {
    let Some(first) = House::new() else { return };
    let houses: Vec<_> = (0..8).map(|_| House::new().unwrap()).chain([first]).collect();
    std::thread::scope(|scope| {
        for house in &houses {
            scope.spawn(|| {
                for round in 0..5 {
                    house.within(Some(4 * MIB), |held| {
                        let file = at(&held, 0).join("round");
                        let said = fs::read_to_string(&file).unwrap_or_default();
                        assert_eq!(said.len(), round);
                        fs::write(file, "x".repeat(round + 1)).unwrap();
                    });
                }
            });
        }
    });
    houses.iter().for_each(House::nothing_is_left);
}

#[test]
fn what_never_wrote_costs_nothing() {
    let Some(house) = House::new() else { return };
    let storage = house.storage(None);
    let write = |held: &Held| fs::write(at(held, 1).join("file"), "").unwrap();
    let make = |held: &Held| {
        fs::remove_file(at(held, 1).join("file")).unwrap();
        fs::create_dir(at(held, 1).join("folder")).unwrap();
    };
    let top = |held: &Held| {
        let meter = held.meter.as_ref().unwrap().as_raw_fd();
        PathBuf::from(format!("/proc/self/fd/{meter}/lost+found/#12"))
    };
    let find = |held: &Held| {
        fs::remove_dir(at(held, 1).join("folder")).unwrap();
        fs::write(top(held), "what e2fsck found").unwrap();
    };
    let remove = |held: &Held| fs::remove_file(top(held)).unwrap();
    for (act, stays) in
        [(&write as &(dyn Fn(&Held) + Sync), true), (&make, true), (&find, true), (&remove, false)]
    {
        let meter = house.within(Some(MIB), |held| {
            act(&held);
            held.meter.unwrap()
        });
        discard_bare(&meter, &storage).unwrap();
        assert_eq!(house.image().exists(), stays, "even what is empty is data");
    }
    assert!(!storage.home.exists());
    house.nothing_is_left();
}

/// To read one that has held very many files would take the warden as long as if they were there.
#[test]
fn a_folder_that_was_full_is_not_looked_through() {
    let Some(house) = House::new() else { return };
    let storage = house.storage(None);
    let meter = house.within(Some(4 * MIB), |held| {
        let files: Vec<_> = (0..800).map(|i| at(&held, 1).join(format!("{i:0>200}"))).collect();
        files.iter().for_each(|file| fs::write(file, "").unwrap());
        files.iter().for_each(|file| fs::remove_file(file).unwrap());
        held.meter.unwrap()
    });
    discard_bare(&meter, &storage).unwrap();
    assert!(house.image().exists(), "it was written into");
}

/// An operator's loop device takes no lock of ours.
#[test]
fn who_mounts_one_by_hand_is_joined() {
    let Some(house) = House::new() else { return };
    house.within(Some(8 * MIB), |held| fs::write(at(&held, 0).join("file"), "one").unwrap());
    house.nothing_is_left();
    let losetup = |args: &[&str]| Command::new("losetup").args(args).output().unwrap();
    let image = house.image().to_str().unwrap().to_owned();
    let device = String::from_utf8(losetup(&["--find", "--show", &image]).stdout).unwrap();
    house.within(Some(8 * MIB), |held| {
        assert_eq!(house.devices().len(), 1, "two disks of one image");
        assert_eq!(fs::read_to_string(at(&held, 0).join("file")).unwrap(), "one");
    });
    losetup(&["-d", device.trim()]);
    house.nothing_is_left();
    // One that is only read would see it change under it, and this one start beside it.
    let device = losetup(&["--find", "--show", "--read-only", &image]).stdout;
    let device = String::from_utf8(device).unwrap();
    let failure = house.try_within(Some(8 * MIB), |_| ()).unwrap_err();
    losetup(&["-d", device.trim()]);
    assert_eq!((failure.step, failure.errno), (Step::StorageLoop, libc::EBUSY));
    house.nothing_is_left();
}
