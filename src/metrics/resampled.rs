//! Metrics of two classes whose intervals come from resampling the buckets of probabilities.

use fourfold_kernels::scores::{self, Bucket, Statistic};

use super::estimate::Point;

/// The number of times that buckets are resampled.
const REPLICATES: u32 = 200;
/// The seed of all resampling.
pub(super) const SEED: u64 = 20_131_127;

/// The function of the buckets that a metric is; `None` for a metric that is none of these.
pub(super) fn statistic(name: &str, args: &[f64]) -> Option<Box<Statistic<'static>>> {
    Some(match (name, args) {
        ("pr_auc", _) => Box::new(scores::pr_area),
        ("average_precision", _) => Box::new(scores::average_precision),
        ("ks", _) => Box::new(scores::ks),
        ("calibration_error", _) => {
            Box::new(|buckets: &[Bucket]| scores::calibration_error(buckets, 10))
        }
        ("precision_at_recall", [at, ..]) => {
            let at = *at;
            Box::new(move |buckets: &[Bucket]| scores::precision_at_recall(buckets, at))
        }
        ("recall_at_precision", [at, ..]) => {
            let at = *at;
            Box::new(move |buckets: &[Bucket]| scores::recall_at_precision(buckets, at))
        }
        _ => return None,
    })
}

/// The values of statistics, with the intervals of resamples of at most `n_buckets` merged buckets; without intervals if that
/// is 0. All statistics share the resamples.
pub(super) fn points(
    buckets: &[Bucket],
    n_buckets: usize,
    statistics: &[&Statistic<'_>],
) -> Vec<Option<Point>> {
    let values: Vec<Option<f64>> = statistics.iter().map(|of| of(buckets)).collect();
    if n_buckets == 0 || values.iter().all(Option::is_none) {
        return values
            .into_iter()
            .map(|value| value.map(Point::alone))
            .collect();
    }
    let coarse = scores::coarsen(buckets, n_buckets);
    let samples = scores::bootstrap(&coarse, REPLICATES, SEED, statistics);
    let with_intervals = values.into_iter().zip(samples);
    with_intervals
        .map(|(value, samples)| {
            let value = value?;
            let interval = around(value, &samples);
            Some(Point { value, interval })
        })
        .collect()
}

/// The interval between the 2.5 % and 97.5 % quantiles of sorted resamples of a share. Largest distances and means of
/// distances are above what they estimate, in the rows as in the resamples of these. Where that bias is not small against the
/// spread of the resamples, the interval is that of the normal, moved down by the bias on both levels at its lower end only:
/// it is wide rather than narrow.
fn around(value: f64, samples: &[f64]) -> Option<(f64, f64)> {
    // If many resamples have no value, the rest say little.
    if samples.len() * 10 < REPLICATES as usize * 9 {
        return None;
    }
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    let squares = samples
        .iter()
        .map(|sample| (sample - mean).powi(2))
        .sum::<f64>();
    let (bias, error) = (mean - value, (squares / (n - 1.0)).sqrt());
    let at = |rank: f64| {
        samples
            .get(((rank * n) as usize).min(samples.len() - 1))
            .copied()
    };
    let (low, high) = if bias > 0.25 * error {
        (value - 2.0 * bias - 1.96 * error, value + 1.96 * error)
    } else {
        (at(0.025)? - 2.0 * bias, at(0.975)? - 2.0 * bias)
    };
    Some((
        low.clamp(0.0, 1.0).min(value),
        high.clamp(0.0, 1.0).max(value),
    ))
}
