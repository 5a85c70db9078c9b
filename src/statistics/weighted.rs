//! Statistics with every row counted by its weight.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::Hash;

use fourfold_kernels::hash::{hash_u64, unit};
use fourfold_kernels::sketches::quantiles::{Points, range};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Histogram, Moments, TopValues, WeightedStatistics};

/// Values whose weights are kept, at most twice as many for a while.
const TOP_CAPACITY: usize = 1_024;
/// Values of a level of the sketch.
const LEVEL: usize = 2_048;

/// The statistics of a column with weights, in the making. `K` is the type that its values are counted as.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "K: Serialize + for<'a> Deserialize<'a> + Eq + Hash + Ord + Clone")]
pub(super) struct WeightedAccumulator<K> {
    count: f64,
    missing: f64,
    sum: f64,
    mean: f64,
    squares: f64,
    quantiles: WeightedQuantiles,
    #[serde(with = "top")]
    top: TopValues<K, f64>,
}

/// In saved sketches the weights are a map.
mod top {
    use super::*;

    pub(super) fn serialize<K: Serialize + Ord, S: Serializer>(
        top: &TopValues<K, f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(top.iter().collect::<BTreeMap<_, _>>())
    }

    pub(super) fn deserialize<'de, K, D>(deserializer: D) -> Result<TopValues<K, f64>, D::Error>
    where
        K: Deserialize<'de> + Eq + Hash + Ord + Clone,
        D: Deserializer<'de>,
    {
        let weights = BTreeMap::<K, f64>::deserialize(deserializer)?;
        Ok(TopValues::from_counters(TOP_CAPACITY, weights, 0.0))
    }
}

impl<K> WeightedAccumulator<K> {
    /// The bytes held beside the struct itself, where a value holds `of_value` bytes.
    pub(super) fn held_bytes(&self, of_value: impl Fn(&K) -> usize) -> usize {
        let levels = self.quantiles.levels.iter();
        let levels =
            levels.map(|level| size_of_val(level) + level.capacity() * size_of::<(f64, f64)>());
        levels.sum::<usize>() + self.top.held_bytes(of_value)
    }
}

impl<K: Eq + Hash + Ord + Clone> Default for WeightedAccumulator<K> {
    fn default() -> Self {
        WeightedAccumulator {
            count: 0.0,
            missing: 0.0,
            sum: 0.0,
            mean: 0.0,
            squares: 0.0,
            quantiles: WeightedQuantiles::default(),
            top: TopValues::new(TOP_CAPACITY),
        }
    }
}

impl<K: Eq + Hash + Ord + Clone> WeightedAccumulator<K> {
    pub(super) fn missing(&mut self, weight: f64) {
        self.missing += weight;
    }

    /// Takes in a value that is counted with no others.
    pub(super) fn present(&mut self, weight: f64) {
        self.count += weight;
    }

    /// Takes in a value; its number, if it is one.
    pub(super) fn update<Q>(&mut self, value: &Q, number: Option<f64>, weight: f64)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        self.present(weight);
        if weight <= 0.0 {
            return;
        }
        if let Some(number) = number {
            if number.is_finite() {
                self.sum += weight;
                let delta = number - self.mean;
                self.mean += delta * (weight / self.sum);
                self.squares += weight * delta * (number - self.mean);
            }
            if !number.is_nan() {
                self.quantiles.update(number, weight);
            }
        }
        self.top.add_weight(value, weight);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.missing += other.missing;
        let sum = self.sum + other.sum;
        // The square of a large mean would be infinite, and NaN times no weight.
        if self.sum == 0.0 {
            (self.sum, self.mean, self.squares) = (other.sum, other.mean, other.squares);
        } else if other.sum > 0.0 {
            let delta = other.mean - self.mean;
            self.mean += delta * (other.sum / sum);
            self.squares += other.squares + delta * delta * (self.sum * other.sum / sum);
            self.sum = sum;
        }
        self.quantiles.merge(&other.quantiles);
        self.top.merge(other.top);
    }

    /// The statistics; the moments of all rows say whether there are finite numbers.
    pub(super) fn finish(
        &self,
        moments: Option<&Moments>,
        shown: usize,
        text: impl Fn(&K) -> String,
    ) -> WeightedStatistics {
        let some = moments.is_some_and(|moments| moments.count() > 0) && self.sum > 0.0;
        let points = self.quantiles.points();
        let total = points.total();
        let (low, high) = (points.up_to(f64::NEG_INFINITY), points.below(f64::INFINITY));
        let middle = (low + high) / 2.0 / total;
        let top = self.top.top(shown).into_iter();
        WeightedStatistics {
            count: self.count,
            missing: self.missing,
            mean: some.then_some(self.mean),
            std: some.then(|| (self.squares / self.sum).max(0.0).sqrt()),
            median: if some {
                points.quantiles(&[middle]).first().copied()
            } else {
                None
            },
            histogram: Histogram::equal_width(&points),
            top_values: top.map(|(value, n)| (text(&value), n)).collect(),
        }
    }
}

