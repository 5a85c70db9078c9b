//! Scores of two classes in buckets: the area under the curve, its variance, and its bootstrap.
//!
//! A bucket holds the rows whose probabilities agree in their leading digits; they count as ties. Buckets of parts of the
//! rows merge into those of the whole, so that everything here is computed in memory that is bounded by the buckets.

/// The rows of one bucket, by class: their weights, and the squares of these.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bucket {
    /// The bucket's key: the [`key_of`] its probabilities.
    pub key: u32,
    /// Σ w of the negatives.
    pub negatives: f64,
    /// Σ w of the positives.
    pub positives: f64,
    /// Σ w² of the negatives.
    pub negatives_squared: f64,
    /// Σ w² of the positives.
    pub positives_squared: f64,
    /// Σ w p of all.
    pub predictions: f64,
}

/// The highest key.
pub const MAX_KEY: u32 = 2 * HALF;
const HALF: u32 = 0x3F00_0000 >> 12;

/// The bucket of a probability: 2,048 a factor of two, from both ends, so that 1e-6 and 2e-6 are told apart, and 0.999998
/// and 0.999999 too. A tie of a whole bucket moves the area under the curve by less than 0.0005.
#[must_use]
pub fn key_of(probability: f64) -> u32 {
    let key = |share: f64| (share as f32).to_bits() >> 12;
    if probability < 0.5 {
        key(probability.max(0.0))
    } else {
        2 * HALF - key((1.0 - probability).max(0.0))
    }
}

/// The places of keys in rising order of keys; of equal ones, in their own order.
#[must_use]
pub fn order(keys: &[u32]) -> Vec<u32> {
    let mut from: Vec<u32> = (0..u32::try_from(keys.len()).unwrap_or(u32::MAX)).collect();
    let mut to = vec![0; from.len()];
    // Keys have 20 bits: two passes of a radix sort.
    for shift in [0, 10] {
        let mut starts = [0_u32; 1 << 10];
        let digit = |key: u32| (key >> shift) as usize & 1023;
        for key in keys {
            starts[digit(*key)] += 1;
        }
        let mut start = 0;
        for count in &mut starts {
            (*count, start) = (start, start + *count);
        }
        for place in &from {
            let next = &mut starts[digit(keys[*place as usize])];
            to[*next as usize] = *place;
            *next += 1;
        }
        std::mem::swap(&mut from, &mut to);
    }
    from
}

impl Bucket {
    /// Takes in what another of the same key holds.
    pub fn add(&mut self, other: &Bucket) {
        self.negatives += other.negatives;
        self.positives += other.positives;
        self.negatives_squared += other.negatives_squared;
        self.positives_squared += other.positives_squared;
        self.predictions += other.predictions;
    }

    /// Σ w of both classes.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.negatives + self.positives
    }
}

/// Adds a row to buckets in rising order of keys, to which no lower key may come any more.
pub fn push(buckets: &mut Vec<Bucket>, row: Bucket) {
    match buckets.last_mut() {
        Some(last) if last.key == row.key => last.add(&row),
        _ => buckets.push(row),
    }
}

/// The buckets of both, each in rising order of keys.
#[must_use]
pub fn merge(ours: &[Bucket], theirs: &[Bucket]) -> Vec<Bucket> {
    let mut merged = Vec::with_capacity(ours.len().max(theirs.len()));
    let (mut ours, mut theirs) = (ours.iter().peekable(), theirs.iter().peekable());
    loop {
        let next = match (ours.peek(), theirs.peek()) {
            (Some(our), Some(their)) if our.key <= their.key => ours.next(),
            (Some(_), None) => ours.next(),
            (_, Some(_)) => theirs.next(),
            (None, None) => return merged,
        };
        if let Some(next) = next {
            push(&mut merged, *next);
        }
    }
}

