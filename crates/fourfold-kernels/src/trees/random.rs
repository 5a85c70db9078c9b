//! Randomness as a function of what it is for: equal on any number of threads.

use crate::hash;

/// A number that depends on a seed and a place (SplitMix64, Steele et al. 2014).
pub(super) fn mix(seed: u64, at: u64) -> u64 {
    hash::finalize(seed ^ at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The same, from 0 to below 1.
pub(super) fn unit(seed: u64, at: u64) -> f64 {
    hash::unit(mix(seed, at))
}

/// A Poisson number of mean 1: the number of times a row is in a bootstrap sample of many rows.
pub(super) fn times(seed: u64, at: u64) -> u32 {
    let drawn = unit(seed, at);
    let (mut n, mut share, mut sum) = (0, (-1.0_f64).exp(), 0.0);
    while n < 16 {
        sum += share;
        if drawn < sum {
            return n;
        }
        n += 1;
        share /= f64::from(n);
    }
    n
}

/// `n` of `from` numbers, ascending: those of the lowest draws.
pub(super) fn some_of(seed: u64, n: usize, from: usize) -> Vec<usize> {
    let mut drawn: Vec<(u64, usize)> = (0..from).map(|at| (mix(seed, at as u64), at)).collect();
    drawn.sort_unstable();
    drawn.truncate(n);
    let mut chosen: Vec<usize> = drawn.into_iter().map(|(_, at)| at).collect();
    chosen.sort_unstable();
    chosen
}
