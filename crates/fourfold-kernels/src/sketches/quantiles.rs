//! Quantiles of a stream in bounded memory: a KLL sketch.
//!
//! This is no crate, as the published sketches draw their coin from a random number generator seeded by the thread, so
//! two runs over the same data differ, and transforms fitted on them too. Here the coin is a counter's hash: equal
//! parts merged in equal order give equal bits.

use serde::{Deserialize, Serialize};

use super::bytes::Floats;
use crate::hash::hash_u64;

/// A KLL sketch of `f64` values (Karnin, Lang, Liberty 2016: "Optimal quantile approximation in streams").
///
/// Exact up to [`QuantileSketch::K`] values. Past that, the rank of an answer is off by at most 0.5 % of the
/// number of values (in practice 0.2 %), at about 60 KB, whatever that number is; the smallest and the largest value
/// are always exact. NaN must be kept out by the caller; infinities are values like others.
///
/// Values are taken up in runs of 4,096 that are sorted once, and thinned to the size of the level they go to (one in
/// 2, 4, 8, ..., at a random start), which costs one sort where the paper has one a level. Past a third of a million
/// values one value of every 2 (then 4, 8, ...) is drawn at random first, the paper's sampler; that adds a third to
/// the variance of the error at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantileSketch {
    /// Values that are not yet sorted; each stands for `2^sampling` values.
    fresh: Floats,
    sampling: u32,
    /// Those at place `i` stand for `2^i` values each.
    levels: Vec<Floats>,
    count: u64,
    coin: u64,
    min: f64,
    max: f64,
}

