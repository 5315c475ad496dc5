//! That a limit holds, and nothing runs without it.

use std::os::unix::fs::{FileExt, MetadataExt};

use super::*;

#[test]
fn both_folders_together_reach_the_limit_and_no_more() {
    for limit in [MIB, 20 * MIB, 300 * MIB] {
        let Some(house) = House::new() else { return };
        let written = house.within(Some(limit), |held| {
            let half = vec![1u8; (limit / 2) as usize];
            fs::write(at(&held, 0).join("half"), &half).unwrap();
            let rest = fill(&at(&held, 1).join("rest"));
            let used = storage_used(held.meter.as_ref().unwrap()).unwrap();
            assert!(used <= limit, "{used} of {limit}");
            assert!(used + 64 * 1024 > limit, "{used} of {limit}");
            // What is full can be emptied.
            fs::remove_file(at(&held, 0).join("half")).unwrap();
            fs::remove_file(at(&held, 1).join("rest")).unwrap();
            limit / 2 + rest
        });
        assert!(written + 128 * 1024 + limit / 64 > limit, "{written} of {limit}");
        house.nothing_is_left();
    }
}

#[test]
fn tricks_do_not_reach_beyond_it() {
    let Some(house) = House::new() else { return };
    let limit = 16 * MIB;
    house.within(Some(limit), |held| {
        let (one, two) = (at(&held, 0), at(&held, 1));
        let sparse = File::create(one.join("sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        let used = || storage_used(held.meter.as_ref().unwrap()).unwrap();
        assert!(used() < MIB, "a hole is nothing");
        // Written at its end, and reserved beyond what there is.
        sparse.write_all_at(b"x", (1 << 40) - 1).unwrap();
        let reserved =
            rustix::fs::fallocate(&sparse, rustix::fs::FallocateFlags::KEEP_SIZE, 0, limit + MIB);
        assert_eq!(reserved, Err(Errno::NOSPC));
        // It keeps what it got until then.
        drop(sparse);
        fs::remove_file(one.join("sparse")).unwrap();
        // A hard link costs once, and both folders are one filesystem.
        fs::write(one.join("file"), vec![1u8; MIB as usize]).unwrap();
        fs::hard_link(one.join("file"), two.join("link")).unwrap();
        fs::rename(one.join("file"), two.join("renamed")).unwrap();
        assert!(used() < 3 * MIB);
        // Files that are empty are counted too.
        let mut made = 0;
        let full = loop {
            match File::create(two.join(format!("empty-{made}"))) {
                Ok(_) => made += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
        assert!((8000..8192).contains(&made), "{made}");
        assert!(used() <= limit);
    });
    let outside = fs::metadata(house.image()).unwrap();
    assert!(outside.blocks() * 512 < limit + 8 * MIB, "a hole outside, too");
    house.nothing_is_left();
}

#[test]
fn more_than_the_limit_is_kept_and_not_added_to() {
    let Some(house) = House::new() else { return };
    let big = vec![9u8; 60 << 20];
    fs::create_dir_all(house.path("api/a")).unwrap();
    fs::write(house.path("api/a/big"), &big).unwrap();
    for number in 0..5000 {
        house.write(&format!("b/a/{number}"), "");
    }
    house.within(Some(MIB), |held| {
        assert_eq!(fs::read(at(&held, 0).join("big")).unwrap(), big);
        assert_eq!(fs::read_dir(at(&held, 1)).unwrap().count(), 5000);
        assert_eq!(fill(&at(&held, 1).join("more")), 0);
        fs::remove_file(at(&held, 0).join("big")).unwrap();
    });
    house.nothing_is_left();
}

#[test]
fn a_limit_falls() {
    let Some(house) = House::new() else { return };
    house.within(Some(40 * MIB), |held| {
        fs::write(at(&held, 0).join("file"), vec![5u8; 3 << 20]).unwrap();
        fs::write(at(&held, 0).join("more"), vec![6u8; 30 << 20]).unwrap();
    });
    house.within(Some(8 * MIB), |held| {
        assert!(storage_used(held.meter.as_ref().unwrap()).unwrap() > 33 * MIB);
        assert_eq!(fill(&at(&held, 1).join("none")), 0);
        let read = fs::read(at(&held, 0).join("more")).unwrap();
        assert_eq!(read, vec![6u8; 30 << 20]);
        fs::remove_file(at(&held, 0).join("more")).unwrap();
        let room = fill(&at(&held, 1).join("some"));
        assert!((4 * MIB..=5 * MIB).contains(&room), "{room}");
    });
    house.nothing_is_left();
}

/// ext4 grows while it is mounted, for whoever has CAP_SYS_RESOURCE.
#[test]
fn a_limit_rises() {
    let Some(house) = House::new() else { return };
    house.within(Some(MIB), |held| fs::write(at(&held, 0).join("file"), "old").unwrap());
    let rise = |limit| {
        house.try_within(Some(limit), |held| {
            assert_eq!(fs::read_to_string(at(&held, 0).join("file")).unwrap(), "old");
            let written = fill(&at(&held, 1).join("fill"));
            fs::remove_file(at(&held, 1).join("fill")).unwrap();
            written
        })
    };
    let may = rustix::thread::capabilities(None).unwrap().effective;
    for limit in [30 * MIB, 600 * MIB] {
        if may.contains(rustix::thread::CapabilitySet::SYS_RESOURCE) {
            let written = rise(limit).unwrap();
            assert!(written <= limit && written + MIB + limit / 64 > limit, "{written} of {limit}");
        } else {
            let failure = rise(limit).unwrap_err();
            assert_eq!((failure.step, failure.errno), (Step::StorageLimit, libc::EPERM));
            assert!(failure.to_string().contains("CAP_SYS_RESOURCE"), "{failure}");
        }
    }
    // Back to what it was, in any case.
    assert!(rise(MIB).unwrap() <= MIB);
    house.nothing_is_left();
}

fn refuse(plan: &LaunchPlan) -> Failure {
    let (_, reporter) = Reporter::pair().unwrap();
    hold(plan, outside(plan).unwrap().as_ref(), &reporter).unwrap_err()
}

#[test]
fn what_cannot_be_limited_does_not_start() {
    let Some(house) = House::new() else { return };
    let mut bare = plan(house.storage(Some(MIB)));
    bare.walls = Walls::Bare;
    assert_eq!(refuse(&bare).step, Step::StorageWalls);
    let mut inside = plan(house.storage(Some(MIB)));
    inside.socket = Some(house.path("api/a/s"));
    assert_eq!(refuse(&inside).step, Step::StorageSocket);
    house.within(Some(MIB), |held| fs::write(at(&held, 0).join("in"), "in").unwrap());
    // Nor does what has its data in an image, and would see none.
    bare.storage = Some(house.storage(None));
    assert_eq!(refuse(&bare).step, Step::StorageWalls);
    house.nothing_is_left();
}

#[test]
fn this_hosts_mechanism_is_known() {
    let folder = tempfile::tempdir().unwrap();
    mechanism(folder.path()).unwrap();
    assert!(mechanism(Path::new("/nonexistent")).is_err());
    assert_eq!(mechanism(Path::new("/proc")), Ok(Mechanism::Image));
}