/// Quantiles of values with weights: levels of pairs, of which a full one is sorted and thinned to half as many of
/// equal weight, drawn at even steps of the weight from a random start, and passed on to the next level.
///
/// Exact up to 2,048 values; past that, ranks are off by at most 0.5 % of the weight, as in
/// [`QuantileSketch`](super::QuantileSketch).
#[derive(Clone, Debug, Serialize, Deserialize)]
struct WeightedQuantiles {
    levels: Vec<Vec<(f64, f64)>>,
    coin: u64,
    min: f64,
    max: f64,
}

impl Default for WeightedQuantiles {
    fn default() -> Self {
        WeightedQuantiles {
            levels: vec![Vec::new()],
            coin: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl WeightedQuantiles {
    fn update(&mut self, value: f64, weight: f64) {
        (self.min, self.max) = range(&[self.min, self.max, value]);
        if let Some(level) = self.levels.first_mut() {
            level.push((value, weight));
            if level.len() > LEVEL {
                self.compress();
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        (self.min, self.max) = range(&[self.min, self.max, other.min, other.max]);
        if self.levels.len() < other.levels.len() {
            self.levels.resize_with(other.levels.len(), Vec::new);
        }
        for (mine, theirs) in self.levels.iter_mut().zip(&other.levels) {
            mine.extend_from_slice(theirs);
        }
        self.compress();
    }

    fn compress(&mut self) {
        let mut place = 0;
        while place < self.levels.len() {
            if self.levels[place].len() > LEVEL {
                if place + 1 == self.levels.len() {
                    self.levels.push(Vec::new());
                }
                let mut pairs = std::mem::take(&mut self.levels[place]);
                pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
                let total: f64 = pairs.iter().map(|(_, weight)| weight).sum();
                let n = pairs.len() / 2;
                let step = total / n as f64;
                self.coin = self.coin.wrapping_add(1);
                let start = unit(hash_u64(self.coin));
                let mut drawn = 0;
                let mut seen = 0.0;
                for (value, weight) in pairs {
                    seen += weight;
                    let before = drawn;
                    while drawn < n && (drawn as f64 + start) * step < seen {
                        drawn += 1;
                    }
                    if drawn > before {
                        self.levels[place + 1].push((value, step * (drawn - before) as f64));
                    }
                }
            }
            place += 1;
        }
    }

    fn points(&self) -> Points {
        let points = self.levels.iter().flatten().copied().collect();
        Points::new(points, self.levels.len() == 1, (self.min, self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_count() {
        // (1 * 1 + 2 * 3) / 4 = 1.75
        let mut all = WeightedAccumulator::<i64>::default();
        all.update(&1, Some(1.0), 1.0);
        all.update(&2, Some(2.0), 3.0);
        all.update(&9, Some(9.0), 0.0);
        all.missing(0.5);
        let mut moments = Moments::default();
        moments.update_slice(&[1.0, 2.0]);
        let found = all.finish(Some(&moments), 9, i64::to_string);
        assert_eq!((found.count, found.missing), (4.0, 0.5));
        assert_eq!((found.mean, found.median), (Some(1.75), Some(2.0)));
        assert!((found.std.unwrap() - 0.1875_f64.sqrt()).abs() < 1e-12);
        assert_eq!(
            found.top_values,
            [("2".to_owned(), 3.0), ("1".to_owned(), 1.0)]
        );
    }

    #[test]
    fn ranks_are_within_half_a_percent_of_the_weight() {
        let n = 200_003_u64;
        let weight = |value: u64| (value % 10 + 1) as f64;
        let mut parts = vec![WeightedQuantiles::default(); 3];
        for i in 0..n {
            let value = i * 7_919 % n;
            parts[(i % 3) as usize].update(value as f64, weight(value));
        }
        let mut whole = WeightedQuantiles::default();
        parts.iter().for_each(|part| whole.merge(part));
        let points = whole.points();
        let total: f64 = (0..n).map(weight).sum();
        assert!((points.total() / total - 1.0).abs() < 1e-9);
        for percent in 1..100 {
            let rank = f64::from(percent) / 100.0;
            let found = points.quantiles(&[rank])[0];
            let exact: f64 = (0..=found as u64).map(weight).sum::<f64>() / total;
            assert!((exact - rank).abs() < 0.005, "rank {rank}: {exact}");
        }
        assert!(points.cumulative().len() < 30_000);
    }
}
