//! What the machine's processors do (proc_stat(5)), and for whom: this test and everything that it
//! has started, or others. Who measures time on a machine that is not his alone must know.

use std::{collections::BTreeSet, fs, process};

use ten_testkit::process as processes;

/// Ticks of all processors since the machine started.
#[derive(Debug, Clone, Copy)]
pub struct Processors {
    all: u64,
    /// For processes, the kernel's work for them, and other machines on this one's hardware.
    taken: u64,
    /// For this test, and what it has started.
    ours: u64,
}

impl Processors {
    /// As of now.
    ///
    /// # Panics
    ///
    /// When /proc is not what it is.
    pub fn now() -> Self {
        let ours = ours();
        let stat = fs::read_to_string("/proc/stat").expect("/proc");
        let first = stat.lines().next().expect("all processors together");
        let ticks = first.split_whitespace().skip(1).map(|word| word.parse().expect("a number"));
        let ticks: Vec<u64> = ticks.take(8).collect();
        let [user, nice, system, _idle, _waiting, _irq, _softirq, stolen] = ticks[..] else {
            panic!("other columns: {first}")
        };
        Self { all: ticks.iter().sum(), taken: user + nice + system + stolen, ours }
    }

    /// The part of all processors that others have taken since then: 0 to 1.
    pub fn others_since(&self) -> f64 {
        let now = Self::now();
        let taken = (now.taken - self.taken).saturating_sub(now.ours - self.ours);
        taken as f64 / (now.all - self.all).max(1) as f64
    }
}

/// Of us, of all that descend from us, and of those of them that have ended.
fn ours() -> u64 {
    let all = processes::all();
    let mut tree = BTreeSet::from([process::id()]);
    loop {
        let children = all.iter().filter(|it| tree.contains(&it.parent)).map(|it| it.pid);
        let more: Vec<u32> = children.filter(|pid| !tree.contains(pid)).collect();
        if more.is_empty() {
            break;
        }
        tree.extend(more);
    }
    tree.into_iter().filter_map(ticks).sum()
}

/// What one has taken, and those of its children that it has waited for (proc_pid_stat(5)).
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let fields = fields.split_whitespace().skip(11).take(4);
    Some(fields.filter_map(|field| field.parse::<u64>().ok()).sum())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn what_we_take_is_not_taken_by_others() {
        let (before, began) = (Processors::now(), Instant::now());
        while began.elapsed() < Duration::from_millis(500) {}
        let now = Processors::now();
        // A tick is 10 ms; a busy machine gives us less than a half of it.
        assert!(now.ours - before.ours >= 5, "{before:?} {now:?}");
        assert!(now.taken - before.taken >= now.ours - before.ours, "{before:?} {now:?}");
        let others = before.others_since();
        assert!((0.0..=1.0).contains(&others), "{others}");
    }
}
