//! Metrics of values.

use fourfold_kernels::scores::{self, Bucket};
use serde::{Deserialize, Serialize};

use super::binary::stored_buckets;
use super::estimate::{Mean, Point};
use super::spread::Spread;

/// The counted values of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    label: f64,
    prediction: f64,
    weight: f64,
    interval: Option<(f64, f64)>,
    key: u32,
}

impl Row {
    pub(super) fn new(
        label: f64,
        prediction: f64,
        weight: f64,
        interval: Option<(f64, f64)>,
    ) -> Self {
        Row {
            label,
            prediction,
            weight,
            interval,
            // As many digits of the error as those of probabilities have.
            key: ((label - prediction).abs() as f32).to_bits() >> 12,
        }
    }

    pub(super) fn key(&self) -> u32 {
        self.key
    }

    /// The values of a paired comparison: absolute and squared error.
    pub(super) fn losses(&self) -> [f64; 3] {
        let error = self.label - self.prediction;
        [error.abs(), error * error, 0.0]
    }
}

/// Running sums.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Regression {
    rows: u64,
    labels: Mean,
    /// Σ w (y - mean)², by Welford (1962) and Chan et al. (1979).
    spread: f64,
    mean: f64,
    predictions: Mean,
    absolute: Mean,
    squared: Mean,
    /// The mean distances of labels above the prediction, and of labels below it.
    above: Mean,
    below: Mean,
    relative: Mean,
    symmetric: Mean,
    logarithmic: Mean,
    /// Moments of the labels, with and without the squared errors.
    moments: Spread,
    /// Σ w² label prediction.
    products: f64,
    /// The coverage of the labels by the model's interval, and its width.
    covered: Mean,
    widths: Mean,
    /// Rows whose label is 0: no relative error; below or at -1: no logarithmic one.
    zeros: u64,
    negatives: u64,
    #[serde(with = "stored_buckets")]
    errors: Vec<Bucket>,
    #[serde(skip)]
    fresh: Vec<Bucket>,
}

impl Regression {
    /// Takes in a row of a batch, in rising order of [keys](Row::key).
    pub(super) fn add(&mut self, row: &Row) {
        let Row {
            label,
            prediction,
            weight,
            interval,
            key,
        } = *row;
        self.rows += 1;
        let before = label - self.mean;
        self.labels.add(label, weight);
        if self.labels.weight() > 0.0 {
            self.mean += weight / self.labels.weight() * before;
        }
        self.spread += weight * before * (label - self.mean);
        self.predictions.add(prediction, weight);
        let error = label - prediction;
        self.absolute.add(error.abs(), weight);
        self.squared.add(error * error, weight);
        self.moments.add(label, error, weight);
        self.products += weight * weight * label * prediction;
        if let Some((low, high)) = interval {
            let covered = (low..=high).contains(&label);
            self.covered.add(f64::from(covered), weight);
            self.widths.add(high - low, weight);
        }
        self.above.add(error.max(0.0), weight);
        self.below.add((-error).max(0.0), weight);
        if label == 0.0 {
            self.zeros += 1;
        } else {
            self.relative.add(error.abs() / label.abs(), weight);
        }
        let sizes = label.abs() + prediction.abs();
        let symmetric = if sizes > 0.0 {
            2.0 * error.abs() / sizes
        } else {
            0.0
        };
        self.symmetric.add(symmetric, weight);
        if label > -1.0 && prediction > -1.0 {
            let difference = label.ln_1p() - prediction.ln_1p();
            self.logarithmic.add(difference * difference, weight);
        } else {
            self.negatives += 1;
        }
        scores::push(
            &mut self.fresh,
            Bucket {
                key,
                positives: weight,
                positives_squared: weight * weight,
                predictions: weight * error.abs(),
                ..Bucket::default()
            },
        );
    }

    /// Ends a batch: the next may begin with low keys again.
    pub(super) fn end_batch(&mut self) {
        if !self.fresh.is_empty() {
            self.errors = scores::merge(&self.errors, &self.fresh);
            self.fresh.clear();
        }
    }

