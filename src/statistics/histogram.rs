//! Histograms from quantiles.

use fourfold_kernels::sketches::quantiles::Points;

use super::{Bucket, Histogram};

/// Buckets of both histograms.
const BUCKETS: usize = 10;

impl Histogram {
    /// Buckets of equal width: values are counted where they lie while all are known; later each value that is left
    /// stands for those around it, as [`equal_width`] spreads them.
    pub(super) fn equal_width(points: &Points) -> Self {
        if points.exact {
            return counted(points);
        }
        let (values, weights): (Vec<f64>, Vec<f64>) = points.cumulative().iter().copied().unzip();
        equal_width(&values, &weights, BUCKETS)
    }

    /// Buckets of equal share.
    pub(super) fn quantiles(points: &Points) -> Self {
        let ranks: Vec<f64> = (0..=BUCKETS).map(|i| i as f64 / BUCKETS as f64).collect();
        let total = points.total();
        let infinite = [
            points.up_to(f64::NEG_INFINITY),
            total - points.below(f64::INFINITY),
        ];
        let (low, high) = (infinite[0], total - infinite[1]);
        let values = if high > low {
            let within = ranks.iter().map(|rank| (low + rank * (high - low)) / total);
            let mut values = points.quantiles(&within.collect::<Vec<f64>>());
            // The ends of the finite values.
            if let Some((value, _)) = points.weights().find(|(value, _)| value.is_finite()) {
                values[0] = values[0].max(value);
            }
            values
        } else {
            Vec::new()
        };
        let mut ends = vec![f64::NEG_INFINITY; usize::from(low > 0.0)];
        ends.extend(values.iter().filter(|value| value.is_finite()));
        if infinite[1] > 0.0 {
            ends.push(f64::INFINITY);
        }
        let weights: Vec<f64> = ends.iter().map(|end| points.up_to(*end)).collect();
        equal_share(&ends, &weights)
    }
}

/// Values are in the bucket that they lie in.
fn counted(points: &Points) -> Histogram {
    let finite = || points.weights().filter(|(value, _)| value.is_finite());
    let low = finite().next();
    let high = finite().last();
    let mut buckets = Vec::new();
    point(
        &mut buckets,
        f64::NEG_INFINITY,
        points.up_to(f64::NEG_INFINITY),
    );
    if let (Some((low, _)), Some((high, _))) = (low, high) {
        let ends = widths(low, high, BUCKETS);
        for (i, (from, to)) in ends.iter().copied().enumerate() {
            buckets.push(Bucket {
                low: from,
                high: to,
                // If rounding makes several ends equal to the highest, the last one has its values.
                count: match i + 1 == ends.len() {
                    true => points.up_to(to),
                    false => points.below(to),
                } - points.below(from),
            });
        }
    }
    let infinite = points.total() - points.below(f64::INFINITY);
    point(&mut buckets, f64::INFINITY, infinite);
    Histogram { buckets }
}

fn point(buckets: &mut Vec<Bucket>, at: f64, count: f64) {
    if count > 0.0 {
        buckets.push(Bucket {
            low: at,
            high: at,
            count,
        });
    }
}

/// The ends of buckets of equal width: one bucket if there is a single value, none if the width is past the largest
/// number.
fn widths(low: f64, high: f64, n: usize) -> Vec<(f64, f64)> {
    if low == high {
        return vec![(low, high)];
    }
    let width = (high - low) / n as f64;
    if !(high - low).is_finite() || width == 0.0 {
        return Vec::new();
    }
    let end = |i: usize| if i == n { high } else { low + width * i as f64 };
    (0..n).map(|i| (end(i), end(i + 1))).collect()
}

