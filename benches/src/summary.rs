//! What is left of many times: the middle and the tail.

use std::time::Duration;

/// Times of one thing, measured again and again.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Duration>);

/// The middle and the tail, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Half took no longer.
    pub median: f64,
    /// 99 of 100 took no longer. With fewer than 100 samples, the longest.
    pub p99: f64,
}

impl Samples {
    /// One more.
    pub fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// Of all that were added; zero where none was.
    pub fn summary(&self) -> Summary {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        Summary { median: rank(&sorted, 50), p99: rank(&sorted, 99) }
    }
}

impl Summary {
    /// How much longer this is than another.
    pub fn over(self, other: Self) -> Self {
        Self { median: self.median - other.median, p99: self.p99 - other.p99 }
    }

    /// Whether neither is above its limit.
    pub fn within(self, limit: Self) -> bool {
        self.median <= limit.median && self.p99 <= limit.p99
    }
}

/// The smallest sample that at least so many of 100 do not exceed (the nearest rank).
fn rank(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0.0, |sample| sample.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_the_nearest() {
        let mut samples = Samples::default();
        assert_eq!(samples.summary(), Summary { median: 0.0, p99: 0.0 });
        (1..=200).rev().for_each(|ms| samples.add(Duration::from_millis(ms)));
        assert_eq!(samples.summary(), Summary { median: 100.0, p99: 198.0 });
        let one = Samples(vec![Duration::from_millis(7)]);
        assert_eq!(one.summary(), Summary { median: 7.0, p99: 7.0 });
    }

    #[test]
    fn both_the_middle_and_the_tail_must_be_within() {
        let limit = Summary { median: 1.0, p99: 3.0 };
        assert!(Summary { median: 1.0, p99: 3.0 }.within(limit));
        assert!(!Summary { median: 0.5, p99: 3.1 }.within(limit));
        assert!(!Summary { median: 1.1, p99: 2.0 }.within(limit));
    }
}
