//! Metrics, overall and by slice, from one pass over the predictions.
//!
//! An [`Evaluator`] reads predictions that are columns: label, candidate, baseline, weight, keys of slices. It holds no
//! model, and parts of the rows are counted side by side and merged. Metrics of one's own are [`Metric`]s, or SQL expressions
//! (`SqlMetric`, feature `sql`).
//!
//! Names and rules follow TensorFlow Model Analysis and scikit-learn where they have them: a positive is a probability
//! *above* the threshold, a ratio with a zero denominator has no value (and is left out here), overall is the slice of every
//! row. Every metric takes row weights into account: a weight of 2 counts as two rows. Every value has a 95 % interval where the
//! table names its kind; [`MetricValue`] says what these are.
//!
//! | metric | task | better | what it is | interval |
//! | --- | --- | --- | --- | --- |
//! | `example_count` | all | | rows | |
//! | `skill` | all | higher | the share of the constant model's loss that the model takes away: 1 is perfect, 0 is no better than predicting the classes' shares (log loss; McFadden's pseudo-R²) or the mean (squared error; R²) | delta |
//! | `auc` | binary | higher | area under the ROC curve | DeLong |
//! | `pr_auc` | binary | higher | area under the precision-recall curve, trapezoidal | bootstrap |
//! | `average_precision` | binary | higher | Σ (recall gained) · precision | bootstrap |
//! | `log_loss` | classes | lower | mean of -ln(probability of the true class), natural log | mean |
//! | `brier` | classes | lower | mean squared error of the probabilities, summed over the classes of three or more (Brier 1950) | mean |
//! | `accuracy` | classes | higher | share of rows whose answered class is the true one | Wilson |
//! | `balanced_accuracy` | classes | higher | mean recall of the classes | delta |
//! | `precision`, `recall`, `specificity` | binary | higher | TP / (TP + FP), TP / (TP + FN), TN / (TN + FP) | Wilson |
//! | `false_positive_rate`, `selection_rate` | binary | lower, | FP / (FP + TN), share that is answered as positive | Wilson |
//! | `f1`, `fbeta(b)` | binary | higher | (1 + b²) TP / ((1 + b²) TP + b² FN + FP) | delta |
//! | `mcc` | classes | higher | correlation of class and answer (Matthews 1975, Gorodkin 2004) | delta |
//! | `ks` | binary | higher | largest distance of the classes' score distributions | bootstrap |
//! | `precision_at_recall(r)`, `recall_at_precision(p)` | binary | higher | the best of the thresholds that hold the other | bootstrap |
//! | `cost(a, b)` | binary | lower | (a FP + b FN) / rows | mean |
//! | `calibration_intercept`, `calibration_slope` | binary | | of a logistic regression on the logit (Cox 1958); 0 and 1 if calibrated | sandwich |
//! | `calibration_error` | binary | lower | mean distance of prediction and share over ten bins (Naeini et al. 2015) | bootstrap |
//! | `auc_ovr` | multi-class | higher | mean over the classes of the area under the ROC curve of the class against the rest (Provost and Domingos 2001); in slices, of at most 10 classes | DeLong, conservative |
//! | `macro_f1`, `macro_precision`, `macro_recall` | multi-class | higher | means over the classes; one that neither occurs nor is answered is left out, one that the model does not know counts as 0; the mean of precision, recall and F1 over rows, "micro", is `accuracy` | delta |
//! | `weighted_f1` | multi-class | higher | mean of the classes' F1, weighted by their rows | delta |
//! | `top_k_accuracy(k)` | multi-class | higher | share of rows whose true class is among the k most probable | Wilson |
//! | `mean_label`, `mean_prediction`, `calibration` | binary, regression | | calibration is Σ prediction / Σ label | mean, delta |
//! | `mae`, `mse`, `rmse` | regression | lower | mean absolute, mean squared, root mean squared error | mean |
//! | `mape` | regression | lower | mean of abs(error / label); no value if a label is 0 | mean |
//! | `smape` | regression | lower | mean of 2 abs(error) / (abs(label) + abs(prediction)); 0 where both are 0 | mean |
//! | `msle` | regression | lower | mean of (ln(1 + label) - ln(1 + prediction))² | mean |
//! | `median_absolute_error` | regression | lower | median of abs(error), within 0.05 % | order statistics |
//! | `pinball(q)` | regression | lower | quantile loss (Koenker and Bassett 1978) | mean |
//! | `r2` | regression | higher | 1 - Σ(label - prediction)² / Σ(label - mean label)² | delta |
//! | `interval_coverage` | regression | | share of labels within the interval that the model answers, of models that answer one ([`ConformalModel`](crate::model::ConformalModel)) | Wilson |
//! | `interval_width` | regression | lower | mean width of that interval | mean |
#![cfg_attr(
    not(feature = "datafusion"),
    allow(dead_code, reason = "only the evaluation pipeline computes metrics")
)]

