//! The details behind the metrics: curves, the confusion matrix, metrics of each class.

use fourfold_kernels::scores::Bucket;
use serde::{Deserialize, Serialize};

use super::MetricValue;
use super::clopper_pearson::clopper_pearson;
use super::estimate::Point;
use super::groups::Sums;
use super::multiclass::Multiclass;
use crate::model::Target;

/// The most points of a curve.
const MAX_POINTS: usize = 200;
/// The bins of a calibration curve.
const BINS: usize = 10;

/// The curves and tables behind the metrics of all rows, as data to draw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Details {
    /// For two classes: the ROC curve, from the highest threshold to the lowest, at most 200 points of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roc: Vec<CurvePoint>,
    /// For two classes: predictions and shares of positives in ten bins of equal width; bins without rows are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calibration: Vec<CalibrationBin>,
    /// For classes: rows (their weights) by class and answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<ConfusionMatrix>,
    /// For three classes or more: the metrics of each class against the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassMetrics>,
    /// For values: the errors in each tenth of the rows by prediction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residuals: Vec<ResidualDecile>,
}

/// A point of the ROC curve, which is one of the precision-recall curve, too.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CurvePoint {
    /// Rows with a prediction of this or more are answered as positive here. Predictions that agree in their leading 12
    /// binary digits share one.
    pub threshold: f64,
    /// The share of the negatives that are.
    pub false_positive_rate: f64,
    /// The share of the positives that are; recall.
    pub true_positive_rate: f64,
    /// The share of positives among those that are.
    pub precision: f64,
}

/// A bin of the calibration curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CalibrationBin {
    /// The mean prediction.
    pub prediction: f64,
    /// The share of positives, with the interval of Clopper and Pearson (1934), which is never too narrow.
    pub share: MetricValue,
}

/// Rows by class and answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConfusionMatrix {
    /// The classes, in the order of the columns. The rows have one more where classes are not known to the target: these
    /// are last, as `<unknown>`.
    pub classes: Vec<String>,
    /// Sums of weights: a list for each class, of its answers.
    pub counts: Vec<Vec<f64>>,
}

/// A class against the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClassMetrics {
    /// The class.
    pub class: String,
    /// Its rows (their weights).
    pub rows: f64,
    /// The share of its answers that are right; none without answers.
    pub precision: Option<MetricValue>,
    /// The share of its rows that are answered as it; none without rows.
    pub recall: Option<MetricValue>,
    /// Their harmonic mean; none for a class that neither occurs nor is answered.
    pub f1: Option<MetricValue>,
    /// The area under its ROC curve.
    pub auc: Option<MetricValue>,
}

/// The errors of rows with predictions of about a size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResidualDecile {
    /// The mean prediction.
    pub prediction: f64,
    /// The mean of label less prediction: not 0 where the model is off for predictions of this size.
    pub residual: MetricValue,
    /// The mean of its absolute value.
    pub absolute: MetricValue,
}

impl Details {
    pub(super) fn is_empty(&self) -> bool {
        *self == Details::default()
    }

    pub(super) fn of(target: &Target, sums: &Sums) -> Self {
        match sums {
            Sums::Binary(sums) => Details {
                roc: roc(sums.buckets()),
                calibration: calibration(sums.buckets()),
                confusion: Some(ConfusionMatrix::new(target, sums.cells())),
                ..Details::default()
            },
            Sums::Multiclass(sums) => Details {
                confusion: Some(ConfusionMatrix::new(
                    target,
                    sums.cells().map(|(cell, weight)| (cell, weight.w)),
                )),
                classes: classes(target, sums),
                ..Details::default()
            },
            Sums::Regression(_) => Details::default(),
        }
    }
}

impl ConfusionMatrix {
    fn new(target: &Target, cells: impl IntoIterator<Item = ((usize, usize), f64)>) -> Self {
        let classes = target.classes().to_vec();
        let n = classes.len();
        let mut counts = vec![vec![0.0; n]; n + 1];
        for ((class, answer), weight) in cells {
            if let Some(count) = counts.get_mut(class).and_then(|row| row.get_mut(answer)) {
                *count += weight;
            }
        }
        if counts[n].iter().all(|count| *count == 0.0) {
            counts.pop();
        }
        ConfusionMatrix { classes, counts }
    }
}

fn roc(buckets: &[Bucket]) -> Vec<CurvePoint> {
    let positives: f64 = buckets.iter().map(|bucket| bucket.positives).sum();
    let negatives: f64 = buckets.iter().map(|bucket| bucket.negatives).sum();
    if !(positives > 0.0 && negatives > 0.0) {
        return Vec::new();
    }
    let (mut hits, mut alarms) = (0.0, 0.0);
    let held: Vec<&Bucket> = (buckets.iter().rev())
        .filter(|bucket| bucket.weight() > 0.0)
        .collect();
    let mut points = Vec::new();
    // A point is kept each time the curve has moved by a share of its length, which is at most 2.
    let (mut moved, step) = (f64::INFINITY, 2.0 / (MAX_POINTS as f64 - 2.0));
    for (at, bucket) in held.iter().enumerate() {
        hits += bucket.positives;
        alarms += bucket.negatives;
        moved += bucket.positives / positives + bucket.negatives / negatives;
        if moved >= step || at + 1 == held.len() {
            moved = 0.0;
            points.push(CurvePoint {
                threshold: bucket.predictions / bucket.weight(),
                false_positive_rate: (alarms / negatives).min(1.0),
                true_positive_rate: (hits / positives).min(1.0),
                precision: hits / (hits + alarms),
            });
        }
    }
    points
}

fn calibration(buckets: &[Bucket]) -> Vec<CalibrationBin> {
    let mut bins = [(0.0, 0.0, 0.0, 0.0); BINS];
    for bucket in buckets.iter().filter(|bucket| bucket.weight() > 0.0) {
        let mean = bucket.predictions / bucket.weight();
        let bin = &mut bins[((mean * BINS as f64 + 1e-9) as usize).min(BINS - 1)];
        bin.0 += bucket.weight();
        bin.1 += bucket.predictions;
        bin.2 += bucket.positives;
        bin.3 += bucket.positives_squared + bucket.negatives_squared;
    }
    let held = bins.iter().filter(|bin| bin.0 > 0.0);
    held.map(|(weight, predictions, positives, squared)| {
        let share = positives / weight;
        let n = weight * weight / squared;
        let (low, high) = clopper_pearson(share * n, n);
        CalibrationBin {
            prediction: predictions / weight,
            share: MetricValue::new(share, n.round() as u64).with_interval(low, high),
        }
    })
    .collect()
}

fn classes(target: &Target, sums: &Multiclass) -> Vec<ClassMetrics> {
    let areas = sums.areas().map(super::one_vs_rest::OneVsRest::areas);
    let names = target.classes().iter().zip(sums.classes()).enumerate();
    names
        .map(|(at, (class, of))| {
            // As many rows of equal weight as the sums count.
            let kish = sums.kish();
            let share = |hits: f64, all: f64| {
                let point = (all > 0.0).then(|| Point::share(hits, all, all * kish));
                point.and_then(|point| point.with_support(all.round() as u64))
            };
            let area = areas.as_ref().and_then(|areas| *areas.get(at)?);
            ClassMetrics {
                class: class.clone(),
                rows: of.rows,
                precision: share(of.hits, of.answers),
                recall: share(of.hits, of.rows),
                f1: sums.f1_of(at),
                auc: area.and_then(|area| {
                    let point = Point::bounded(area.value, area.variance, of.rows * kish);
                    point.with_support(of.rows.round() as u64)
                }),
            }
        })
        .collect()
}
