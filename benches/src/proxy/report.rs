//! The result as a table of ratios to nginx, and as JSON.

use std::fmt;

use serde_json::{Value, json};

use super::{Plan, Row};
use crate::load::Ask;

/// The result, and how it was measured.
#[derive(Debug)]
pub struct Report {
    pub(super) plan: Plan,
    pub(super) rows: Vec<Row>,
    /// Peers that are not installed.
    pub(super) missing: Vec<&'static str>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { rounds, seconds, .. } = self.plan;
        writeln!(f, "Ratios to nginx; medians of {rounds} turns of {seconds} s each")?;
        let heads = ["req/s", "p50", "p99", "CPU/req", "RSS"];
        write!(f, "{:<30}  {:<8}", "case", "")?;
        heads.iter().try_for_each(|head| write!(f, "{head:>9}"))?;
        writeln!(f, "{:>10}{:>9}{:>10}  budget for CPU", "req/s", "p99 ms", "CPU µs")?;
        for row in &self.rows {
            let (_, nginx) = row.figures[0];
            for (peer, figures) in &row.figures {
                write!(f, "{:<30}  {peer:<8}", row.case.name())?;
                figures.over(&nginx).iter().try_for_each(|ratio| write!(f, "{ratio:>9.2}"))?;
                let (p99, cpu) = (figures.p99_us / 1e3, figures.cpu_us);
                write!(f, "{:>10.0}{p99:>9.2}{cpu:>10.1}", figures.requests_per_second)?;
                match (*peer, budget(row)) {
                    ("ten", Some(limit)) => {
                        let within = figures.cpu_us / nginx.cpu_us <= limit;
                        writeln!(f, "  {limit:.2} {}", if within { "ok" } else { "over" })?;
                    }
                    _ => writeln!(f)?,
                }
            }
            for peer in &row.failed {
                writeln!(f, "{:<30}  {peer:<8} answered with errors", row.case.name())?;
            }
        }
        self.missing.iter().try_for_each(|peer| writeln!(f, "{peer} is not installed"))
    }
}

/// The most CPU that a request may cost, as a multiple of what it costs nginx.
fn budget(row: &Row) -> Option<f64> {
    if row.case.tls {
        return None;
    }
    match (row.case.ask, row.case.upstream, row.case.connections) {
        (Ask::Small, super::Upstream::Socket, 32) => Some(0.90),
        (Ask::Small, super::Upstream::Socket, _) => Some(0.95),
        // Whether these should have a budget is not decided.
        (Ask::Small, super::Upstream::Port, _) | (Ask::Streams, ..) => None,
        (Ask::Download | Ask::Upload, ..) => Some(1.0),
    }
}

impl Report {
    /// The same for machines, in absolute numbers.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().flat_map(|row| {
            let line = |(peer, figures): &(&str, _)| {
                json!({ "case": row.case.name(), "peer": peer, "figures": figures,
                        "cpu_budget": budget(row).filter(|_| *peer == "ten") })
            };
            let failed =
                |peer: &&str| json!({ "case": row.case.name(), "peer": peer, "failed": true });
            let lines = row.figures.iter().map(line);
            lines.chain(row.failed.iter().map(failed)).collect::<Vec<_>>()
        });
        json!({
            "rounds": self.plan.rounds, "seconds": self.plan.seconds,
            "rows": rows.collect::<Vec<_>>(), "missing": self.missing,
        })
    }
}
