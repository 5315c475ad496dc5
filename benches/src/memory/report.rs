//! The result as tables beside their budgets, and as JSON.

use std::fmt;

use serde_json::{Value, json};

use super::{Idle, Memory, RUNNING, Resident, Running, Sleeping, WINDOW};
use crate::machine::Machine;

/// What the budgets with so many sleeping instances are for.
const MANY: usize = 10_000;
/// The most that warden and front may hold with [`MANY`].
const SLEEPING_MB: f64 = 25.0;
/// The most that an idle server may wake up in [`WINDOW`] with [`MANY`].
const SLEEPING_WAKE_UPS: u64 = 0;
/// The most from the start to the first answer with [`MANY`].
const START_MS: f64 = 50.0;
/// The most by which warden and front may grow for each running instance.
const GROWTH_KB: f64 = 20.0;
/// The same with the process of ten's that an instance has beside it.
const OWN_KB: f64 = 150.0;
/// The most of one processor for a thousand running, health-checked instances.
const IDLE_PERCENT: f64 = 1.0;

/// A result, and the machine that it is of.
#[derive(Debug)]
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// What was measured.
    pub memory: Memory,
}

impl Sleeping {
    /// A page that warden and front share is counted once.
    fn together_mb(&self) -> f64 {
        mb((self.warden + self.front).pss)
    }
}

impl Running {
    /// By what is resident, because pages that an init shares with the warden count half in the
    /// warden as soon as the init is there.
    fn growth_kb(&self) -> f64 {
        each(self.after.rss as f64 - self.before.rss as f64)
    }

    fn own_kb(&self) -> f64 {
        each((self.after + self.inits).pss as f64 - self.before.pss as f64)
    }

    fn tables_kb(&self) -> f64 {
        each((self.after + self.inits).tables as f64 - self.before.tables as f64)
    }

    /// For a thousand: what the watched ones took, scaled.
    fn idle_percent(&self) -> f64 {
        percent(self.idle) * 1000.0 / RUNNING as f64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, memory } = self;
        writeln!(f, "{machine}\n\nAll asleep; memory in MB, RSS / PSS")?;
        writeln!(
            f,
            "{:>6}  {:>13}  {:>13}  {:>8}  {:<11}  {:>17}  {:<7}",
            "known", "warden", "front", "both PSS", "budget", "wake-ups in 10 s", "budget"
        )?;
        memory.sleeping.iter().try_for_each(|row| writeln!(f, "{}", sleeping_line(row)))?;
        writeln!(f, "\nStart of ten serve to the first answer, ms, median / longest")?;
        writeln!(f, "{:>6}  {:>15}  {:>15}  {:<8}", "known", "listening", "answered", "budget")?;
        memory.sleeping.iter().try_for_each(|row| writeln!(f, "{}", start_line(row)))?;
        writeln!(f, "\n{RUNNING} running, health-checked; memory in KB per instance")?;
        writeln!(
            f,
            "{:<9}  {:>12}  {:<8}  {:>12}  {:<8}  {:>5}  {:>6}  {:>9}  {:>8}  {:>13}  {:<6}",
            "level",
            "warden+front",
            "budget",
            "inits too",
            "budget",
            "inits",
            "tables",
            "program's",
            "wake-ups",
            "CPU for 1,000",
            "budget"
        )?;
        memory.running.iter().try_for_each(|row| writeln!(f, "{}", running_line(row)))?;
        let bare = memory.bare;
        writeln!(
            f,
            "{:<9}  {:>12}  {:<8}  {:>12}  {:<8}  {:>5}  {:>6}  {:>9.1}",
            "bare",
            "",
            "",
            "",
            "",
            "",
            "",
            each(bare.pss as f64),
        )
    }
}

fn sleeping_line(row: &Sleeping) -> String {
    let mut line = format!(
        "{:>6}  {:>13}  {:>13}  {:>8.1}",
        row.known,
        rss_pss(row.warden),
        rss_pss(row.front),
        row.together_mb()
    );
    let wake_ups = row.idle.switches;
    if row.known == MANY {
        line += &format!(
            "  {SLEEPING_MB:>5.1} {:<5}  {wake_ups:>17}  {SLEEPING_WAKE_UPS} {}",
            verdict(row.together_mb() <= SLEEPING_MB),
            verdict(wake_ups == SLEEPING_WAKE_UPS),
        );
    } else {
        line += &format!("  {:<11}  {wake_ups:>17}", "");
    }
    line
}

fn start_line(row: &Sleeping) -> String {
    let pair = |s: crate::summary::Summary| format!("{:.1} / {:.1}", s.median, s.p99);
    let line = format!("{:>6}  {:>15}  {:>15}", row.known, pair(row.listening), pair(row.answered));
    if row.known != MANY {
        return line;
    }
    line + &format!("  {START_MS} {}", verdict(row.answered.median <= START_MS))
}

fn running_line(row: &Running) -> String {
    format!(
        "{:<9}  {:>12.1}  {GROWTH_KB:>3} {:<4}  {:>12.1}  {OWN_KB:>3} {:<4}  {:>5}  {:>6.1}  \
         {:>9.1}  {:>8}  {:>11.2} %  {IDLE_PERCENT} % {}",
        row.level.name(),
        row.growth_kb(),
        verdict(row.growth_kb() <= GROWTH_KB),
        row.own_kb(),
        verdict(row.own_kb() <= OWN_KB),
        row.init_count,
        row.tables_kb(),
        each(row.tenants.pss as f64),
        row.idle.switches,
        row.idle_percent(),
        verdict(row.idle_percent() <= IDLE_PERCENT),
    )
}

fn rss_pss(resident: Resident) -> String {
    format!("{:.1} / {:.1}", mb(resident.rss), mb(resident.pss))
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Of all running ones, for one, in KB.
fn each(bytes: f64) -> f64 {
    bytes / RUNNING as f64 / 1e3
}

/// Of one processor.
fn percent(idle: Idle) -> f64 {
    idle.cpu.as_secs_f64() / WINDOW.as_secs_f64() * 100.0
}

fn verdict(within: bool) -> &'static str {
    if within { "ok" } else { "over" }
}

impl Report {
    /// The same for machines; memory is in bytes, of all instances together.
    pub fn json(&self) -> Value {
        let Memory { sleeping, running, bare } = &self.memory;
        let sleeping = sleeping.iter().map(|row| {
            json!({
                "known": row.known, "warden": row.warden, "front": row.front,
                "wake_ups": row.idle.switches, "cpu_percent": percent(row.idle),
                "listening_ms": row.listening, "answered_ms": row.answered,
            })
        });
        let running = running.iter().map(|row| {
            json!({
                "level": row.level.name(), "instances": RUNNING,
                "warden_and_front_before": row.before, "warden_and_front": row.after,
                "inits": row.inits, "init_count": row.init_count, "tenants": row.tenants,
                "growth_kb_each": row.growth_kb(), "own_kb_each": row.own_kb(),
                "wake_ups": row.idle.switches, "cpu_percent": percent(row.idle),
            })
        });
        json!({
            "machine": self.machine,
            "seconds_watched": WINDOW.as_secs(),
            "sleeping": sleeping.collect::<Vec<_>>(),
            "running": running.collect::<Vec<_>>(),
            "bare": bare,
            "budgets": {
                "sleeping": MANY, "sleeping_mb": SLEEPING_MB,
                "sleeping_wake_ups": SLEEPING_WAKE_UPS, "start_ms": START_MS,
                "growth_kb_each": GROWTH_KB, "own_kb_each": OWN_KB,
                "cpu_percent_of_1000": IDLE_PERCENT,
            },
        })
    }
}
