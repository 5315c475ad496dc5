//! Images, mounted in mount namespaces that end with each test. Projects are shown in the
//! machine, whose kernel has them.

mod limits;
mod moves;

use std::{
    fs::{self, File},
    io::Write,
};

use rustix::thread::{UnshareFlags, unshare_unsafe};
use tempfile::TempDir;

use super::*;
use crate::{
    plan::{Limits, Network, User, Walls},
    report::Report,
    walls,
};

const MIB: u64 = 1024 * 1024;

/// A data folder with one tree.
struct House {
    folder: TempDir,
    folders: Vec<&'static str>,
}

impl House {
    /// `None` where this process cannot mount images.
    fn new() -> Option<Self> {
        if !geteuid().is_root() || !Path::new("/dev/loop-control").exists() || mkfs().is_none() {
            println!("SKIP images need root, loop devices and mkfs.ext4");
            return None;
        }
        Some(Self { folder: tempfile::tempdir().unwrap(), folders: vec!["api/a", "b/a"] })
    }

    fn storage(&self, limit: Option<u64>) -> Storage {
        let data_dir = self.folder.path().to_owned();
        let folders = self.folders.iter().map(|folder| data_dir.join(folder)).collect();
        Storage { folders, home: data_dir.join(".images/api:a"), limit, data_dir }
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join(".images/api:a/image")
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), content).unwrap();
    }

    /// What an init does, in a mount namespace of its own that ends with it.
    fn within<T: Send>(&self, limit: Option<u64>, then: impl FnOnce(Held) -> T + Send) -> T {
        self.try_within(limit, then).unwrap()
    }

    fn try_within<T: Send>(
        &self,
        limit: Option<u64>,
        then: impl FnOnce(Held) -> T + Send,
    ) -> Result<T, Failure> {
        let (_, reporter) = Reporter::pair().unwrap();
        self.try_telling(&reporter, limit, then)
    }

    /// Whether it says that data are moved.
    fn moves(&self, limit: Option<u64>) -> bool {
        let (end, reporter) = Reporter::pair().unwrap();
        self.try_telling(&reporter, limit, drop).unwrap();
        std::iter::from_fn(|| end.next()).any(|report| report == Report::Preparing)
    }

    fn try_telling<T: Send>(
        &self,
        reporter: &Reporter,
        limit: Option<u64>,
        then: impl FnOnce(Held) -> T + Send,
    ) -> Result<T, Failure> {
        let storage = self.storage(limit);
        for folder in &storage.folders {
            fs::create_dir_all(folder).unwrap();
        }
        let plan = plan(storage);
        let outside = outside(&plan).unwrap();
        apart(|| hold(&plan, outside.as_ref(), reporter).map(then))
    }

    fn look<T: Send>(&self, then: impl FnOnce(Vec<PathBuf>) -> T + Send) -> T {
        let storage = self.storage(None);
        apart(|| {
            let seen = look_into(&storage).unwrap();
            then(seen.folders.clone())
        })
    }

    /// Loop devices of this house.
    fn devices(&self) -> Vec<String> {
        let devices = fs::read_dir("/sys/block").unwrap().flatten();
        let backing = devices
            .flat_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok());
        backing.filter(|file| Path::new(file).starts_with(self.folder.path())).collect()
    }

    fn nothing_is_left(&self) {
        // The kernel lets go of a device a moment after its last user.
        let began = std::time::Instant::now();
        while !self.devices().is_empty() {
            assert!(began.elapsed().as_secs() < 10, "{:?}", self.devices());
            std::thread::yield_now();
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.folder.path().to_str().unwrap()), "{mounts}");
    }
}

/// Runs something in a mount namespace that ends with it: a thread may have one.
fn apart<T: Send>(then: impl FnOnce() -> T + Send) -> T {
    let body = || {
        // SAFETY: changes what paths mean to this thread, and nothing else.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
        walls::part_mounts().unwrap();
        then()
    };
    std::thread::scope(|scope| scope.spawn(body).join().unwrap())
}

fn plan(storage: Storage) -> LaunchPlan {
    LaunchPlan {
        name: "api:a".into(),
        program: "/bin/true".into(),
        argv: Vec::new(),
        env: Vec::new(),
        workdir: "/".into(),
        folders: storage.folders.clone(),
        storage: Some(storage),
        scratch: None,
        socket: None,
        activation: false,
        user: User::Inherit,
        walls: Walls::Namespaces {
            hostname: "a".into(),
            network: Network::Host,
            mounts: Vec::new(),
        },
        limits: Limits::default(),
    }
}

/// The path of a shown folder, for as long as `held` is.
fn at(held: &Held, number: usize) -> PathBuf {
    let fd = std::os::fd::AsRawFd::as_raw_fd(&held.shown[number].1);
    format!("/proc/self/fd/{fd}").into()
}

/// As much as fits, in bytes.
fn fill(file: &Path) -> u64 {
    let mut file = File::create(file).unwrap();
    let block = vec![7u8; 64 * 1024];
    let mut written = 0;
    loop {
        match file.write(&block) {
            Ok(bytes) => written += bytes as u64,
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
                file.sync_all().unwrap();
                return written;
            }
        }
    }
}
