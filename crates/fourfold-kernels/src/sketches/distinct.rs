//! The number of distinct values of a stream, in bounded memory.
//!
//! This is no crate, as the published sketches hash every value once more, by a hash that is slower than the rest of
//! the statistics of a value together; here one hash serves counts and distinct values.

use serde::{Deserialize, Serialize};

use super::bytes;

/// 2^14 registers of a byte.
const BITS: u32 = 14;
const REGISTERS: usize = 1 << BITS;

/// A HyperLogLog sketch (Flajolet et al. 2007) of 16 KB over 64-bit hashes, read by Ertl's estimator (2017, "New
/// cardinality estimation algorithms for HyperLogLog sketches", algorithm 6), which has no bias at any size.
///
/// The standard error is 0.8 %; three of four estimates are within 1 %, and one in 1,000 is off by more than 2.7 %.
/// The estimate does not depend on the order of updates and merges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistinctSketch {
    #[serde(with = "bytes")]
    registers: Vec<u8>,
}

impl Default for DistinctSketch {
    fn default() -> Self {
        DistinctSketch {
            registers: vec![0; REGISTERS],
        }
    }
}

impl DistinctSketch {
    /// Bytes held beside the struct itself.
    pub(super) fn held_bytes(&self) -> usize {
        self.registers.capacity()
    }

    /// Takes in the hash of one value.
    #[inline]
    pub fn update(&mut self, hash: u64) {
        let at = (hash >> (64 - BITS)) as usize;
        // The bit set last makes that a hash of zeros has an end.
        let rank = (((hash << BITS) | (1 << (BITS - 1))).leading_zeros() + 1) as u8;
        if let Some(register) = self.registers.get_mut(at)
            && rank > *register
        {
            *register = rank;
        }
    }

    /// Takes in the sketch of other values.
    pub fn merge(&mut self, other: &DistinctSketch) {
        for (mine, theirs) in self.registers.iter_mut().zip(&other.registers) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// Returns true if it can be a sketch of this size: what is read from outside may not.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.registers.len() == REGISTERS
    }

    /// The estimated number of distinct values.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        const Q: usize = 64 - BITS as usize;
        let m = REGISTERS as f64;
        let mut counts = [0_u32; Q + 2];
        for register in &self.registers {
            counts[usize::from(*register).min(Q + 1)] += 1;
        }
        let mut z = m * tau(1.0 - f64::from(counts[Q + 1]) / m);
        for count in counts[1..=Q].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += m * sigma(f64::from(counts[0]) / m);
        (m * m / (2.0 * std::f64::consts::LN_2 * z)).round() as u64
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{hash_bytes, hash_u64};

    fn of(hashes: impl Iterator<Item = u64>) -> DistinctSketch {
        let mut sketch = DistinctSketch::default();
        hashes.for_each(|hash| sketch.update(hash));
        sketch
    }

    #[test]
    fn estimates_are_within_three_standard_errors() {
        assert_eq!(DistinctSketch::default().estimate(), 0);
        for n in [1_u64, 10, 1_000, 10_000, 30_000, 60_000, 100_000, 1_000_000] {
            let numbers = of((0..n).map(hash_u64)).estimate() as f64;
            let texts = of((0..n).map(|i| hash_bytes(format!("id-{i}").as_bytes()))).estimate();
            for found in [numbers, texts as f64] {
                assert!((found / n as f64 - 1.0).abs() < 0.025, "{n}: {found}");
            }
        }
    }

    #[test]
    fn parts_merge_into_the_whole_bit_for_bit() {
        let mut left = of((0..5_000).map(hash_u64));
        left.merge(&of((3_000..9_000).map(hash_u64)));
        assert_eq!(left, of((0..9_000).map(hash_u64)));
    }
}