/// The buckets between neighbouring quantiles. Buckets that end at the same value share its weight evenly, and the
/// first has the smallest value's own weight too. Infinite values are in point buckets.
///
/// `weights` are the weights of all values up to each quantile.
pub(super) fn equal_share(quantiles: &[f64], weights: &[f64]) -> Histogram {
    let mut buckets = Vec::new();
    let at = |i: usize| quantiles.get(i).copied().unwrap_or(f64::NAN);
    let weight = |i: usize| weights.get(i).copied().unwrap_or_default();
    let n = quantiles.len();
    let first = quantiles.partition_point(|value| *value == f64::NEG_INFINITY);
    let last = quantiles.partition_point(|value| *value < f64::INFINITY);
    let negative = first.checked_sub(1).map_or(0.0, weight);
    point(&mut buckets, f64::NEG_INFINITY, negative);
    let smallest = weight(first) - negative;
    let mut i = first;
    if last == first + 1 {
        point(&mut buckets, at(first), smallest);
    }
    while i + 1 < last {
        // Those with the same upper end.
        let high = at(i + 1);
        let next = (i + 1..last).find(|k| at(*k) != high).unwrap_or(last);
        let each = (weight(i + 1) - weight(i)) / (next - i - 1) as f64;
        for k in i..next - 1 {
            buckets.push(Bucket {
                low: at(k),
                high: at(k + 1),
                count: each + if k == first { smallest } else { 0.0 },
            });
        }
        i = next - 1;
    }
    if last < n {
        let finite = last.checked_sub(1).map_or(0.0, weight);
        point(&mut buckets, f64::INFINITY, weight(n - 1) - finite);
    }
    Histogram { buckets }
}

