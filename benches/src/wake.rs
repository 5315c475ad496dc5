//! What waking costs: one instance at a time, one asked by a thousand, and a crowd at once.
//!
//! The two sides take turns within each round, and who begins changes from round to round.

use std::{thread, time::Duration};

use crate::{
    Failure,
    bare::Ground,
    program::{Listen, Program},
    sleeper::Sleeper,
    summary::{Samples, Summary},
};

pub use crate::program::Level;

/// Rounds before the first that counts: files come into the page cache, tables are created.
const WARM_UP: usize = 3;
/// Before each wake: what the end of the one before leaves to the kernel (it takes namespaces down
/// when nobody waits for it) and to the warden (the network for the next, after 20 ms) is done then.
/// What wakes has slept for longer.
const QUIET: Duration = Duration::from_millis(50);
/// Requests at once for one sleeping instance.
pub const HERD: usize = 1000;
/// Instances woken at once.
pub const CROWD: usize = 200;
/// Rounds of a thousand requests, and of a crowd of small binaries. One takes as long as hundreds
/// of single wakes.
const CROWDED_ROUNDS: usize = 10;
/// Rounds of a crowd of Python apps, each of which takes a hundred times as long.
const SLOW_CROWDED_ROUNDS: usize = 4;
/// What the tenant writes once it listens: as often as it was started.
const READY: &str = "ready";

/// Everything that was measured.
#[derive(Debug)]
pub struct Wake {
    /// Rounds that counted.
    pub rounds: usize,
    /// A row for each program and level.
    pub latencies: Vec<Latency>,
    /// A row for each level.
    pub herds: Vec<Herd>,
    /// A row for each program and level.
    pub crowds: Vec<Crowd>,
}

/// One wake.
#[derive(Debug)]
pub struct Latency {
    /// Which program.
    pub program: &'static str,
    /// Where it listens: `socket` or `port`.
    pub listen: &'static str,
    /// Behind which walls.
    pub level: Level,
    /// From the spawn without ten to the first byte.
    pub bare: Summary,
    /// From the request to ten to the first byte.
    pub ten: Summary,
}

/// [`HERD`] requests at once for one sleeping instance.
#[derive(Debug)]
pub struct Herd {
    /// Behind which walls.
    pub level: Level,
    /// Times that this was done.
    pub rounds: usize,
    /// Processes that were started, over all rounds.
    pub spawns: usize,
    /// Requests without a good answer, over all rounds, the first of them in words.
    pub errors: usize,
    /// What the first of them was.
    pub first_error: Option<String>,
    /// From the first request to the last answer.
    pub ten: Summary,
}

/// [`CROWD`] sleeping instances woken at once.
#[derive(Debug)]
pub struct Crowd {
    /// Which program.
    pub program: &'static str,
    /// Behind which walls.
    pub level: Level,
    /// Times that this was done.
    pub rounds: usize,
    /// From the first spawn without ten to the last answer.
    pub bare: Summary,
    /// From the first request to the last answer.
    pub ten: Summary,
}

impl Latency {
    /// The median through ten over the median without.
    pub fn ratio(&self) -> f64 {
        self.ten.median / self.bare.median
    }
}

impl Crowd {
    /// The median through ten over the median without.
    pub fn ratio(&self) -> f64 {
        self.ten.median / self.bare.median
    }
}

/// Measures everything, so many rounds of single wakes; or no more than those of the programs
/// that have `only` in their name and where they listen.
///
/// # Errors
///
/// Where anything does not answer: a measurement with holes is none.
pub fn measure(rounds: usize, only: Option<&str>) -> Result<Wake, Failure> {
    let tenant = Program::tenant(Listen::Socket);
    let notes = Program::notes()?;
    let programs = [tenant.clone(), Program::tenant(Listen::Port), notes.clone()];
    let mut ground = Ground::new()?;
    let mut sleeper = Sleeper::start(&programs)?;
    let mut latencies = Vec::new();
    let named = |program: &&Program| {
        only.is_none_or(|only| {
            format!("{}, {}", program.name, program.listen.name()).contains(only)
        })
    };
    for program in programs.iter().filter(named) {
        latencies.extend(latency(rounds, program, &mut ground, &mut sleeper)?);
    }
    if only.is_some() {
        return Ok(Wake { rounds, latencies, herds: Vec::new(), crowds: Vec::new() });
    }
    let herds = Level::ALL.map(|level| herd(&tenant, level, &sleeper));
    let mut crowds = crowd(CROWDED_ROUNDS, &tenant, &mut ground, &sleeper)?;
    crowds.extend(crowd(SLOW_CROWDED_ROUNDS, &notes, &mut ground, &sleeper)?);
    Ok(Wake { rounds, latencies, herds: herds.into_iter().collect::<Result<_, _>>()?, crowds })
}