/// At most `n` buckets of neighbours, of about equal weight.
#[must_use]
pub fn coarsen(buckets: &[Bucket], n: usize) -> Vec<Bucket> {
    if buckets.len() <= n {
        return buckets.to_vec();
    }
    let total: f64 = buckets.iter().map(Bucket::weight).sum();
    let share = total / n as f64;
    let mut coarse: Vec<Bucket> = Vec::with_capacity(n);
    let (mut before, mut last) = (0.0, None);
    for bucket in buckets {
        let group = ((before / share) as usize).min(n - 1);
        before += bucket.weight();
        match coarse.last_mut() {
            Some(coarse) if last == Some(group) => coarse.add(bucket),
            _ => coarse.push(*bucket),
        }
        last = Some(group);
    }
    coarse
}

/// An estimate with the variance of its sampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// The variance.
    pub variance: f64,
}

/// For each bucket, the share of the other class that it wins against: what DeLong, DeLong and Clarke-Pearson (1988) call
/// structural components. Ties count half.
#[derive(Clone, Debug, Default)]
pub struct Ranks {
    keys: Vec<u32>,
    /// For a positive in the bucket: the share of negatives below it.
    v10: Vec<f64>,
    /// For a negative in the bucket: the share of positives above it.
    v01: Vec<f64>,
    auc: f64,
    positives: f64,
    negatives: f64,
    positives_squared: f64,
    negatives_squared: f64,
}

impl Ranks {
    /// The components of buckets in rising order; `None` if a class is missing.
    #[must_use]
    pub fn new(buckets: &[Bucket]) -> Option<Self> {
        let sum = |of: fn(&Bucket) -> f64| buckets.iter().map(of).sum::<f64>();
        let positives = sum(|bucket| bucket.positives);
        let negatives = sum(|bucket| bucket.negatives);
        if !(positives > 0.0 && negatives > 0.0) {
            return None;
        }
        let mut ranks = Ranks {
            positives,
            negatives,
            positives_squared: sum(|bucket| bucket.positives_squared),
            negatives_squared: sum(|bucket| bucket.negatives_squared),
            ..Ranks::default()
        };
        let (mut negatives_below, mut positives_below, mut wins) = (0.0, 0.0, 0.0);
        for bucket in buckets {
            let v10 = (negatives_below + bucket.negatives / 2.0) / negatives;
            let v01 = 1.0 - (positives_below + bucket.positives / 2.0) / positives;
            ranks.keys.push(bucket.key);
            ranks.v10.push(v10);
            ranks.v01.push(v01);
            wins += bucket.positives * v10;
            negatives_below += bucket.negatives;
            positives_below += bucket.positives;
        }
        ranks.auc = wins / positives;
        Some(ranks)
    }

    /// The area under the curve.
    #[must_use]
    pub fn auc(&self) -> f64 {
        self.auc
    }

    fn place(&self, key: u32) -> usize {
        self.keys
            .binary_search(&key)
            .unwrap_or_else(|place| place.min(self.keys.len() - 1))
    }
}

/// The mean's variance, of the sum of weighted squares of deviations.
fn of_mean(deviations: f64, weight: f64, squared: f64) -> f64 {
    let n = weight * weight / squared;
    deviations / (weight * weight) * (n / (n - 1.0))
}

/// The area under the curve with DeLong's variance; exact for the buckets. The variance is NaN for a class of one row.
#[must_use]
pub fn delong(buckets: &[Bucket]) -> Option<Estimate> {
    let ranks = Ranks::new(buckets)?;
    let (mut tens, mut ones) = (0.0, 0.0);
    for ((bucket, v10), v01) in buckets.iter().zip(&ranks.v10).zip(&ranks.v01) {
        tens += bucket.positives_squared * (v10 - ranks.auc).powi(2);
        ones += bucket.negatives_squared * (v01 - ranks.auc).powi(2);
    }
    let variance = of_mean(tens, ranks.positives, ranks.positives_squared)
        + of_mean(ones, ranks.negatives, ranks.negatives_squared);
    Some(Estimate {
        value: ranks.auc,
        variance,
    })
}

/// The sums of squares of the difference of two models' components, row by row. Parts merge by adding.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Paired {
    tens: f64,
    ones: f64,
}