/// Buckets of equal width between the smallest and the largest finite value, from quantiles and the weights of all
/// values up to each: the weight of each [`equal_share`] bucket is spread evenly over it.
pub(super) fn equal_width(quantiles: &[f64], weights: &[f64], n: usize) -> Histogram {
    let shares = equal_share(quantiles, weights).buckets;
    let finite: Vec<&Bucket> = shares
        .iter()
        .filter(|bucket| bucket.low.is_finite())
        .collect();
    let mut buckets: Vec<Bucket> = match (finite.first(), finite.last()) {
        (Some(first), Some(last)) => widths(first.low, last.high, n)
            .into_iter()
            .map(|(low, high)| Bucket {
                low,
                high,
                count: 0.0,
            })
            .collect(),
        _ => Vec::new(),
    };
    let highest = buckets.len().saturating_sub(1);
    for share in finite {
        let width = share.high - share.low;
        let from = buckets
            .partition_point(|bucket| bucket.high <= share.low)
            .min(highest);
        for bucket in buckets.iter_mut().skip(from) {
            if width == 0.0 {
                bucket.count += share.count;
                break;
            }
            let within = share.high.min(bucket.high) - share.low.max(bucket.low);
            if within <= 0.0 {
                break;
            }
            bucket.count += share.count * (within / width);
        }
    }
    let infinite = |bucket: &&Bucket| bucket.low.is_infinite();
    let negative = shares
        .iter()
        .filter(infinite)
        .filter(|bucket| bucket.low < 0.0);
    let positive = shares
        .iter()
        .filter(infinite)
        .filter(|bucket| bucket.low > 0.0);
    let buckets = negative
        .copied()
        .chain(buckets)
        .chain(positive.copied())
        .collect();
    Histogram { buckets }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;

    #[track_caller]
    fn check(histogram: &Histogram, expected: &[(f64, f64, f64)]) {
        let found: Vec<(f64, f64, f64)> = histogram
            .buckets
            .iter()
            .map(|bucket| (bucket.low, bucket.high, bucket.count))
            .collect();
        let close = |a: f64, b: f64| a == b || (a - b).abs() < 1e-9;
        let equal = found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(a, b)| close(a.0, b.0) && close(a.1, b.1) && close(a.2, b.2));
        assert!(equal, "{found:?}\n{expected:?}");
    }

    fn points(values: &[f64]) -> Points {
        let low = values.iter().copied().fold(INF, f64::min);
        let high = values.iter().copied().fold(-INF, f64::max);
        Points::new(
            values.iter().map(|value| (*value, 1.0)).collect(),
            true,
            (low, high),
        )
    }

    // The numbers are those of TensorFlow Data Validation's tests of its quantiles.
    #[test]
    fn buckets_that_end_at_one_value_share_its_weight() {
        let quantiles = [1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 4.0];
        let weights = [1.0, 34.0, 34.0, 34.0, 51.0, 51.0, 60.0];
        check(
            &equal_share(&quantiles, &weights),
            &[
                (1.0, 2.0, 12.0),
                (2.0, 2.0, 11.0),
                (2.0, 2.0, 11.0),
                (2.0, 3.0, 8.5),
                (3.0, 3.0, 8.5),
                (3.0, 4.0, 9.0),
            ],
        );
        check(
            &equal_width(&quantiles, &weights, 2),
            &[(1.0, 2.5, 38.25), (2.5, 4.0, 21.75)],
        );
        check(
            &equal_share(&[1.0, 2.0, 2.0], &[1.0, 2.0, 2.0]),
            &[(1.0, 2.0, 1.5), (2.0, 2.0, 0.5)],
        );
    }

    #[test]
    fn weight_is_spread_evenly_within_a_bucket() {
        let quantiles = [1.0, 2.0, 3.0, 4.0, 5.0, 7.0];
        let weights = [2.0, 5.0, 7.0, 10.0, 12.0, 15.0];
        check(
            &equal_width(&quantiles, &weights, 4),
            &[
                (1.0, 2.5, 6.0),
                (2.5, 4.0, 4.0),
                (4.0, 5.5, 2.75),
                (5.5, 7.0, 2.25),
            ],
        );
    }

    #[test]
    fn infinities_are_points() {
        check(
            &equal_width(
                &[-INF, -INF, 1.0, 2.0, 3.0],
                &[5.0, 7.0, 10.0, 12.0, 15.0],
                4,
            ),
            &[
                (-INF, -INF, 7.0),
                (1.0, 1.5, 2.5),
                (1.5, 2.0, 2.5),
                (2.0, 2.5, 1.5),
                (2.5, 3.0, 1.5),
            ],
        );
        let three = &[(-INF, -INF, 3.0), (1.0, 1.0, 2.0), (INF, INF, 4.0)];
        check(&equal_width(&[-INF, 1.0, INF], &[3.0, 5.0, 9.0], 4), three);
        check(&equal_share(&[-INF, 1.0, INF], &[3.0, 5.0, 9.0]), three);
        let mixed = points(&[-INF, 1.0, 1.0, INF, INF]);
        let expected = &[(-INF, -INF, 1.0), (1.0, 1.0, 2.0), (INF, INF, 2.0)];
        check(&Histogram::equal_width(&mixed), expected);
        let shares = Histogram::quantiles(&mixed);
        assert_eq!(
            shares
                .buckets
                .iter()
                .map(|bucket| bucket.count)
                .sum::<f64>(),
            5.0
        );
        check(&Histogram::equal_width(&points(&[INF])), &[(INF, INF, 1.0)]);
        check(&Histogram::quantiles(&points(&[INF])), &[(INF, INF, 1.0)]);
        check(&Histogram::quantiles(&points(&[])), &[]);
    }

    #[test]
    fn a_range_past_the_largest_number_has_no_buckets_of_equal_width() {
        check(&equal_width(&[f64::MIN, f64::MAX], &[1.0, 2.0], 10), &[]);
        check(&Histogram::equal_width(&points(&[f64::MIN, f64::MAX])), &[]);
    }

    #[test]
    fn known_values_are_counted_where_they_lie() {
        // The reference's interpolation makes 3.00498, 1.00498, 1.99005 of the like.
        let found = Histogram::equal_width(&points(&[1.0, 1.0, 2.0, 3.0, 4.0, 11.0]));
        let counts: Vec<f64> = found.buckets.iter().map(|bucket| bucket.count).collect();
        assert_eq!(counts, [2.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn ends_that_round_to_one_number_count_its_values_once() {
        let found = Histogram::equal_width(&points(&[1.0, 1.0 + f64::EPSILON]));
        let counts = found.buckets.iter().map(|bucket| bucket.count);
        assert_eq!(counts.sum::<f64>(), 2.0, "{found:?}");
    }

    #[test]
    fn shares_are_equal() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let found = Histogram::quantiles(&points(&values));
        assert!(
            found.buckets.iter().all(|bucket| bucket.count == 10.0),
            "{found:?}"
        );
    }
}
