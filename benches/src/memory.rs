//! What ten holds in memory and does while nobody asks: with many instances that sleep, and
//! with 500 that run beside the same 500 spawned without ten.
//!
//! Each state is measured once: memory and wake-ups of an idle server do not scatter as times
//! do. Only the start is repeated.

mod fleet;
mod report;

use std::{collections::BTreeMap, thread, time::Duration};

use crate::{
    Failure,
    bare::Ground,
    program::{Level, Listen, Program},
    resident,
    summary::{Samples, Summary},
    usage,
};

pub use crate::resident::Resident;
pub use report::Report;

use fleet::{Fleet, Pids};

/// Sleeping instances that a server knows.
const KNOWN: [usize; 3] = [1, 1_000, 10_000];
/// Instances that run.
pub const RUNNING: usize = 500;
/// Behind which walls they do.
const LEVELS: [Level; 2] = [Level::Process, Level::Namespace];
/// Starts of each server that count, after one that does not.
const STARTS: usize = 10;
/// Until what the last requests left has ended: threads that had nothing to do go after ten
/// seconds.
const SETTLING: Duration = Duration::from_secs(12);
/// How long idleness is watched. One health check of each instance falls into it.
pub const WINDOW: Duration = Duration::from_secs(10);

/// Everything that was measured.
#[derive(Debug)]
pub struct Memory {
    /// A row for each number of known instances.
    pub sleeping: Vec<Sleeping>,
    /// A row for each level.
    pub running: Vec<Running>,
    /// The same programs as in `running`, spawned without ten: all together.
    pub bare: Resident,
}

/// A server of which all instances sleep.
#[derive(Debug, Clone, Copy)]
pub struct Sleeping {
    /// How many it knows.
    pub known: usize,
    /// The process that starts others, and its fork that moves data.
    pub warden: Resident,
    /// The process that takes requests.
    pub front: Resident,
    /// What both did in [`WINDOW`].
    pub idle: Idle,
    /// From the spawn of `ten serve` until it says that it listens.
    pub listening: Summary,
    /// From there to the first byte from an instance that had to be woken.
    pub answered: Summary,
}

/// A server of which [`RUNNING`] instances run.
#[derive(Debug, Clone, Copy)]
pub struct Running {
    /// Behind which walls.
    pub level: Level,
    /// Warden and front when all slept.
    pub before: Resident,
    /// Warden and front now.
    pub after: Resident,
    /// The processes of ten's beside each instance, all together.
    pub inits: Resident,
    /// How many those are.
    pub init_count: usize,
    /// The instances' own processes, all together.
    pub tenants: Resident,
    /// What warden, front and the processes beside the instances did in [`WINDOW`].
    pub idle: Idle,
}

/// What processes did while nobody asked.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// On processors.
    pub cpu: Duration,
    /// How often a thread was given a processor.
    pub switches: u64,
}

/// Measures everything.
///
/// # Errors
///
/// Where anything does not answer, or a process cannot be looked at: a measurement with holes is
/// none.
pub fn measure() -> Result<Memory, Failure> {
    let program = Program { health: Some("/health"), ..Program::tenant(Listen::Socket) };
    let sleeping = KNOWN.iter().map(|&known| sleeping(&program, known));
    let sleeping = sleeping.collect::<Result<_, _>>()?;
    let running = LEVELS.iter().map(|&level| running(&program, level));
    let running = running.collect::<Result<_, _>>()?;
    let mut ground = Ground::new()?;
    let started = ground.run(&program, RUNNING)?;
    let pids: Vec<u32> = started.iter().map(|started| started.pid()).collect();
    Ok(Memory { sleeping, running, bare: resident(program.name, &pids)? })
}

fn sleeping(program: &Program, known: usize) -> Result<Sleeping, Failure> {
    let mut fleet = Fleet::prepare(program, Level::Process, known)?;
    let (mut listening, mut answered) = (Samples::default(), Samples::default());
    fleet.start()?;
    for _ in 0..STARTS {
        fleet.stop();
        let start = fleet.start()?;
        listening.add(start.listening);
        answered.add(start.answered);
    }
    fleet.put_first_to_sleep()?;
    thread::sleep(SETTLING);
    let Pids { servants, front, .. } = fleet.pids()?;
    Ok(Sleeping {
        known,
        warden: resident("ten", &servants)?,
        front: resident("ten", &[front])?,
        idle: idle(&[&servants[..], &[front]].concat())?,
        listening: listening.summary(),
        answered: answered.summary(),
    })
}

fn running(program: &Program, level: Level) -> Result<Running, Failure> {
    let mut fleet = Fleet::prepare(program, level, RUNNING)?;
    // The first wake brings code into memory that no later one needs again.
    fleet.start()?;
    fleet.put_first_to_sleep()?;
    thread::sleep(SETTLING);
    let Pids { servants, front, .. } = fleet.pids()?;
    let both = [&servants[..], &[front]].concat();
    let before = resident("ten", &both)?;
    fleet.wake(RUNNING)?;
    thread::sleep(SETTLING);
    let Pids { inits, tenants, .. } = fleet.pids()?;
    let own: Vec<u32> = both.iter().chain(&inits).copied().collect();
    Ok(Running {
        level,
        before,
        after: resident("ten", &both)?,
        inits: resident("ten", &inits)?,
        init_count: inits.len(),
        tenants: resident(program.name, &tenants)?,
        idle: idle(&own)?,
    })
}

fn resident(peer: &'static str, pids: &[u32]) -> Result<Resident, Failure> {
    let of = |&pid| resident::of(pid).map_err(|source| Failure::Usage { peer, pid, source });
    pids.iter().map(of).sum()
}

fn idle(pids: &[u32]) -> Result<Idle, Failure> {
    let before = pids.iter().map(activity).collect::<Result<Vec<_>, _>>()?;
    thread::sleep(WINDOW);
    let after = pids.iter().map(activity).collect::<Result<Vec<_>, _>>()?;
    let mut idle = Idle { cpu: Duration::ZERO, switches: 0 };
    for ((cpu_before, before), (cpu, switches)) in before.iter().zip(after) {
        idle.cpu += cpu.saturating_sub(*cpu_before);
        let since = |(thread, n): (&u32, &u64)| n - before.get(thread).unwrap_or(&0);
        idle.switches += switches.iter().map(since).sum::<u64>();
    }
    Ok(idle)
}

/// By thread.
type Switches = BTreeMap<u32, u64>;

fn activity(&pid: &u32) -> Result<(Duration, Switches), Failure> {
    let looked = usage::of(pid).and_then(|usage| Ok((usage.cpu, usage::switches(pid)?)));
    looked.map_err(|source| Failure::Usage { peer: "ten", pid, source })
}