impl Paired {
    /// Takes in a row: its class, its weight, and the keys of both models' probabilities.
    pub fn add(&mut self, a: &Ranks, b: &Ranks, positive: bool, weight: f64, keys: (u32, u32)) {
        let (at_a, at_b) = (a.place(keys.0), b.place(keys.1));
        let mean = a.auc - b.auc;
        if positive {
            self.tens += (weight * (a.v10[at_a] - b.v10[at_b] - mean)).powi(2);
        } else {
            self.ones += (weight * (a.v01[at_a] - b.v01[at_b] - mean)).powi(2);
        }
    }

    /// Takes in other rows.
    pub fn merge(&mut self, other: &Paired) {
        self.tens += other.tens;
        self.ones += other.ones;
    }

    /// The difference of the areas of `a` and `b`, over the same rows, with its variance.
    #[must_use]
    pub fn difference(&self, a: &Ranks, b: &Ranks) -> Estimate {
        Estimate {
            value: a.auc - b.auc,
            variance: of_mean(self.tens, a.positives, a.positives_squared)
                + of_mean(self.ones, a.negatives, a.negatives_squared),
        }
    }
}

/// Average precision: Σ (recall gained) · precision, over the buckets from the highest; as scikit-learn's
/// `average_precision_score`. `None` without positives.
#[must_use]
pub fn average_precision(buckets: &[Bucket]) -> Option<f64> {
    let positives: f64 = buckets.iter().map(|bucket| bucket.positives).sum();
    if positives.is_nan() || positives <= 0.0 {
        return None;
    }
    let (mut hits, mut all, mut sum) = (0.0, 0.0, 0.0);
    for bucket in buckets.iter().rev() {
        hits += bucket.positives;
        all += bucket.weight();
        if all > 0.0 {
            sum += bucket.positives * hits / all;
        }
    }
    Some(sum / positives)
}

/// The area under the precision-recall curve by the trapezoidal rule over its points, from recall 0 with precision 1; as
/// scikit-learn's `auc` of its `precision_recall_curve`. `None` without positives.
#[must_use]
pub fn pr_area(buckets: &[Bucket]) -> Option<f64> {
    let positives: f64 = buckets.iter().map(|bucket| bucket.positives).sum();
    if positives.is_nan() || positives <= 0.0 {
        return None;
    }
    let (mut hits, mut all, mut area) = (0.0, 0.0, 0.0);
    let mut last = (0.0, 1.0);
    for bucket in buckets.iter().rev().filter(|bucket| bucket.weight() > 0.0) {
        hits += bucket.positives;
        all += bucket.weight();
        let point = (hits / positives, hits / all);
        area += (point.0 - last.0) * f64::midpoint(point.1, last.1);
        last = point;
    }
    Some(area)
}

/// The largest distance between the classes' distributions of scores (Kolmogorov and Smirnov).
#[must_use]
pub fn ks(buckets: &[Bucket]) -> Option<f64> {
    let positives: f64 = buckets.iter().map(|bucket| bucket.positives).sum();
    let negatives: f64 = buckets.iter().map(|bucket| bucket.negatives).sum();
    if !(positives > 0.0 && negatives > 0.0) {
        return None;
    }
    let (mut p, mut n, mut most) = (0.0, 0.0, 0.0_f64);
    for bucket in buckets {
        p += bucket.positives / positives;
        n += bucket.negatives / negatives;
        most = most.max((n - p).abs());
    }
    Some(most)
}

/// The highest precision of the thresholds at which recall is at least `recall`; `None` without positives.
#[must_use]
pub fn precision_at_recall(buckets: &[Bucket], recall: f64) -> Option<f64> {
    best(
        buckets,
        |_, found_recall| found_recall >= recall,
        |precision, _| precision,
    )
}

/// The highest recall of the thresholds at which precision is at least `precision`; 0 if there is none.
#[must_use]
pub fn recall_at_precision(buckets: &[Bucket], precision: f64) -> Option<f64> {
    let found = best(buckets, |found, _| found >= precision, |_, recall| recall);
    let any: f64 = buckets.iter().map(|bucket| bucket.positives).sum();
    (any > 0.0).then_some(found.unwrap_or(0.0))
}

