//! A server that knows many instances of one service, and the processes that it is made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use ten_domain::{InstanceName, Weight};
use ten_store::{Origin, Store};
use ten_testkit::{Ten, process, ten_binary};
use tokio::task::JoinSet;

use crate::{
    Failure,
    admin::Admin,
    at_once::at_once,
    exchange::{ask, tcp},
    program::{Level, Program},
};

/// Instances that are woken at once; all of them would meet the limit on the time of a start
/// where the machine has other work.
const BATCH: usize = 50;

pub(super) struct Fleet {
    ten: Ten,
    service: String,
}

/// The pids of a server, by what they are.
pub(super) struct Pids {
    /// The warden, and its keeper.
    pub(super) servants: Vec<u32>,
    pub(super) front: u32,
    /// The other processes that run the `ten` binary.
    pub(super) inits: Vec<u32>,
    /// Everything else below the warden.
    pub(super) tenants: Vec<u32>,
}

/// From the spawn of `ten serve`.
pub(super) struct Start {
    /// To the line that says where it listens.
    pub(super) listening: Duration,
    /// To the first byte of an answer of an instance that had to be woken for it.
    pub(super) answered: Duration,
}

impl Fleet {
    /// One that knows so many sleeping instances, and has not been started.
    pub(super) fn prepare(program: &Program, level: Level, known: usize) -> Result<Self, Failure> {
        let ten = Ten::with_config(&program.section(level)).prepare();
        let service = program.service(level);
        let data_dir = ten.data_dir();
        fs::create_dir_all(&data_dir)
            .map_err(|source| Failure::Path { path: data_dir.clone(), source })?;
        seed(&data_dir, &service, known)?;
        Ok(Self { ten, service })
    }

    /// Starts it and asks its first instance at once.
    pub(super) fn start(&mut self) -> Result<Start, Failure> {
        let start = Instant::now();
        self.ten.start();
        let listening = start.elapsed();
        let answered = self.ask(0)? - start;
        Ok(Start { listening, answered })
    }

    pub(super) fn stop(&mut self) {
        self.ten.stop();
    }

    /// Stops its first instance, so that all sleep that were not woken otherwise.
    pub(super) fn put_first_to_sleep(&self) -> Result<(), Failure> {
        Admin::of(&self.ten).put_to_sleep(&self.service, &id(0))
    }

    /// Wakes its first so many instances.
    pub(super) fn wake(&self, n: usize) -> Result<(), Failure> {
        for from in (0..n).step_by(BATCH) {
            let batch = BATCH.min(n - from);
            let (_, answers) = at_once(batch, |_| (), |i, ()| self.ask(from + i));
            answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        }
        Ok(())
    }

    fn ask(&self, i: usize) -> Result<Instant, Failure> {
        let host = format!("{}.{}.localhost", id(i), self.service);
        let mut stream = tcp(self.ten.address())
            .map_err(|source| Failure::Unanswered { host: host.clone(), source })?;
        ask(&mut *stream, "GET", &host, "/").map(|answer| answer.first_byte)
    }

    pub(super) fn pids(&self) -> Result<Pids, Failure> {
        let warden = self.ten.warden();
        let Some(front) = self.ten.front() else {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(Failure::Usage { peer: "the front", pid: warden, source });
        };
        let below = descendants(warden).into_iter().filter(|pid| *pid != front);
        let (keepers, below): (Vec<u32>, Vec<u32>) = below.partition(|pid| is_keeper(*pid));
        let binary = file(ten_binary());
        let (inits, tenants) = below
            .into_iter()
            .partition(|pid| binary.is_some() && file(format!("/proc/{pid}/exe")) == binary);
        let servants = keepers.into_iter().chain([warden]).collect();
        Ok(Pids { servants, front, inits, tenants })
    }
}

/// Whether it is the fork of the warden that moves data.
fn is_keeper(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "ten-keeper\n")
}

fn id(i: usize) -> String {
    format!("i{i}")
}

fn seed(data_dir: &Path, service: &str, known: usize) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let path = data_dir.to_path_buf();
    let runtime = runtime.map_err(|source| Failure::Path { path, source })?;
    // Where the front has it; it becomes the front's when the server starts.
    let state = data_dir.join(".state");
    fs::create_dir_all(&state).map_err(|source| Failure::Path { path: state.clone(), source })?;
    let store = Store::open(&state).map_err(Failure::Seed)?;
    let service = service.parse().expect("a name that the config has too");
    let written = runtime.block_on(async {
        // All at once, because what has queued up shares one transaction.
        let mut writes = JoinSet::new();
        for i in 0..known {
            let id = id(i).parse().expect("letters and digits");
            let name = InstanceName::new(Clone::clone(&service), id);
            let store = store.clone();
            writes.spawn(async move { store.remember(name, Weight::FULL, Origin::Request).await });
        }
        writes.join_all().await.into_iter().collect::<Result<(), _>>()
    });
    written.map_err(Failure::Seed)
}

/// Which file a path names, whatever the path is called.
fn file(path: impl AsRef<Path>) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn descendants(pid: u32) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for process in process::all() {
        children.entry(process.parent).or_default().push(process.pid);
    }
    let mut found = BTreeSet::new();
    let mut next = vec![pid];
    while let Some(parent) = next.pop() {
        for &child in children.get(&parent).into_iter().flatten() {
            if found.insert(child) {
                next.push(child);
            }
        }
    }
    found
}
