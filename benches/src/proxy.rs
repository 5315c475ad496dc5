//! What a request costs that passes through: ten beside nginx, haproxy and caddy.
//!
//! All stand before the same two processes (`bin/origin`). The peers take turns within each
//! round, who begins changes from round to round, and what counts is the ratio to nginx.

mod report;

use crate::{
    Failure,
    load::{self, Ask},
    peer::{Kind, Origin, Peer},
    usage::{self, Usage},
};

pub use crate::peer::Upstream;
pub use report::Report;

/// What is asked of every peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    ask: Ask,
    upstream: Upstream,
    connections: usize,
    tls: bool,
}

/// Small answers first: they are what the budget is about.
const CASES: [Case; 12] = [
    plain(Ask::Small, Upstream::Socket, 32),
    plain(Ask::Small, Upstream::Socket, 256),
    plain(Ask::Small, Upstream::Port, 32),
    plain(Ask::Small, Upstream::Port, 256),
    plain(Ask::Streams, Upstream::Socket, 32),
    plain(Ask::Download, Upstream::Socket, 32),
    plain(Ask::Upload, Upstream::Socket, 32),
    tls(Ask::Small, 32),
    tls(Ask::Small, 256),
    tls(Ask::Streams, 32),
    tls(Ask::Download, 32),
    tls(Ask::Upload, 32),
];

const fn plain(ask: Ask, upstream: Upstream, connections: usize) -> Case {
    Case { ask, upstream, connections, tls: false }
}

const fn tls(ask: Ask, connections: usize) -> Case {
    Case { ask, upstream: Upstream::Socket, connections, tls: true }
}

impl Case {
    fn name(self) -> String {
        let tls = if self.tls { ", tls" } else { "" };
        format!("{}{tls}, {}, {}", self.ask.name(), self.upstream.name(), self.connections)
    }

    /// Where a peer takes its requests, if it does.
    fn url(self, peer: &Peer) -> Option<String> {
        let plain = match self.ask {
            Ask::Streams => peer.h2,
            _ => Some(peer.address(self.upstream)),
        };
        match self.tls {
            true => peer.tls.map(|address| format!("https://{address}")),
            false => plain.map(|address| format!("http://{address}")),
        }
    }
}

/// How much to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Turns of every peer in every case.
    pub rounds: usize,
    /// Length of a turn.
    pub seconds: u32,
    /// Only cases with this in their name.
    pub only: String,
    /// Only beside nginx and the floor.
    pub nginx_alone: bool,
    /// With an access log, beside nginx alone.
    pub access_log: bool,
}

/// One peer in one case: medians of its turns.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Figures {
    pub(crate) requests_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// On processors, per request.
    pub(crate) cpu_us: f64,
    /// At the end of the turn.
    pub(crate) memory_mb: f64,
}

impl Figures {
    const ALL: [fn(&Self) -> f64; 5] =
        [|f| f.requests_per_second, |f| f.p50_us, |f| f.p99_us, |f| f.cpu_us, |f| f.memory_mb];

    fn median(turns: &[Self]) -> Self {
        let [requests_per_second, p50_us, p99_us, cpu_us, memory_mb] = Self::ALL.map(|figure| {
            let mut all: Vec<f64> = turns.iter().map(figure).collect();
            all.sort_by(f64::total_cmp);
            let middle = all.len() / 2;
            match all.len() % 2 {
                _ if all.is_empty() => 0.0,
                0 => f64::midpoint(all[middle - 1], all[middle]),
                _ => all[middle],
            }
        });
        Self { requests_per_second, p50_us, p99_us, cpu_us, memory_mb }
    }

    /// Each figure as a multiple of another's.
    pub(crate) fn over(&self, other: &Self) -> [f64; 5] {
        Self::ALL.map(|figure| figure(self) / figure(other))
    }
}

/// One case: who took part, nginx first, and what it cost each.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) case: Case,
    pub(crate) figures: Vec<(&'static str, Figures)>,
    /// Those that one can do without, and that failed.
    pub(crate) failed: Vec<&'static str>,
}

/// Measures all cases of the plan.
///
/// # Errors
///
/// Where a peer does not start, or a request through nginx or ten fails: a measurement with holes
/// is none. Another peer that fails has no figures in that case.
pub fn measure(plan: &Plan) -> Result<Report, Failure> {
    let origin = Origin::start(plan.access_log)?;
    let mut peers = vec![origin.other(Kind::Nginx)?.ok_or(Failure::NoNginx)?, origin.ten()];
    let mut missing = Vec::new();
    let floor = (!plan.access_log).then_some(Kind::Floor);
    let alone = plan.nginx_alone || plan.access_log;
    let others = floor.into_iter().chain(Kind::OTHERS.into_iter().filter(|_| !alone));
    for kind in others {
        match origin.other(kind)? {
            Some(peer) => peers.push(peer),
            None => missing.push(kind.name()),
        }
    }
    let cases = CASES.into_iter().filter(|case| case.name().contains(&plan.only));
    let rows = cases.map(|case| row(case, &peers, plan)).collect::<Result<_, _>>()?;
    Ok(Report { plan: plan.clone(), rows, missing })
}

fn row(case: Case, peers: &[Peer], plan: &Plan) -> Result<Row, Failure> {
    let mut turns = vec![Vec::new(); peers.len()];
    let mut failed = Vec::new();
    // The table comes at the end, which may be minutes away.
    eprintln!("{}: {} turns of {} s for each", case.name(), plan.rounds, plan.seconds);
    for round in 0..plan.rounds {
        for turn in 0..peers.len() {
            let side = (round + turn) % peers.len();
            let peer = &peers[side];
            if failed.contains(&peer.name) {
                continue;
            }
            let Some(url) = case.url(peer) else { continue };
            let optional = !["nginx", "ten"].contains(&peer.name);
            match measure_one(case, peer, &url, plan.seconds) {
                Ok(figures) => turns[side].push(figures),
                Err(Failure::Load { .. }) if optional => {
                    turns[side].clear();
                    failed.push(peer.name);
                }
                Err(failure) => return Err(failure),
            }
        }
    }
    let figures = peers.iter().zip(&turns).filter(|(_, turns)| !turns.is_empty());
    let figures = figures.map(|(peer, turns)| (peer.name, Figures::median(turns))).collect();
    Ok(Row { case, figures, failed })
}

fn measure_one(case: Case, peer: &Peer, url: &str, seconds: u32) -> Result<Figures, Failure> {
    let Case { ask, upstream, connections, .. } = case;
    let pids = if case.tls { &peer.tls_pids } else { &peer.pids };
    let before = used(peer, pids)?;
    let load = load::run(url, &upstream.host(), ask, connections, seconds)?;
    let load =
        load.map_err(|report| Failure::Load { peer: peer.name, case: case.name(), report })?;
    let after = used(peer, pids)?;
    Ok(Figures {
        requests_per_second: load.per_second,
        p50_us: load.p50,
        p99_us: load.p99,
        cpu_us: (after.cpu - before.cpu).as_secs_f64() * 1e6 / load.requests,
        memory_mb: after.memory as f64 / 1e6,
    })
}

fn used(peer: &Peer, pids: &[u32]) -> Result<Usage, Failure> {
    let mut sum = Usage::default();
    for &pid in pids {
        let one = usage::of(pid);
        let one = one.map_err(|source| Failure::Usage { peer: peer.name, pid, source })?;
        sum = Usage { cpu: sum.cpu + one.cpu, memory: sum.memory + one.memory };
    }
    Ok(sum)
}
