//! Numbers of two columns in common bins.

use fourfold_kernels::sketches::quantiles;

use crate::statistics::{Bucket, ColumnStatistics, Histogram, Statistics};

/// The numbers of a column, as far as statistics contain them.
pub(super) struct Numbers {
    /// Finite values of equal weight, sorted.
    sample: Option<Vec<f64>>,
    histogram: Histogram,
    finite: f64,
    nan: f64,
    infinite: (f64, f64),
}

impl Numbers {
    const SAMPLE: usize = 2_000;

    /// The numbers of a column of the statistics; `None` if there are none.
    pub(super) fn of(statistics: &Statistics, column: &ColumnStatistics) -> Option<Self> {
        let numeric = column.numeric.as_ref()?;
        let all = column
            .valency
            .as_ref()
            .map_or(column.count, |valency| valency.total);
        let finite = all.saturating_sub(numeric.non_finite());
        if all == 0 {
            return None;
        }
        let sketch = statistics.quantile_sketch(&column.name);
        let sketch = sketch.map(|sketch| quantiles::sample(sketch, Self::SAMPLE));
        let finite_buckets: Vec<_> = numeric
            .histogram
            .buckets
            .iter()
            .filter(|bucket| bucket.low.is_finite() && bucket.high.is_finite())
            .copied()
            .collect();
        let sample = match sketch {
            Some(sample) => Some(sample),
            None if finite_buckets.is_empty() => Some(interpolated(&numeric.quantiles)),
            None => None,
        };
        Some(Numbers {
            sample: sample.map(|sample| {
                sample
                    .into_iter()
                    .filter(|value| value.is_finite())
                    .collect()
            }),
            histogram: Histogram {
                buckets: finite_buckets,
            },
            finite: finite as f64,
            nan: numeric.nan as f64,
            infinite: (
                numeric.negative_infinity as f64,
                numeric.positive_infinity as f64,
            ),
        })
    }

    /// Both sides' counts by common bins, then of what is not finite.
    pub(super) fn bins(&self, control: &Self, cut_at_both: bool) -> Vec<(f64, f64)> {
        let mut pairs = match (&self.sample, &control.sample) {
            (Some(mine), Some(theirs)) => {
                let mut cuts = deciles(theirs);
                if cut_at_both {
                    cuts.extend(deciles(mine));
                }
                cuts.sort_unstable_by(f64::total_cmp);
                cuts.dedup();
                let counts = |sample: &[f64], finite: f64| {
                    let weight = finite / sample.len().max(1) as f64;
                    let mut below = 0;
                    let ends = cuts
                        .iter()
                        .map(|cut| sample.partition_point(|value| value <= cut))
                        .chain([sample.len()]);
                    ends.map(|end| (end - std::mem::replace(&mut below, end)) as f64 * weight)
                        .collect::<Vec<f64>>()
                };
                let mine = counts(mine, self.finite);
                mine.into_iter()
                    .zip(counts(theirs, control.finite))
                    .collect()
            }
            _ => recut(&self.as_histogram(), &control.as_histogram()),
        };
        pairs.push((self.nan, control.nan));
        pairs.push((self.infinite.0, control.infinite.0));
        pairs.push((self.infinite.1, control.infinite.1));
        pairs
    }

    pub(super) fn kolmogorov_smirnov(&self, other: &Self) -> f64 {
        let total = |numbers: &Self| numbers.finite + numbers.infinite.0 + numbers.infinite.1;
        let (mine, theirs) = (
            total(self).max(f64::MIN_POSITIVE),
            total(other).max(f64::MIN_POSITIVE),
        );
        let (mut a, mut b) = (self.infinite.0, other.infinite.0);
        let mut farthest = (a / mine - b / theirs).abs();
        let mut step = |(more, others): (f64, f64)| {
            a += more;
            b += others;
            farthest = farthest.max((a / mine - b / theirs).abs());
        };
        match (&self.sample, &other.sample) {
            (Some(x), Some(y)) => {
                let (dx, dy) = (
                    self.finite / x.len().max(1) as f64,
                    other.finite / y.len().max(1) as f64,
                );
                let (mut i, mut j) = (0, 0);
                while i < x.len() || j < y.len() {
                    let at = match (x.get(i), y.get(j)) {
                        (Some(x), Some(y)) => x.min(*y),
                        (Some(only), None) | (None, Some(only)) => *only,
                        (None, None) => break,
                    };
                    let count = |sample: &[f64], from: usize| {
                        sample
                            .iter()
                            .skip(from)
                            .take_while(|value| **value <= at)
                            .count()
                    };
                    let (m, n) = (count(x, i), count(y, j));
                    i += m;
                    j += n;
                    step((m as f64 * dx, n as f64 * dy));
                }
            }
            _ => recut(&self.as_histogram(), &other.as_histogram())
                .into_iter()
                .for_each(step),
        }
        farthest.min(1.0)
    }

