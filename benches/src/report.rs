//! The result as a table for people and as JSON for a history, each row beside its budget.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use crate::{
    machine::Machine,
    summary::Summary,
    wake::{CROWD, Crowd, HERD, Herd, Latency, Level, Wake},
};

/// The most that a crowd may take, as a multiple of what it takes without ten.
const CROWD_BUDGET: f64 = 1.3;

/// The most that a wake may take longer than without ten, in milliseconds.
fn budget(level: Level) -> Summary {
    match level {
        Level::Process => Summary { median: 1.0, p99: 3.0 },
        Level::Namespace => Summary { median: 2.0, p99: 5.0 },
        Level::OwnNetwork | Level::Private => Summary { median: 2.5, p99: 6.0 },
    }
}

/// A result, and the machine that it is of.
#[derive(Debug)]
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// What was measured.
    pub wake: Wake,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, wake } = self;
        writeln!(f, "{machine}\n\nOne wake, ms, median / p99 of {} rounds", wake.rounds)?;
        writeln!(
            f,
            "{:<14}  {:<9}  {:>15}  {:>15}  {:>15}  {:>5}  {:>13}",
            "program", "level", "bare", "ten", "over bare", "ratio", "budget"
        )?;
        for row in &wake.latencies {
            writeln!(f, "{}", latency_line(row))?;
        }
        if wake.herds.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n{HERD} requests at once to one sleeping instance")?;
        for row in &wake.herds {
            writeln!(f, "{}", herd_line(row))?;
        }
        writeln!(f, "\n{CROWD} instances woken at once, ms from the first to the last, median")?;
        for row in &wake.crowds {
            writeln!(f, "{}", crowd_line(row))?;
        }
        Ok(())
    }
}

fn latency_line(row: &Latency) -> String {
    let (over, limit) = (row.ten.over(row.bare), budget(row.level));
    let program = format!("{}, {}", row.program, row.listen);
    format!(
        "{program:<14}  {:<9}  {:>15}  {:>15}  {:>15}  {:>5.2}  {:>8} {}",
        row.level.name(),
        pair(row.bare),
        pair(row.ten),
        format!("{:+.2} / {:+.2}", over.median, over.p99),
        row.ratio(),
        format!("{:+} / {:+}", limit.median, limit.p99),
        verdict(over, limit),
    )
}

fn herd_line(row: &Herd) -> String {
    let Herd { level, rounds, spawns, errors, first_error, ten } = row;
    let mut line = format!(
        "{:<9}  {rounds} rounds: {spawns} spawns, {errors} errors, all answered in {:.0} ms, {}",
        level.name(),
        ten.median,
        if herd_is_ok(row) { OK } else { OVER },
    );
    if let Some(error) = first_error {
        // Writing to a String cannot fail.
        let _ = write!(line, "\n           the first: {error}");
    }
    line
}

fn herd_is_ok(row: &Herd) -> bool {
    row.spawns == row.rounds && row.errors == 0
}

fn crowd_line(row: &Crowd) -> String {
    format!(
        "{:<6}  {:<9}  bare {:.0}, ten {:.0}, ratio {:.2}, budget {CROWD_BUDGET} {}",
        row.program,
        row.level.name(),
        row.bare.median,
        row.ten.median,
        row.ratio(),
        crowd_verdict(row),
    )
}

fn pair(summary: Summary) -> String {
    format!("{:.2} / {:.2}", summary.median, summary.p99)
}

const OK: &str = "ok";
const OVER: &str = "over";
/// Waking cannot be faster than the program's own start: the sides were not treated alike.
const UNCLEAR: &str = "unclear";

fn verdict(over: Summary, limit: Summary) -> &'static str {
    match over.within(limit) {
        false => OVER,
        true if over.median < 0.0 || over.p99 < 0.0 => UNCLEAR,
        true => OK,
    }
}

fn crowd_verdict(row: &Crowd) -> &'static str {
    match row.ratio() {
        ratio if ratio > CROWD_BUDGET => OVER,
        ratio if ratio < 1.0 => UNCLEAR,
        _ => OK,
    }
}

impl Report {
    /// The same for machines; times are in milliseconds.
    pub fn json(&self) -> Value {
        let latencies = self.wake.latencies.iter().map(|row| {
            let (over, limit) = (row.ten.over(row.bare), budget(row.level));
            json!({
                "program": row.program, "listen": row.listen, "level": row.level.name(),
                "bare_ms": row.bare, "ten_ms": row.ten, "over_ms": over, "ratio": row.ratio(),
                "budget_ms": limit, "verdict": verdict(over, limit),
            })
        });
        let herds = self.wake.herds.iter().map(|row| {
            json!({
                "level": row.level.name(), "requests": HERD, "rounds": row.rounds,
                "spawns": row.spawns, "errors": row.errors, "first_error": row.first_error,
                "ten_ms": row.ten, "ok": herd_is_ok(row),
            })
        });
        let crowds = self.wake.crowds.iter().map(|row| {
            json!({
                "program": row.program, "level": row.level.name(), "instances": CROWD,
                "rounds": row.rounds,
                "bare_ms": row.bare, "ten_ms": row.ten, "ratio": row.ratio(),
                "budget_ratio": CROWD_BUDGET, "verdict": crowd_verdict(row),
            })
        });
        json!({
            "machine": self.machine,
            "rounds": self.wake.rounds,
            "one_wake": latencies.collect::<Vec<_>>(),
            "herd": herds.collect::<Vec<_>>(),
            "crowd": crowds.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faster_than_possible_is_not_ok() {
        let limit = budget(Level::Process);
        let said = |median, p99| verdict(Summary { median, p99 }, limit);
        assert_eq!(said(0.5, 2.0), OK);
        assert_eq!(said(1.1, 2.0), OVER);
        assert_eq!(said(-49.4, -252.2), UNCLEAR);
        assert_eq!(said(0.5, -0.1), UNCLEAR);
        assert_eq!(said(2.1, -4.6), OVER);
    }
}