fn best(
    buckets: &[Bucket],
    allowed: impl Fn(f64, f64) -> bool,
    value: impl Fn(f64, f64) -> f64,
) -> Option<f64> {
    let positives: f64 = buckets.iter().map(|bucket| bucket.positives).sum();
    if positives.is_nan() || positives <= 0.0 {
        return None;
    }
    let (mut hits, mut all, mut best) = (0.0, 0.0, None);
    for bucket in buckets.iter().rev().filter(|bucket| bucket.weight() > 0.0) {
        hits += bucket.positives;
        all += bucket.weight();
        // Sums of weights differ from the whole in their last bits.
        let (precision, recall) = (hits / all, hits / positives + 1e-12);
        if allowed(precision, recall) {
            let value = value(precision, hits / positives);
            best = Some(best.map_or(value, |best: f64| best.max(value)));
        }
    }
    best
}

/// A logistic regression of the class on the logit of the prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// 0 if the model is calibrated.
    pub intercept: Estimate,
    /// 1 if the model is calibrated.
    pub slope: Estimate,
}

/// The intercept and slope of a logistic regression of the class on the logit of the prediction (Cox 1958), with the
/// variances that hold whatever the model (Huber 1967, White 1982). `None` if it does not converge: the classes are apart, or
/// one is missing.
#[must_use]
pub fn calibration_line(buckets: &[Bucket]) -> Option<Line> {
    let points: Vec<(f64, &Bucket)> = buckets
        .iter()
        .filter(|bucket| bucket.weight() > 0.0)
        .map(|bucket| {
            let p = (bucket.predictions / bucket.weight()).clamp(1e-15, 1.0 - 1e-15);
            ((p / (1.0 - p)).ln(), bucket)
        })
        .collect();
    let (mut intercept, mut slope) = (0.0_f64, 1.0_f64);
    for _ in 0..50 {
        let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let (mut b00, mut b01, mut b11) = (0.0, 0.0, 0.0);
        for (x, bucket) in &points {
            let p = 1.0 / (1.0 + (-(intercept + slope * x)).exp());
            let residual = bucket.positives - bucket.weight() * p;
            let curvature = bucket.weight() * p * (1.0 - p);
            let squared =
                bucket.positives_squared * (1.0 - p).powi(2) + bucket.negatives_squared * p.powi(2);
            g0 += residual;
            g1 += residual * x;
            h00 += curvature;
            h01 += curvature * x;
            h11 += curvature * x * x;
            b00 += squared;
            b01 += squared * x;
            b11 += squared * x * x;
        }
        let determinant = h00 * h11 - h01 * h01;
        if determinant.is_nan() || determinant <= 1e-12 * h00 * h11 {
            return None;
        }
        let step = (
            (h11 * g0 - h01 * g1) / determinant,
            (h00 * g1 - h01 * g0) / determinant,
        );
        intercept += step.0;
        slope += step.1;
        if !(intercept.abs() < 1e3 && slope.abs() < 1e3) {
            return None;
        }
        if step.0.abs() + step.1.abs() < 1e-10 {
            // The rows of the inverse, on both sides of the sums of squares.
            let spread = |(a, b): (f64, f64)| a * a * b00 + 2.0 * a * b * b01 + b * b * b11;
            let of = |value: f64, (a, b): (f64, f64)| Estimate {
                value,
                variance: spread((a / determinant, b / determinant)),
            };
            return Some(Line {
                intercept: of(intercept, (h11, -h01)),
                slope: of(slope, (-h01, h00)),
            });
        }
    }
    None
}

/// The mean distance of prediction and share of positives over `n_bins` bins of equal width, weighted by their rows
/// (expected calibration error: Naeini, Cooper and Hauskrecht 2015).
#[must_use]
pub fn calibration_error(buckets: &[Bucket], n_bins: usize) -> Option<f64> {
    let mut bins = vec![(0.0, 0.0, 0.0); n_bins];
    for bucket in buckets.iter().filter(|bucket| bucket.weight() > 0.0) {
        let mean = bucket.predictions / bucket.weight();
        // A sum of equal values may miss an edge by its last bits.
        let bin = &mut bins[((mean * n_bins as f64 + 1e-9) as usize).min(n_bins - 1)];
        bin.0 += bucket.weight();
        bin.1 += bucket.predictions;
        bin.2 += bucket.positives;
    }
    let total: f64 = bins.iter().map(|bin| bin.0).sum();
    (total > 0.0).then(|| bins.iter().map(|(_, p, y)| (p - y).abs()).sum::<f64>() / total)
}