    /// The histogram; a sample's deciles, where only the other side has a histogram.
    fn as_histogram(&self) -> Histogram {
        let Some(sample) = &self.sample else {
            return self.histogram.clone();
        };
        if !self.histogram.buckets.is_empty() {
            return self.histogram.clone();
        }
        let mut edges: Vec<f64> = sample.first().copied().into_iter().collect();
        edges.extend(deciles(sample));
        let share = self.finite / edges.len().saturating_sub(1).max(1) as f64;
        Histogram {
            buckets: edges
                .windows(2)
                .map(|edges| Bucket {
                    low: edges[0],
                    high: edges[1],
                    count: share,
                })
                .collect(),
        }
    }
}

/// A hundred values of equal weight along the line through quantiles.
fn interpolated(quantiles: &[(f64, f64)]) -> Vec<f64> {
    let at = |rank: f64| {
        let after = quantiles.iter().find(|(r, _)| *r >= rank)?;
        let before = quantiles.iter().rev().find(|(r, _)| *r <= rank)?;
        let width = after.0 - before.0;
        Some(if width > 0.0 {
            before.1 + (after.1 - before.1) * (rank - before.0) / width
        } else {
            after.1
        })
    };
    (0..100)
        .filter_map(|i| at((f64::from(i) + 0.5) / 100.0))
        .collect()
}

/// The values at the ranks 0.1, 0.2, .. 1.
fn deciles(sample: &[f64]) -> Vec<f64> {
    (1..=10)
        .filter_map(|i| sample.get((i * sample.len()).div_ceil(10).saturating_sub(1)))
        .copied()
        .collect()
}