mod auc_change;
mod binary;
mod catalogue;
mod clopper_pearson;
mod details;
mod estimate;
mod evaluator;
mod fairness;
mod groups;
mod metric;
mod multiclass;
mod one_vs_rest;
mod regression;
mod resampled;
mod residuals;
mod scored;
mod slice;
mod spread;
#[cfg(feature = "sql")]
mod sql_metric;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[cfg(feature = "datafusion")]
pub(crate) use self::auc_change::{AucChange, BothRanks};
pub use self::catalogue::{Catalogue, Direction};
pub use self::details::{
    CalibrationBin, ClassMetrics, ConfusionMatrix, CurvePoint, Details, ResidualDecile,
};
#[cfg(feature = "datafusion")]
pub(crate) use self::estimate::Mean;
pub use self::estimate::MetricValue;
pub use self::evaluator::Evaluator;
#[cfg(feature = "datafusion")]
pub(crate) use self::evaluator::row_losses;
pub use self::fairness::{Disparity, Fairness, Parity};
pub use self::metric::{AnyState, Metric, MetricState, ScoredRow};
#[cfg(feature = "datafusion")]
pub(crate) use self::residuals::residuals;
#[cfg(feature = "datafusion")]
pub(crate) use self::scored::{Scored, View};
#[cfg(feature = "datafusion")]
pub(crate) use self::slice::numbers_of;
pub use self::slice::{Slice, SliceBy};
#[cfg(feature = "sql")]
pub use self::sql_metric::SqlMetric;
use crate::error::{Error, Result, near_names};

/// Values of metrics by name. A metric that is not defined for the rows (a ratio over nothing) is not there.
pub type Metrics = BTreeMap<String, MetricValue>;

/// The metrics of a slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceMetrics {
    /// The slice.
    pub slice: Slice,
    /// Their metrics.
    pub metrics: Metrics,
}

impl SliceMetrics {
    /// The number of rows.
    #[must_use]
    pub fn n_rows(&self) -> u64 {
        n_rows(&self.metrics)
    }
}

/// Metrics overall and of each slice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The metrics of all rows.
    pub overall: Metrics,
    /// The metrics of each slice, sorted by columns and values.
    pub slices: Vec<SliceMetrics>,
    /// Classes of the label that the target does not know, with their rows: they count as mistakes whatever the model
    /// answers. At most [`Evaluator::MAX_UNSEEN`] are named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unseen_classes: BTreeMap<String, u64>,
    /// The curves and tables behind the metrics of all rows.
    #[serde(default, skip_serializing_if = "Details::is_empty")]
    pub details: Details,
    /// The disparities between groups, for the requested columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fairness: Vec<Fairness>,
}

impl Evaluation {
    /// The number of rows.
    #[must_use]
    pub fn n_rows(&self) -> u64 {
        n_rows(&self.overall)
    }

    /// The value of an overall metric.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it is not there, with the near ones.
    pub fn metric(&self, name: &str) -> Result<f64> {
        self.overall
            .get(name)
            .map(|found| found.value)
            .ok_or_else(|| {
                Error::not_found(format!(
                    "there is no metric `{name}`{}",
                    near_names(name, self.overall.keys().map(String::as_str))
                ))
            })
    }
}

fn n_rows(metrics: &Metrics) -> u64 {
    metrics
        .get("example_count")
        .map_or(0, |count| count.support)
}

/// The work allowed for an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// None but what is known anyway.
    Quick,
    /// Resampling of few buckets: there may be many slices.
    Slice,
    /// Resampling.
    Full,
}

impl Depth {
    /// The most buckets that are resampled.
    fn n_buckets(self) -> usize {
        match self {
            Depth::Quick => 0,
            Depth::Slice => 256,
            Depth::Full => 1_024,
        }
    }
}

/// `-ln(p)`, with `p` kept away from 0 by 1e-15 so that one sure mistake does not make the mean infinite.
fn surprise(probability: f64) -> f64 {
    -probability.clamp(1e-15, 1.0).ln()
}

/// Counts rows of a class that the target does not know. Beyond a maximum, classes share a name.
fn count_unseen(unseen: &mut BTreeMap<String, u64>, class: Option<&str>, rows: u64) {
    const OTHERS: &str = "<others>";
    let class = class.unwrap_or("<null>");
    if let Some(count) = unseen.get_mut(class) {
        *count += rows;
        return;
    }
    let class = if unseen.len() < Evaluator::MAX_UNSEEN {
        class
    } else {
        OTHERS
    };
    *unseen.entry(class.to_owned()).or_default() += rows;
}
