//! Metrics, overall and by slice, from one pass over the rows.
//!
//! Names and rules follow TensorFlow Model Analysis where it has them: a positive is a probability *above* 0.5, a
//! ratio with a zero denominator has no value (and is left out here), overall is the slice of every row.
//!
//! | metric | task | better | what it is |
//! | --- | --- | --- | --- |
//! | `example_count` | all | | rows |
//! | `skill` | all | higher | the share of the constant model's loss that the model takes away: 1 is perfect, 0 is no better than predicting the classes' shares (log loss; McFadden's pseudo-R²) or the mean (squared error; R²) |
//! | `auc` | binary | higher | area under the ROC curve |
//! | `log_loss` | classes | lower | mean of -ln(probability of the true class), natural log |
//! | `accuracy` | classes | higher | share of rows whose most probable class is the true one |
//! | `precision`, `recall`, `f1` | binary | higher | at threshold 0.5 |
//! | `macro_f1` | multi-class | higher | mean of the classes' F1; a class that neither occurs nor is predicted is left out, one that the model does not know counts as 0 |
//! | `mean_label`, `mean_prediction`, `calibration` | binary, regression | | calibration is Σ prediction / Σ label |
//! | `mae`, `mse`, `rmse` | regression | lower | mean absolute, mean squared, root mean squared error |
//! | `r2` | regression | higher | 1 - Σ(label - prediction)² / Σ(label - mean label)² |

mod binary;
mod catalogue;
mod evaluator;
mod multiclass;
mod regression;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use self::binary::Binary;
pub use self::catalogue::Direction;
#[cfg(feature = "datafusion")]
pub(crate) use self::catalogue::find as known_metric;
pub use self::evaluator::Evaluator;
use self::multiclass::Multiclass;
use self::regression::Regression;
use crate::error::{Error, Result, near_names};
use crate::model::Target;

/// Values of metrics by name. A metric that is not defined for the rows (a ratio over nothing) is not there.
pub type Metrics = BTreeMap<String, f64>;

/// A slice: the rows with one value in one column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slice {
    /// The column.
    pub column: String,
    /// The value as text; `<null>` for NULL.
    pub value: String,
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.column, self.value)
    }
}

/// The metrics of a slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceMetrics {
    /// Which rows.
    pub slice: Slice,
    /// Their metrics.
    pub metrics: Metrics,
}

/// Metrics overall and of each slice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Of every row.
    pub overall: Metrics,
    /// Of each slice, sorted by column and value.
    pub slices: Vec<SliceMetrics>,
    /// Classes of the label that the target does not know, with their rows: they count as mistakes whatever the model
    /// answers. At most [`Evaluator::MAX_UNSEEN`] are named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unseen_classes: BTreeMap<String, u64>,
}

fn n_rows(metrics: &Metrics) -> u64 {
    metrics
        .get("example_count")
        .map_or(0, |count| *count as u64)
}

impl SliceMetrics {
    /// The number of rows.
    #[must_use]
    pub fn n_rows(&self) -> u64 {
        n_rows(&self.metrics)
    }
}

impl Evaluation {
    /// The number of rows.
    #[must_use]
    pub fn n_rows(&self) -> u64 {
        n_rows(&self.overall)
    }

    /// An overall metric.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it is not there, with the near ones.
    pub fn metric(&self, name: &str) -> Result<f64> {
        self.overall.get(name).copied().ok_or_else(|| {
            Error::not_found(format!(
                "there is no metric `{name}`{}",
                near_names(name, self.overall.keys().map(String::as_str))
            ))
        })
    }
}

/// Whether a higher value is better; `None` for a metric that has no better side or is not known.
#[must_use]
pub fn higher_is_better(metric: &str) -> Option<bool> {
    match catalogue::find(metric).ok()?.direction {
        Direction::Higher => Some(true),
        Direction::Lower => Some(false),
        Direction::Neither => None,
    }
}

/// The running sums of one slice.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Sums {
    Binary(Binary),
    Multiclass(Multiclass),
    Regression(Regression),
}

impl Sums {
    fn new(target: &Target) -> Self {
        match target {
            Target::Binary { .. } => Sums::Binary(Binary::default()),
            Target::Multiclass { classes, .. } => Sums::Multiclass(Multiclass::new(classes.len())),
            Target::Regression { .. } => Sums::Regression(Regression::default()),
        }
    }

    /// `label` is a value or the index of a class, NaN if the class is not the target's.
    fn add(&mut self, label: f64, class: Option<&str>, outputs: ndarray::ArrayView1<'_, f64>) {
        match self {
            Sums::Binary(sums) => sums.add(label, outputs[0]),
            Sums::Multiclass(sums) => sums.add(label, class, outputs),
            Sums::Regression(sums) => sums.add(label, outputs[0]),
        }
    }

    fn merge(&mut self, other: &Sums) -> Result<()> {
        match (self, other) {
            (Sums::Binary(mine), Sums::Binary(theirs)) => mine.merge(theirs),
            (Sums::Multiclass(mine), Sums::Multiclass(theirs)) => mine.merge(theirs),
            (Sums::Regression(mine), Sums::Regression(theirs)) => mine.merge(theirs),
            _ => return Err(Error::internal("metrics of different tasks merged")),
        }
        Ok(())
    }

    fn finish(&self) -> Metrics {
        let values = match self {
            Sums::Binary(sums) => sums.finish(),
            Sums::Multiclass(sums) => sums.finish(),
            Sums::Regression(sums) => sums.finish(),
        };
        values
            .into_iter()
            .filter(|(_, value)| value.is_finite())
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// `-ln(p)`, with `p` kept away from 0 by 1e-15 so that one sure mistake does not make the mean infinite.
fn surprise(probability: f64) -> f64 {
    -probability.clamp(1e-15, 1.0).ln()
}

/// Counts rows of a class that the target does not know. Those past the first so many share a name.
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