/// Two histograms cut at the bounds of both, rising; then their points and what has no finite width, each by itself.
pub(super) fn recut(a: &Histogram, b: &Histogram) -> Vec<(f64, f64)> {
    let is_range = |low: f64, high: f64| low.is_finite() && high.is_finite() && low < high;
    let mut cuts: Vec<f64> = Vec::new();
    for bucket in a.buckets.iter().chain(&b.buckets) {
        if is_range(bucket.low, bucket.high) {
            cuts.extend([bucket.low, bucket.high]);
        }
    }
    cuts.sort_unstable_by(f64::total_cmp);
    cuts.dedup();
    // Keyed by where they begin, points before ranges: their order is that of the numbers.
    let mut cells: Vec<((f64, f64), (f64, f64))> = cuts
        .windows(2)
        .map(|edges| ((edges[0], edges[1]), (0.0, 0.0)))
        .collect();
    for (side, histogram) in [(0, a), (1, b)] {
        for bucket in &histogram.buckets {
            let mut add = |at: usize, count: f64| {
                if let Some((_, counts)) = cells.get_mut(at) {
                    *(if side == 0 {
                        &mut counts.0
                    } else {
                        &mut counts.1
                    }) += count;
                }
            };
            if is_range(bucket.low, bucket.high) {
                let first = cuts.partition_point(|cut| *cut < bucket.low);
                let end = cuts.partition_point(|cut| *cut < bucket.high);
                for at in first..end {
                    let width = cuts[at + 1] - cuts[at];
                    add(at, bucket.count * width / (bucket.high - bucket.low));
                }
            } else {
                let key = (bucket.low, bucket.high);
                let at = cells.iter().position(|(cell, _)| *cell == key);
                let at = at.unwrap_or_else(|| {
                    cells.push((key, (0.0, 0.0)));
                    cells.len() - 1
                });
                if let Some((_, counts)) = cells.get_mut(at) {
                    *(if side == 0 {
                        &mut counts.0
                    } else {
                        &mut counts.1
                    }) += bucket.count;
                }
            }
        }
    }
    cells.sort_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    cells.into_iter().map(|(_, counts)| counts).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{divergence, stability_index};
    use super::*;

    fn sampled(values: &[f64], nan: f64, infinite: (f64, f64)) -> Numbers {
        Numbers {
            sample: Some(values.to_vec()),
            histogram: Histogram::default(),
            finite: values.len() as f64,
            nan,
            infinite,
        }
    }

    fn binned(buckets: &[(f64, f64, f64)]) -> Numbers {
        Numbers {
            sample: None,
            histogram: Histogram {
                buckets: buckets
                    .iter()
                    .map(|(low, high, count)| Bucket {
                        low: *low,
                        high: *high,
                        count: *count,
                    })
                    .collect(),
            },
            finite: buckets.iter().map(|(_, _, count)| count).sum(),
            nan: 0.0,
            infinite: (0.0, 0.0),
        }
    }

    #[test]
    fn kolmogorov_smirnov_of_samples_is_exact() {
        let a = sampled(&[1.0, 2.0, 3.0, 4.0], 0.0, (0.0, 0.0));
        let b = sampled(&[3.0, 4.0, 5.0, 6.0], 9.0, (0.0, 0.0));
        assert!((a.kolmogorov_smirnov(&b) - 0.5).abs() < 1e-12);
        assert!((b.kolmogorov_smirnov(&a) - 0.5).abs() < 1e-12);
        assert_eq!(a.kolmogorov_smirnov(&a), 0.0);
        // Half of these are below all numbers.
        let low = sampled(&[1.0, 2.0, 3.0, 4.0], 0.0, (4.0, 0.0));
        assert!((a.kolmogorov_smirnov(&low) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn kolmogorov_smirnov_of_histograms_is_that_of_their_bounds() {
        let a = binned(&[(0.0, 1.0, 1.0), (1.0, 2.0, 1.0)]);
        let b = binned(&[(1.0, 2.0, 1.0), (2.0, 3.0, 1.0)]);
        assert!((a.kolmogorov_smirnov(&b) - 0.5).abs() < 1e-12);
        // A point of the one among ranges of the other is where it is among them.
        let point = binned(&[(1.0, 1.0, 2.0)]);
        assert!((a.kolmogorov_smirnov(&point) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn one_outlier_changes_nothing_much() {
        let usual: Vec<f64> = (0..1_000).map(f64::from).collect();
        let mut odd = usual.clone();
        odd[999] = 1e12;
        let (a, b) = (
            sampled(&usual, 0.0, (0.0, 0.0)),
            sampled(&odd, 0.0, (0.0, 0.0)),
        );
        assert!(divergence(&a.bins(&b, true)) < 1e-3);
        assert!(stability_index(&a.bins(&b, false)) < 1e-3);
        let far: Vec<f64> = (10_000..11_000).map(f64::from).collect();
        let far = sampled(&far, 0.0, (0.0, 0.0));
        assert!((divergence(&a.bins(&far, true)) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_finite_is_counted_with_itself() {
        let a = sampled(&[1.0], 1.0, (1.0, 1.0));
        let b = sampled(&[1.0, 1.0], 2.0, (2.0, 2.0));
        assert_eq!(divergence(&a.bins(&b, true)), 0.0);
        let empty = sampled(&[], 3.0, (0.0, 0.0));
        assert_eq!(divergence(&empty.bins(&empty, true)), 0.0);
        assert_eq!(empty.kolmogorov_smirnov(&empty), 0.0);
    }

    #[test]
    fn a_sample_meets_a_histogram() {
        let values: Vec<f64> = (0..1_000).map(|i| f64::from(i) / 100.0).collect();
        let sample = sampled(&values, 0.0, (0.0, 0.0));
        let buckets: Vec<_> = (0..10)
            .map(|i| (f64::from(i), f64::from(i + 1), 100.0))
            .collect();
        let found = sample.kolmogorov_smirnov(&binned(&buckets));
        assert!(found < 0.02, "{found}");
    }
}