/// Without ten, and at each level.
const SIDES: usize = 1 + Level::ALL.len();

fn latency(
    rounds: usize,
    program: &Program,
    ground: &mut Ground,
    sleeper: &mut Sleeper,
) -> Result<Vec<Latency>, Failure> {
    let mut samples: [Samples; SIDES] = Default::default();
    for round in 0..WARM_UP + rounds {
        for turn in 0..SIDES {
            let side = (round + turn) % SIDES;
            thread::sleep(QUIET);
            let took = match side.checked_sub(1) {
                None => ground.wake(program)?,
                Some(level) => sleeper.wake(&program.service(Level::ALL[level]))?,
            };
            if round >= WARM_UP {
                samples[side].add(took);
            }
        }
    }
    let [bare, ten @ ..] = samples.map(|samples| samples.summary());
    let row = |(level, ten)| Latency {
        program: program.name,
        listen: program.listen.name(),
        level,
        bare,
        ten,
    };
    Ok(Level::ALL.into_iter().zip(ten).map(row).collect())
}

fn herd(program: &Program, level: Level, sleeper: &Sleeper) -> Result<Herd, Failure> {
    let service = program.service(level);
    let mut samples = Samples::default();
    let (mut spawns, mut failures) = (0, Vec::new());
    for round in 0..CROWDED_ROUNDS {
        // Never asked for before, so that its log tells of this round alone.
        let id = format!("herd{round}");
        let (took, failed) = sleeper.wake_at_once(&service, &vec![id.clone(); HERD])?;
        samples.add(took);
        failures.extend(failed);
        sleeper.admin.put_to_sleep(&service, &id)?;
        spawns += sleeper.admin.lines_with(&service, &id, READY)?;
    }
    Ok(Herd {
        level,
        rounds: CROWDED_ROUNDS,
        spawns,
        errors: failures.len(),
        first_error: failures.first().map(ToString::to_string),
        ten: samples.summary(),
    })
}

fn crowd(
    rounds: usize,
    program: &Program,
    ground: &mut Ground,
    sleeper: &Sleeper,
) -> Result<Vec<Crowd>, Failure> {
    let ids: Vec<String> = (0..CROWD).map(|i| format!("crowd{i}")).collect();
    let mut samples: [Samples; SIDES] = Default::default();
    // The first round makes the instances known, which happens once in their lives.
    for round in 0..1 + rounds {
        for turn in 0..SIDES {
            let side = (round + turn) % SIDES;
            let took = match side.checked_sub(1) {
                None => ground.crowd(program, CROWD)?,
                Some(level) => wake_crowd(&program.service(Level::ALL[level]), &ids, sleeper)?,
            };
            if round > 0 {
                samples[side].add(took);
            }
        }
    }
    let [bare, ten @ ..] = samples.map(|samples| samples.summary());
    let row = |(level, ten)| Crowd { program: program.name, level, rounds, bare, ten };
    Ok(Level::ALL.into_iter().zip(ten).map(row).collect())
}

fn wake_crowd(service: &str, ids: &[String], sleeper: &Sleeper) -> Result<Duration, Failure> {
    let (took, failures) = sleeper.wake_at_once(service, ids)?;
    if let Some(failure) = failures.into_iter().next() {
        return Err(failure);
    }
    ids.iter().try_for_each(|id| sleeper.admin.put_to_sleep(service, id))?;
    Ok(took)
}