impl Default for QuantileSketch {
    fn default() -> Self {
        QuantileSketch {
            fresh: Floats::default(),
            sampling: 0,
            levels: Vec::new(),
            count: 0,
            coin: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl QuantileSketch {
    /// Bytes held beside the struct itself.
    pub(super) fn held_bytes(&self) -> usize {
        let levels = self.levels.iter().chain([&self.fresh]);
        levels
            .map(|level| size_of::<Floats>() + level.0.capacity() * size_of::<f64>())
            .sum()
    }

    /// The size of the largest level: the number of values up to which answers are exact.
    pub const K: usize = 1024;
    const SMALLEST_LEVEL: usize = 64;
    const RUN: usize = 4 * Self::K;
    /// A value of the sample may stand for one in so many values.
    const SAMPLED: u64 = 166_667;

    /// Takes in one value.
    pub fn update(&mut self, value: f64) {
        self.update_slice(&[value]);
    }

    /// Takes in many values.
    pub fn update_slice(&mut self, values: &[f64]) {
        debug_assert!(!values.iter().any(|value| value.is_nan()));
        let (low, high) = range(values);
        self.min = low.min(self.min);
        self.max = high.max(self.max);
        self.count += values.len() as u64;
        let mut rest = values;
        while !rest.is_empty() {
            // A draw may take none of the values left over at the end, so the loop goes by what was read.
            let room = (Self::RUN - self.fresh.0.len()) << self.sampling;
            let (now, later) = rest.split_at(room.min(rest.len()));
            if self.sampling == 0 {
                self.fresh.0.extend_from_slice(now);
            } else {
                self.draw(now);
            }
            rest = later;
            if self.fresh.0.len() >= Self::RUN {
                self.settle();
            }
        }
    }

    /// Takes in one value `n` times.
    pub fn update_n(&mut self, value: f64, n: u64) {
        if n == 0 {
            return;
        }
        self.min = value.min(self.min);
        self.max = value.max(self.max);
        self.count = self.count.saturating_add(n);
        let places = (u64::BITS - n.leading_zeros()) as usize;
        if self.levels.len() < places {
            self.levels.resize_with(places, Floats::default);
        }
        for (place, level) in self.levels.iter_mut().enumerate().take(places) {
            if n >> place & 1 == 1 {
                level.0.push(value);
            }
        }
        self.compress();
    }

    /// Takes in the sketch of other values.
    pub fn merge(&mut self, other: &QuantileSketch) {
        let places = other.levels.len().max(other.sampling as usize + 1);
        if self.levels.len() < places {
            self.levels.resize_with(places, Floats::default);
        }
        for (mine, theirs) in self.levels.iter_mut().zip(&other.levels) {
            mine.0.extend_from_slice(&theirs.0);
        }
        let place = other.sampling as usize;
        if other.sampling == self.sampling && self.fresh.0.len() + other.fresh.0.len() < Self::RUN {
            self.fresh.0.extend_from_slice(&other.fresh.0);
        } else if let Some(level) = self.levels.get_mut(place) {
            level.0.extend_from_slice(&other.fresh.0);
        }
        self.min = other.min.min(self.min);
        self.max = other.max.max(self.max);
        self.count = self.count.saturating_add(other.count);
        self.compress();
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value at each rank `0 ..= 1`: the smallest value that at least this share of the values does not
    /// exceed. Empty if nothing was seen.
    ///
    /// ```
    /// use fourfold_kernels::sketches::QuantileSketch;
    ///
    /// let mut sketch = QuantileSketch::default();
    /// (1..=99).for_each(|value| sketch.update(f64::from(value)));
    /// assert_eq!(sketch.quantiles(&[0.0, 0.5, 1.0]), [1.0, 50.0, 99.0]);
    /// ```
    #[must_use]
    pub fn quantiles(&self, ranks: &[f64]) -> Vec<f64> {
        points(self).quantiles(ranks)
    }

    /// The share of the values that are at most each of some values, in `0..=1`; 0 if nothing was seen.
    ///
    /// ```
    /// use fourfold_kernels::sketches::QuantileSketch;
    ///
    /// let mut sketch = QuantileSketch::default();
    /// (1..=100).for_each(|value| sketch.update(f64::from(value)));
    /// assert_eq!(sketch.ranks(&[0.5, 50.0, 200.0]), [0.0, 0.5, 1.0]);
    /// ```
    #[must_use]
    pub fn ranks(&self, values: &[f64]) -> Vec<f64> {
        let points = points(self);
        let total = points.total();
        let share = |value: &f64| {
            if total > 0.0 {
                points.up_to(*value) / total
            } else {
                0.0
            }
        };
        values.iter().map(share).collect()
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

    /// Draws one of every `2^sampling` values. What is left over at the end is drawn with the same chance.
    fn draw(&mut self, values: &[f64]) {
        let size = 1_usize << self.sampling;
        for block in values.chunks(size) {
            let at = self.toss() as usize & (size - 1);
            if let Some(value) = block.get(at) {
                self.fresh.0.push(*value);
            }
        }
    }

    /// Sorts the run and thins it to the size of the first level that has room for it.
    fn settle(&mut self) {
        let mut run = std::mem::take(&mut self.fresh.0);
        sort(&mut run);
        let n = run.len().max(1);
        let place = self.sampling as usize;
        let mut up = 0;
        let levels = self.levels.len().max(place + 3);
        while n >> up > Self::capacity(levels, place + up) {
            up += 1;
        }
        if self.levels.len() <= place + up {
            self.levels.resize_with(place + up + 1, Floats::default);
        }
        let stride = 1_usize << up;
        let start = self.toss() as usize & (stride - 1);
        if let Some(level) = self.levels.get_mut(place + up) {
            level.0.extend(run.iter().skip(start).step_by(stride));
        }
        run.clear();
        self.fresh.0 = run;
        self.compress();
        while self.count >> self.sampling >= 2 * Self::SAMPLED {
            self.sampling += 1;
        }
    }

    fn capacity(levels: usize, level: usize) -> usize {
        let depth = levels.saturating_sub(level + 1);
        let scaled =
            Self::K as f64 * (2.0_f64 / 3.0).powi(i32::try_from(depth).unwrap_or(i32::MAX));
        (scaled as usize).max(Self::SMALLEST_LEVEL)
    }

    /// Halves every level that is full: of its sorted values, every second one moves up with twice the weight.
    fn compress(&mut self) {
        let mut level = 0;
        while level < self.levels.len() {
            if self.levels[level].0.len() > Self::capacity(self.levels.len(), level) {
                if level + 1 == self.levels.len() {
                    self.levels.push(Floats::default());
                }
                let mut values = std::mem::take(&mut self.levels[level].0);
                // They are sorted runs, one after the other, which a stable sort merges.
                values.sort_by(f64::total_cmp);
                let odd_one = (values.len() % 2 == 1).then(|| values.remove(0));
                let offset = (self.toss() & 1) as usize;
                self.levels[level + 1]
                    .0
                    .extend(values.iter().skip(offset).step_by(2));
                values.clear();
                values.extend(odd_one);
                self.levels[level].0 = values;
            }
            level += 1;
        }
    }

    /// The next toss.
    fn toss(&mut self) -> u64 {
        self.coin = self.coin.wrapping_add(1);
        hash_u64(self.coin) >> 20
    }
}

// Functions and not methods: fourfold shows the sketch to its users as it is, and these are for its own use.

/// At most `most` values that stand for all: the middles of as many equal parts; all values, if they are few.
#[must_use]
pub fn sample(sketch: &QuantileSketch, most: usize) -> Vec<f64> {
    let n = sketch.count().min(most as u64);
    let ranks: Vec<f64> = (0..n).map(|i| (i as f64 + 0.5) / n as f64).collect();
    sketch.quantiles(&ranks)
}

/// Returns true if a sketch can have been made here: what is read from outside may not.
#[must_use]
pub fn is_whole(sketch: &QuantileSketch) -> bool {
    let values = |values: &Floats| values.0.iter().all(|value| !value.is_nan());
    sketch.fresh.0.len() < QuantileSketch::RUN
        && sketch.sampling <= 40
        && sketch.levels.len() <= 64
        && values(&sketch.fresh)
        && sketch.levels.iter().all(values)
}

/// The values it holds with their weights.
#[must_use]
pub fn points(sketch: &QuantileSketch) -> Points {
    let fresh = (sketch.sampling as usize, &sketch.fresh);
    let points = sketch
        .levels
        .iter()
        .enumerate()
        .chain([fresh])
        .flat_map(|(place, values)| {
            let weight = (place as f64).exp2();
            values.0.iter().map(move |value| (*value, weight))
        })
        .collect();
    let exact =
        sketch.sampling == 0 && sketch.levels.iter().skip(1).all(|level| level.0.is_empty());
    Points::new(points, exact, (sketch.min, sketch.max))
}

/// The smallest and the largest of some values, none of which is NaN.
pub fn range(values: &[f64]) -> (f64, f64) {
    const LANES: usize = 8;
    let mut low = [f64::INFINITY; LANES];
    let mut high = [f64::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            low[lane] = if chunk[lane] < low[lane] {
                chunk[lane]
            } else {
                low[lane]
            };
            high[lane] = if chunk[lane] > high[lane] {
                chunk[lane]
            } else {
                high[lane]
            };
        }
    }
    let low = low.into_iter().chain(rest.iter().copied());
    let high = high.into_iter().chain(rest.iter().copied());
    (
        low.fold(f64::INFINITY, f64::min),
        high.fold(f64::NEG_INFINITY, f64::max),
    )
}

/// Sorts by [`f64::total_cmp`], as integers of that order, which is faster.
fn sort(values: &mut [f64]) {
    let mut keys: Vec<i64> = values.iter().map(|value| order_key(*value)).collect();
    keys.sort_unstable();
    for (value, key) in values.iter_mut().zip(keys) {
        *value = from_order_key(key);
    }
}

/// An integer that compares as the float does by [`f64::total_cmp`].
#[inline]
#[must_use]
pub fn order_key(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The float of an [`order_key`].
#[inline]
#[must_use]
pub fn from_order_key(key: i64) -> f64 {
    f64::from_bits((key ^ (((key >> 63) as u64) >> 1) as i64) as u64)
}

/// Sorted values, each standing for some weight of values: what a sketch holds.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// With the weight of all values up to this one.
    cumulative: Vec<(f64, f64)>,
    /// Whether these are all the values there are.
    pub exact: bool,
    range: (f64, f64),
}

impl Points {
    /// The points of some values with their weights, in any order.
    #[must_use]
    pub fn new(mut points: Vec<(f64, f64)>, exact: bool, range: (f64, f64)) -> Self {
        points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut seen = 0.0;
        for (_, weight) in &mut points {
            seen += *weight;
            *weight = seen;
        }
        Points {
            cumulative: points,
            exact,
            range,
        }
    }

    /// The weight of all values.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.cumulative.last().map_or(0.0, |(_, weight)| *weight)
    }

    /// The weight of the values that are at most `value`.
    #[must_use]
    pub fn up_to(&self, value: f64) -> f64 {
        let at = self
            .cumulative
            .partition_point(|(point, _)| *point <= value);
        match at.checked_sub(1).and_then(|at| self.cumulative.get(at)) {
            _ if value >= self.range.1 => self.total(),
            Some((_, weight)) => *weight,
            None => 0.0,
        }
    }

    /// The weight of the values that are less than `value`.
    #[must_use]
    pub fn below(&self, value: f64) -> f64 {
        let at = self.cumulative.partition_point(|(point, _)| *point < value);
        at.checked_sub(1)
            .and_then(|at| self.cumulative.get(at))
            .map_or(0.0, |(_, weight)| *weight)
    }

    /// See [`QuantileSketch::quantiles`].
    #[must_use]
    pub fn quantiles(&self, ranks: &[f64]) -> Vec<f64> {
        let total = self.total();
        let value = |rank: &f64| {
            let wanted = rank.clamp(0.0, 1.0) * total;
            let at = self.cumulative.partition_point(|(_, seen)| *seen < wanted);
            match self.cumulative.get(at).or(self.cumulative.last()) {
                _ if *rank <= 0.0 => Some(self.range.0),
                _ if *rank >= 1.0 => Some(self.range.1),
                point => point.map(|(value, _)| *value),
            }
        };
        if self.cumulative.is_empty() {
            return Vec::new();
        }
        ranks.iter().filter_map(value).collect()
    }

    /// The values with the weight of each.
    pub fn weights(&self) -> impl Iterator<Item = (f64, f64)> {
        let mut before = 0.0;
        self.cumulative.iter().map(move |(value, seen)| {
            let weight = seen - before;
            before = *seen;
            (*value, weight)
        })
    }

    /// The values with the weight of all up to each.
    #[must_use]
    pub fn cumulative(&self) -> &[(f64, f64)] {
        &self.cumulative
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
        let kept = points(&sketch).cumulative().len();
        assert!(kept < 8_000, "{kept}");
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