    pub(super) fn merge(&mut self, other: &Regression) {
        let (mine, theirs) = (self.labels.weight(), other.labels.weight());
        let both = mine + theirs;
        if both > 0.0 {
            let apart = other.mean - self.mean;
            self.spread += other.spread + apart * apart * mine * theirs / both;
            self.mean += apart * theirs / both;
        }
        self.rows += other.rows;
        self.labels.merge(&other.labels);
        self.predictions.merge(&other.predictions);
        self.absolute.merge(&other.absolute);
        self.squared.merge(&other.squared);
        self.above.merge(&other.above);
        self.below.merge(&other.below);
        self.relative.merge(&other.relative);
        self.symmetric.merge(&other.symmetric);
        self.logarithmic.merge(&other.logarithmic);
        self.moments.merge(&other.moments);
        self.products += other.products;
        self.covered.merge(&other.covered);
        self.widths.merge(&other.widths);
        self.zeros += other.zeros;
        self.negatives += other.negatives;
        self.errors = scores::merge(&self.errors, &other.errors);
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The value of a metric; `None` if it is not defined.
    pub(super) fn value(&self, name: &str, args: &[f64]) -> Option<Point> {
        match name {
            "example_count" => Some(Point::alone(self.rows as f64)),
            "skill" | "r2" => (self.spread > 0.0).then(|| self.r2()),
            "mae" => Some(self.absolute.point()),
            "mse" => Some(self.squared.point()),
            "rmse" => Some(self.squared.point().map(|mse| mse.max(0.0).sqrt())),
            "mape" => (self.zeros == 0).then(|| self.relative.point()),
            "smape" => Some(self.symmetric.point()),
            "msle" => (self.negatives == 0).then(|| self.logarithmic.point()),
            "median_absolute_error" => self.median(),
            "pinball" => {
                let quantile = *args.first()?;
                let mean = quantile * self.above.mean() + (1.0 - quantile) * self.below.mean();
                // No row is both above and below: with q a for the one and (1 - q) b for the other, the sums of squares
                // add up.
                let deviations = quantile.powi(2) * self.above.deviations(0.0)
                    + (1.0 - quantile).powi(2) * self.below.deviations(0.0);
                let n = self.above.n();
                let weight = self.above.weight();
                let variance = (deviations / (weight * weight) - mean * mean / n) * n / (n - 1.0);
                Some(Point::normal(mean, variance, n))
            }
            "mean_label" => Some(self.labels.point()),
            "mean_prediction" => Some(self.predictions.point()),
            "calibration" => {
                // The delta method: a row moves Σ p / Σ y by (p - ratio y) / Σ y.
                let ratio = self.predictions.sum() / self.labels.sum();
                let deviations = self.predictions.deviations(0.0) - 2.0 * ratio * self.products
                    + ratio * ratio * self.labels.deviations(0.0);
                let variance = deviations.max(0.0) / self.labels.sum().powi(2);
                Some(Point::normal(ratio, variance, self.labels.n()))
            }
            "interval_coverage" => {
                let (hits, weight) = (self.covered.sum(), self.covered.weight());
                (weight > 0.0).then(|| Point::share(hits, weight, self.covered.n()))
            }
            "interval_width" => (self.widths.weight() > 0.0).then(|| self.widths.point()),
            _ => None,
        }
    }

    /// By the delta method: with A the mean squared error and B the labels' variance, a row moves 1 - A / B by
    /// (A (y - mean)² / B - e²) / B.
    fn r2(&self) -> Point {
        let weight = self.labels.weight();
        let (a, b) = (self.squared.mean(), self.spread / weight);
        let (fourth, with_errors) = self.moments.fourth(self.mean);
        let errors = self.squared.deviations(0.0);
        let deviations = (a / b).powi(2) * fourth - 2.0 * a / b * with_errors + errors;
        let variance = deviations.max(0.0) / (b * weight).powi(2);
        Point::normal(1.0 - a / b, variance, self.labels.n())
    }

    /// The weighted median of the absolute errors, with the interval between its order statistics.
    fn median(&self) -> Option<Point> {
        let total: f64 = self.errors.iter().map(|bucket| bucket.positives).sum();
        let n = self.absolute.n();
        let at = |rank: f64| {
            let mut before = 0.0;
            let found = self.errors.iter().find(|bucket| {
                before += bucket.positives;
                before >= rank * total
            });
            found
                .or(self.errors.last())
                .map(|bucket| bucket.predictions / bucket.positives)
        };
        let half = 0.98 / n.sqrt();
        let interval = at((0.5 - half).max(0.0)).zip(at((0.5 + half).min(1.0)));
        Some(Point {
            value: at(0.5)?,
            interval,
        })
    }
}