/// A number of buckets, such as the area under a curve; `None` where it is not defined.
pub type Statistic<'a> = dyn Fn(&[Bucket]) -> Option<f64> + 'a;

/// The values of statistics over so many resamples of the rows, each sorted: each bucket's classes counted a Poisson number
/// of times, from a seed. Resamples in which a statistic is not defined are left out of its values.
#[must_use]
pub fn bootstrap(
    buckets: &[Bucket],
    replicates: u32,
    seed: u64,
    statistics: &[&Statistic<'_>],
) -> Vec<Vec<f64>> {
    let mut random = SplitMix(seed);
    let mut drawn = buckets.to_vec();
    let mut values = vec![Vec::with_capacity(replicates as usize); statistics.len()];
    for _ in 0..replicates {
        for (drawn, bucket) in drawn.iter_mut().zip(buckets) {
            let (n, p) = (
                random.resampled(bucket.negatives, bucket.negatives_squared),
                random.resampled(bucket.positives, bucket.positives_squared),
            );
            let before = bucket.weight();
            *drawn = Bucket {
                negatives: n,
                positives: p,
                predictions: if before > 0.0 {
                    bucket.predictions * (n + p) / before
                } else {
                    0.0
                },
                ..*bucket
            };
        }
        for (values, statistic) in values.iter_mut().zip(statistics) {
            values.extend(statistic(&drawn).filter(|value| value.is_finite()));
        }
    }
    for values in &mut values {
        values.sort_unstable_by(f64::total_cmp);
    }
    values
}

/// The number of times that a row counts in a resample of all rows: a Poisson number of mean 1, from a hash of what the row belongs to, the
/// resample and a seed. It does not depend on the order of the rows, nor on where they are counted.
#[must_use]
pub fn times_drawn(group: u64, replicate: u32, seed: u64) -> u32 {
    let mut random =
        SplitMix(group ^ seed ^ u64::from(replicate).wrapping_mul(0xD6E8_FEB8_6659_FD93));
    let (u, mut below, mut share, mut k) = (random.unit(), 0.0, (-1.0_f64).exp(), 0);
    // The distribution's steps: past 20 nothing is left of it.
    loop {
        below += share;
        if u <= below || k == 20 {
            return k;
        }
        k += 1;
        share /= f64::from(k);
    }
}

/// Steele, Lea and Flood (2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        let next = crate::hash::hash_u64(self.0);
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        next
    }

    /// Above 0 and at most 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// The weight of rows, each counted a Poisson number of times.
    fn resampled(&mut self, weight: f64, squared: f64) -> f64 {
        if weight.is_nan() || weight <= 0.0 {
            return 0.0;
        }
        let n = weight * weight / squared;
        self.poisson(n) * weight / n
    }

    /// Knuth's products for small means, the normal approximation for large ones.
    fn poisson(&mut self, mean: f64) -> f64 {
        if mean < 30.0 {
            let (limit, mut product, mut k) = ((-mean).exp(), self.unit(), 0.0);
            while product > limit {
                product *= self.unit();
                k += 1.0;
            }
            return k;
        }
        let (u, v) = (self.unit(), self.unit());
        let normal = (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos();
        (mean + mean.sqrt() * normal).round().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(rows: &[(bool, f64, f64)]) -> Vec<Bucket> {
        let keys: Vec<u32> = rows.iter().map(|(_, p, _)| key_of(*p)).collect();
        let mut found = Vec::new();
        for place in order(&keys) {
            let (positive, p, w) = rows[place as usize];
            let row = row(positive, p, w);
            push(&mut found, row);
        }
        found
    }

    fn row(positive: bool, p: f64, w: f64) -> Bucket {
        let (n, y) = if positive { (0.0, w) } else { (w, 0.0) };
        Bucket {
            key: key_of(p),
            negatives: n,
            positives: y,
            negatives_squared: n * w,
            positives_squared: y * w,
            predictions: w * p,
        }
    }

    /// Made-up rows with ties: 200 of them, of two models that agree in part.
    fn rows() -> Vec<(bool, f64, f64)> {
        let mut random = SplitMix(7);
        (0..200)
            .map(|_| {
                let positive = random.unit() < 0.4;
                let shift = if positive { 0.25 } else { 0.0 };
                let a = ((random.unit() * 0.7 + shift) * 20.0).round() / 20.0;
                let b = ((0.5 * a + 0.5 * random.unit()) * 20.0).round() / 20.0;
                (positive, a, b)
            })
            .collect()
    }

    /// DeLong as written: over all pairs.
    fn plain(
        rows: &[(bool, f64, f64)],
        score: impl Fn(&(bool, f64, f64)) -> f64,
    ) -> (Vec<f64>, Vec<f64>) {
        let positives: Vec<_> = rows.iter().filter(|row| row.0).collect();
        let negatives: Vec<_> = rows.iter().filter(|row| !row.0).collect();
        let psi = |p: f64, n: f64| {
            if p > n {
                1.0
            } else if p == n {
                0.5
            } else {
                0.0
            }
        };
        let v10 = positives.iter().map(|p| {
            negatives
                .iter()
                .map(|n| psi(score(p), score(n)))
                .sum::<f64>()
                / negatives.len() as f64
        });
        let v01 = negatives.iter().map(|n| {
            positives
                .iter()
                .map(|p| psi(score(p), score(n)))
                .sum::<f64>()
                / positives.len() as f64
        });
        (v10.collect(), v01.collect())
    }

    fn variance(values: &[f64]) -> f64 {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>()
            / (values.len() as f64 - 1.0)
    }

    #[test]
    fn keys_rise_with_probabilities_and_order_sorts_them() {
        let probabilities = [
            0.0, 1e-30, 1e-6, 2e-6, 0.1, 0.4999, 0.5, 0.6, 0.999_998, 0.999_999, 1.0,
        ];
        let keys: Vec<u32> = probabilities.iter().map(|p| key_of(*p)).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
        assert_eq!(keys.last(), Some(&MAX_KEY));
        let mut random = SplitMix(1);
        let keys: Vec<u32> = (0..5_000)
            .map(|_| (random.next() % u64::from(MAX_KEY)) as u32 / 7)
            .collect();
        let mut expected: Vec<u32> = (0..5_000).collect();
        expected.sort_by_key(|place| keys[*place as usize]);
        assert_eq!(order(&keys), expected);
    }

    #[test]
    fn delong_is_that_of_all_pairs() {
        let rows = rows();
        let weighted: Vec<_> = rows.iter().map(|row| (row.0, row.1, 1.0)).collect();
        let found = delong(&buckets(&weighted)).unwrap();
        let (v10, v01) = plain(&rows, |row| row.1);
        let auc = v10.iter().sum::<f64>() / v10.len() as f64;
        let expected = variance(&v10) / v10.len() as f64 + variance(&v01) / v01.len() as f64;
        assert!((found.value - auc).abs() < 1e-12);
        assert!(
            (found.variance - expected).abs() < 1e-12,
            "{found:?} {expected}"
        );
    }

    #[test]
    fn the_paired_difference_is_that_of_all_pairs() {
        let rows = rows();
        let of = |score: fn(&(bool, f64, f64)) -> f64| -> Ranks {
            let rows: Vec<_> = rows.iter().map(|row| (row.0, score(row), 1.0)).collect();
            Ranks::new(&buckets(&rows)).unwrap()
        };
        let (a, b) = (of(|row| row.1), of(|row| row.2));
        let mut paired = Paired::default();
        for row in &rows {
            paired.add(&a, &b, row.0, 1.0, (key_of(row.1), key_of(row.2)));
        }
        let found = paired.difference(&a, &b);
        let (a10, a01) = plain(&rows, |row| row.1);
        let (b10, b01) = plain(&rows, |row| row.2);
        let less =
            |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
        let (d10, d01) = (less(&a10, &b10), less(&a01, &b01));
        let expected = variance(&d10) / d10.len() as f64 + variance(&d01) / d01.len() as f64;
        assert!(
            (found.variance - expected).abs() < 1e-12,
            "{found:?} {expected}"
        );
        assert!((found.value - d10.iter().sum::<f64>() / d10.len() as f64).abs() < 1e-12);
    }

    #[test]
    fn parts_merge_into_the_whole_and_weights_of_two_are_doubled_rows() {
        let rows: Vec<_> = rows().iter().map(|row| (row.0, row.1, 1.0)).collect();
        let whole = buckets(&rows);
        let merged = merge(&buckets(&rows[..70]), &buckets(&rows[70..]));
        assert_eq!(delong(&merged), delong(&whole));
        let doubled: Vec<_> = rows.iter().chain(&rows).copied().collect();
        let twice: Vec<_> = rows.iter().map(|row| (row.0, row.1, 2.0)).collect();
        for statistic in [
            average_precision,
            ks,
            |b: &[Bucket]| delong(b).map(|auc| auc.value),
            |b: &[Bucket]| calibration_error(b, 10),
        ] {
            let (a, b) = (
                statistic(&buckets(&doubled)).unwrap(),
                statistic(&buckets(&twice)).unwrap(),
            );
            assert!((a - b).abs() < 1e-12);
        }
        let coarse = coarsen(&whole, 8);
        assert!(coarse.len() <= 8);
        let total = |buckets: &[Bucket]| buckets.iter().map(Bucket::weight).sum::<f64>();
        assert!((total(&coarse) - total(&whole)).abs() < 1e-9);
    }

    #[test]
    fn one_class_has_no_curve() {
        let rows = [(true, 0.3, 1.0), (true, 0.6, 1.0)];
        assert_eq!(delong(&buckets(&rows)), None);
        assert_eq!(ks(&buckets(&rows)), None);
        assert_eq!(average_precision(&[]), None);
        assert_eq!(average_precision(&buckets(&rows)), Some(1.0));
        assert_eq!(calibration_line(&buckets(&rows)), None);
    }

    /// The variance of the bootstrap is DeLong's, within its own error.
    #[test]
    fn the_bootstrap_agrees_with_delong() {
        let rows: Vec<_> = rows().iter().map(|row| (row.0, row.1, 1.0)).collect();
        let found = buckets(&rows);
        let auc = |buckets: &[Bucket]| delong(buckets).map(|auc| auc.value);
        let line = |buckets: &[Bucket]| calibration_line(buckets).map(|line| line.slope.value);
        let values = bootstrap(&found, 2_000, 3, &[&auc, &line]);
        assert_eq!((values[0].len(), values[1].len()), (2_000, 2_000));
        let ratio = variance(&values[0]) / delong(&found).unwrap().variance;
        assert!((0.85..1.15).contains(&ratio), "{ratio}");
        let ratio = variance(&values[1]) / calibration_line(&found).unwrap().slope.variance;
        assert!((0.8..1.25).contains(&ratio), "{ratio}");
    }

    #[test]
    fn rows_are_drawn_once_on_average_and_groups_by_themselves() {
        let n = 100_000_u64;
        let drawn: Vec<u32> = (0..n).map(|group| times_drawn(group, 3, 9)).collect();
        let mean = f64::from(drawn.iter().sum::<u32>()) / n as f64;
        let squares = drawn.iter().map(|k| f64::from(*k).powi(2)).sum::<f64>() / n as f64;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert!((squares - mean * mean - 1.0).abs() < 0.03, "{squares}");
        let again: Vec<u32> = (0..n).map(|group| times_drawn(group, 4, 9)).collect();
        let both = drawn
            .iter()
            .zip(&again)
            .map(|(a, b)| f64::from(a * b))
            .sum::<f64>()
            / n as f64;
        assert!(
            (both - 1.0).abs() < 0.02,
            "resamples are independent: {both}"
        );
    }
}
