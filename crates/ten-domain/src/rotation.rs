//! Weighted round-robin without a lock: each pick is one atomic step.
//!
//! The candidates lie on a line, each as long as its weight, and pick number `k` falls where
//! the van der Corput sequence has its `k`-th point: the bits of `k` mirrored behind the
//! binary point. Its first `2^n` points lie evenly on the line for every `n`, so every
//! window of picks has nearly the proportions of the weights, spread as smoothly as can be.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::Weight;

/// A repeating order over candidates in which each appears in proportion to its weight.
#[derive(Debug)]
pub struct Rotation {
    /// Where each candidate ends on the line; never falling.
    ends: Box<[u64]>,
    next: AtomicU32,
}

impl Rotation {
    /// Lays the candidates out. Those of weight 0 have no length and are never picked.
    pub fn new(weights: &[Weight]) -> Self {
        let mut end = 0;
        let lay = |weight: &Weight| {
            end += u64::from(weight.get());
            end
        };
        Self { ends: weights.iter().map(lay).collect(), next: AtomicU32::new(0) }
    }

    /// The index of the next candidate; `None` where every weight is 0.
    pub fn pick(&self) -> Option<usize> {
        let length = self.ends.last().copied().filter(|length| *length > 0)?;
        let point = u64::from(self.next.fetch_add(1, Ordering::Relaxed).reverse_bits());
        let at = (point * length) >> u32::BITS;
        Some(self.ends.partition_point(|end| *end <= at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(weights: &[u8], n: usize) -> Vec<usize> {
        let weights: Vec<_> = weights.iter().map(|w| Weight::new(*w).unwrap()).collect();
        let rotation = Rotation::new(&weights);
        (0..n).filter_map(|_| rotation.pick()).collect()
    }

    #[test]
    fn spreads_smoothly() {
        assert_eq!(picks(&[75, 25], 8), [0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(picks(&[100, 100], 4), [0, 1, 0, 1]);
    }

    #[test]
    fn keeps_the_proportions_in_every_window() {
        let weights = [100, 99, 50, 1, 0, 7];
        let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        let all = picks(&weights, 4096);
        for window in all.chunks(512) {
            for (candidate, weight) in weights.iter().enumerate() {
                let seen = window.iter().filter(|pick| **pick == candidate).count() as f64;
                let due = window.len() as f64 * f64::from(*weight) / total;
                assert!((seen - due).abs() <= 4.0, "{candidate}: {seen} instead of {due}");
            }
        }
    }

    #[test]
    fn zero_takes_no_share() {
        assert_eq!(picks(&[0, 100], 3), [1, 1, 1]);
        assert_eq!(picks(&[100, 0], 3), [0, 0, 0]);
        assert_eq!(picks(&[0, 0], 3), [0usize; 0]);
        assert_eq!(picks(&[], 3), [0usize; 0]);
    }
}
