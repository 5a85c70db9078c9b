//! Quantiles of a stream in bounded memory: a KLL sketch.
//!
//! Why not a crate: the published sketches draw their coin from a random number generator seeded by the thread, so
//! two runs over the same data differ, and transforms fitted on them too. Here the coin is a counter's hash: equal
//! parts merged in equal order give equal bits.

use serde::{Deserialize, Serialize};

/// A KLL sketch of `f64` values (Karnin, Lang, Liberty 2016: "Optimal quantile approximation in streams").
///
/// Exact up to [`QuantileSketch::K`] values. Past that, the rank of an answer is off by at most 0.5 % of the
/// number of values (in practice 0.2 %), at about 30 KB, whatever that number is. NaN must be kept out by the
/// caller; infinities are values like others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuantileSketch {
    levels: Vec<Vec<f64>>,
    count: u64,
    coin: u64,
}

impl QuantileSketch {
    /// The size of the largest level: the number of values up to which answers are exact.
    pub const K: usize = 1024;
    const SMALLEST_LEVEL: usize = 64;

    /// Takes in one value.
    pub fn update(&mut self, value: f64) {
        debug_assert!(!value.is_nan());
        if self.levels.is_empty() {
            self.levels.push(Vec::with_capacity(Self::K));
        }
        self.levels[0].push(value);
        self.count += 1;
        if self.levels[0].len() >= self.capacity(0) {
            self.compress();
        }
    }

    /// Takes in the sketch of other values.
    pub fn merge(&mut self, other: &QuantileSketch) {
        if self.levels.len() < other.levels.len() {
            self.levels.resize_with(other.levels.len(), Vec::new);
        }
        for (mine, theirs) in self.levels.iter_mut().zip(&other.levels) {
            mine.extend_from_slice(theirs);
        }
        self.count += other.count;
        self.compress();
    }

    /// How many values were seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value at each rank `0 ..= 1`: the smallest value that at least this share of the values does not
    /// exceed. Empty if nothing was seen.
    ///
    /// ```
    /// use fourfold::statistics::QuantileSketch;
    ///
    /// let mut sketch = QuantileSketch::default();
    /// (1..=99).for_each(|value| sketch.update(f64::from(value)));
    /// assert_eq!(sketch.quantiles(&[0.0, 0.5, 1.0]), [1.0, 50.0, 99.0]);
    /// ```
    #[must_use]
    pub fn quantiles(&self, ranks: &[f64]) -> Vec<f64> {
        let mut weighted: Vec<(f64, u64)> = self
            .levels
            .iter()
            .enumerate()
            .flat_map(|(level, values)| values.iter().map(move |value| (*value, 1_u64 << level)))
            .collect();
        if weighted.is_empty() {
            return Vec::new();
        }
        weighted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: u64 = weighted.iter().map(|(_, weight)| weight).sum();
        let mut seen = 0;
        let cumulative: Vec<u64> = weighted
            .iter()
            .map(|(_, weight)| {
                seen += weight;
                seen
            })
            .collect();
        ranks
            .iter()
            .map(|rank| {
                let wanted = (rank.clamp(0.0, 1.0) * total as f64).ceil().max(1.0) as u64;
                let at = cumulative.partition_point(|seen| *seen < wanted);
                weighted[at.min(weighted.len() - 1)].0
            })
            .collect()
    }

    /// The inner boundaries of `n_buckets` buckets of equal share, without repeats: at most `n_buckets - 1`.
    #[must_use]
    pub fn boundaries(&self, n_buckets: usize) -> Vec<f64> {
        let ranks: Vec<f64> = (1..n_buckets)
            .map(|i| i as f64 / n_buckets as f64)
            .collect();
        let mut boundaries = self.quantiles(&ranks);
        boundaries.dedup();
        boundaries
    }

    fn capacity(&self, level: usize) -> usize {
        let depth = self.levels.len().saturating_sub(level + 1);
        let scaled =
            Self::K as f64 * (2.0_f64 / 3.0).powi(i32::try_from(depth).unwrap_or(i32::MAX));
        (scaled as usize).max(Self::SMALLEST_LEVEL)
    }

    /// Halves every level that is full: of its sorted values, every second one moves up with twice the weight.
    fn compress(&mut self) {
        let mut level = 0;
        while level < self.levels.len() {
            if self.levels[level].len() >= self.capacity(level) {
                if level + 1 == self.levels.len() {
                    self.levels.push(Vec::new());
                }
                let mut values = std::mem::take(&mut self.levels[level]);
                values.sort_by(f64::total_cmp);
                let odd_one = (values.len() % 2 == 1).then(|| values.remove(0));
                let offset = self.flip();
                self.levels[level + 1].extend(values.iter().skip(offset).step_by(2));
                values.clear();
                values.extend(odd_one);
                self.levels[level] = values;
            }
            level += 1;
        }
    }

    /// The next toss: the low bit of a SplitMix64 hash of a counter.
    fn flip(&mut self) -> usize {
        self.coin = self.coin.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.coin;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) & 1) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shuffled(n: u64) -> impl Iterator<Item = f64> {
        (0..n).map(move |i| ((i * 7_919) % n) as f64)
    }

    #[test]
    fn a_million_values_stay_within_the_bound_and_the_memory() {
        let n = 1_000_003;
        let mut sketch = QuantileSketch::default();
        shuffled(n).for_each(|value| sketch.update(value));
        for percent in 1..100 {
            let rank = f64::from(percent) / 100.0;
            let found = sketch.quantiles(&[rank])[0] / n as f64;
            assert!((found - rank).abs() < 0.005, "rank {rank}: {found}");
        }
        let kept: usize = sketch.levels.iter().map(Vec::len).sum();
        assert!(kept < 6_000, "{kept}");
    }

    #[test]
    fn parts_merge_into_the_whole() {
        let mut parts = vec![QuantileSketch::default(); 7];
        shuffled(100_003)
            .enumerate()
            .for_each(|(i, value)| parts[i % 7].update(value));
        let mut whole = QuantileSketch::default();
        parts.iter().for_each(|part| whole.merge(part));
        assert_eq!(whole.count(), 100_003);
        let median = whole.quantiles(&[0.5])[0] / 100_003.0;
        assert!((median - 0.5).abs() < 0.005, "{median}");
    }

    #[test]
    fn boundaries_do_not_repeat() {
        let mut sketch = QuantileSketch::default();
        [0.0; 90]
            .iter()
            .chain(&[1.0; 10])
            .for_each(|value| sketch.update(*value));
        assert_eq!(sketch.boundaries(4), [0.0]);
    }
}
