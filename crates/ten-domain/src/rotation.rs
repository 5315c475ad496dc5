//! Smooth weighted round-robin without a lock: the order is worked out once, when weights
//! change; each pick is one atomic step along it.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Weight;

/// A repeating order over `n` candidates in which each appears in proportion to its weight,
/// spread as evenly as can be (weights 3 and 1 give `0 0 1 0`, never `0 0 0 1`).
#[derive(Debug)]
pub struct Rotation {
    order: Box<[u32]>,
    next: AtomicUsize,
}

impl Rotation {
    /// Works out the order. Candidates of weight 0 never appear; if all are 0 it is empty.
    pub fn new(weights: &[Weight]) -> Self {
        let divisor = weights.iter().fold(0, |a, w| gcd(a, u32::from(w.get()))).max(1);
        let steps: Vec<i64> =
            weights.iter().map(|w| i64::from(u32::from(w.get()) / divisor)).collect();
        let total: i64 = steps.iter().sum();
        let mut credit = vec![0i64; steps.len()];
        let order = (0..total)
            .map(|_| {
                let mut best = 0;
                for (i, step) in steps.iter().enumerate() {
                    credit[i] += step;
                    if credit[i] > credit[best] {
                        best = i;
                    }
                }
                credit[best] -= total;
                best as u32
            })
            .collect();
        Self { order, next: AtomicUsize::new(0) }
    }

    /// The index of the next candidate; `None` where every weight is 0.
    pub fn pick(&self) -> Option<usize> {
        if self.order.is_empty() {
            return None;
        }
        let step = self.next.fetch_add(1, Ordering::Relaxed);
        Some(self.order[step % self.order.len()] as usize)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
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
        assert_eq!(picks(&[75, 25], 8), [0, 0, 1, 0, 0, 0, 1, 0]);
        assert_eq!(picks(&[100, 100], 4), [0, 1, 0, 1]);
    }

    #[test]
    fn zero_takes_no_share() {
        assert_eq!(picks(&[0, 100], 3), [1, 1, 1]);
        assert_eq!(picks(&[0, 0], 3), [0usize; 0]);
        assert_eq!(picks(&[], 3), [0usize; 0]);
    }
}
