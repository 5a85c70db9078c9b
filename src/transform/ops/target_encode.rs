//! The mean of the label by category, cross-fitted.

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, Vocabulary, at_least, only};
use crate::error::{Error, Result};
use crate::transform::Transform;
use crate::transform::learn::Learner;
use crate::transform::numbers::Numbers;
pub use crate::transform::target_table::LabelSums;
use crate::transform::target_table::TargetTable;
use crate::transform::value::{NO_CATEGORY, Value};

/// The mean of the label by category, cross-fitted: see [`Transform::target_encode`].
///
/// ```
/// use fourfold::transform::Transform;
/// use fourfold::transform::ops::TargetEncode;
///
/// let encode = TargetEncode::default().smoothing(20.0).fold_by(["flight_id"]);
/// let transform = Transform::new().step("carrier", encode);
/// assert!(transform.needs_label());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetEncode {
    /// The number of rows of the overall mean that each category's own rows are mixed with; 10 by default.
    pub smoothing: f64,
    /// The number of folds of the training rows; 5 by default.
    pub n_folds: usize,
    /// The maximum number of categories; the most frequent ones stay. 10,000 by default.
    pub max_categories: usize,
    /// Whether the values of a numeric label are classes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub classes: bool,
    /// Raw columns that tell rows apart besides the transform's inputs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fold_by: Vec<String>,
}

impl Default for TargetEncode {
    fn default() -> Self {
        TargetEncode {
            smoothing: 10.0,
            n_folds: 5,
            max_categories: 10_000,
            classes: false,
            fold_by: Vec::new(),
        }
    }
}

impl TargetEncode {
    /// Sets the weight of the overall mean, in rows; 0 trusts a category of one row.
    #[must_use]
    pub fn smoothing(mut self, rows: f64) -> Self {
        self.smoothing = rows;
        self
    }

    /// Sets the number of folds.
    #[must_use]
    pub fn folds(mut self, n: usize) -> Self {
        self.n_folds = n;
        self
    }

    /// Sets the largest number of categories.
    #[must_use]
    pub fn max_categories(mut self, n: usize) -> Self {
        self.max_categories = n;
        self
    }

    /// Treats a label of whole numbers as classes: one feature per class.
    #[must_use]
    pub fn classes(mut self) -> Self {
        self.classes = true;
        self
    }

    /// Sets raw columns, such as a key of the rows, that choose the fold of a row besides all inputs of the transform.
    /// They are read in training only, and must not determine the label.
    #[must_use]
    pub fn fold_by<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.fold_by = columns.into_iter().map(Into::into).collect();
        self
    }
}

impl Transform {
    /// Replaces a category (text, whole numbers, booleans) by the mean of the label over the training rows of that
    /// category, drawn towards the mean over all rows: `(sum + m * prior) / (n + m)`, `m` = 10 rows.
    ///
    /// For a label that is a number or a boolean it is the mean. A label of text is classes: of two, the feature `column`
    /// is the share of the second; of more, the features `column->class` are the share of each. For whole numbers that are
    /// classes use [`TargetEncode::classes`].
    ///
    /// A training row must not see its own label in its features. So the rows fall into five folds, and a row *of
    /// the training data* is encoded by the rows of the other folds
    /// ([`FittedTransform::apply_training`](crate::transform::FittedTransform::apply_training), which the `train`
    /// split's data set calls); every other row is encoded by all training rows. The fold follows from a hash of the
    /// row's raw input columns (and those of [`TargetEncode::fold_by`]), never of the label: rows of equal inputs
    /// are in one fold and do not see each other's labels either. If the inputs do not distinguish rows, such as when
    /// this category is the only input, name a key with `fold_by`.
    ///
    /// A NULL, an unseen category and one past the 10,000 most frequent are the mean over all rows.
    #[must_use]
    pub fn target_encode(self, column: impl Into<String>) -> Self {
        self.step(column, TargetEncode::default())
    }
}

impl Operation for TargetEncode {
    fn check(&self) -> Result<()> {
        if !(self.smoothing.is_finite() && self.smoothing >= 0.0) {
            return Err(Error::config(format!(
                "the smoothing of target_encode is {}, must be finite and at least 0",
                self.smoothing
            )));
        }
        at_least("`n_folds` of target_encode", self.n_folds, 2)?;
        if self.n_folds > 100 {
            return Err(Error::config(format!(
                "`n_folds` of target_encode is {}, must be at most 100",
                self.n_folds
            )));
        }
        at_least("`max_categories` of target_encode", self.max_categories, 1)
    }

    fn needs_label(&self) -> bool {
        true
    }

    fn fold_by(&self) -> Option<&[String]> {
        Some(&self.fold_by)
    }

    fn learner(&self) -> Option<Learner> {
        let capacity = self.max_categories.saturating_mul(2).max(10_000);
        Some(TargetTable::new(self.n_folds, capacity, self.classes).into())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let learned = learned.get::<TargetTable>()?.learned(self.max_categories);
        if learned.all.iter().all(|fold| fold.n_rows == 0) {
            return Err(Error::data("no training row has a label to learn from"));
        }
        let n_folds_of = |folds: &[LabelSums]| folds.iter().filter(|fold| fold.n_rows > 0).count();
        if !learned
            .categories
            .iter()
            .any(|(_, folds)| n_folds_of(folds) > 1)
        {
            return Err(Error::data(
                "no category has rows in two folds, so training rows can learn nothing of it; either no category is \
                 repeated, or the inputs do not tell rows apart: name a key with `TargetEncode::fold_by`",
            ));
        }
        let (names, categories): (Vec<_>, Vec<_>) = learned.categories.into_iter().unzip();
        Ok(TargetMeans::new(
            self.smoothing,
            learned.classes,
            learned.all,
            names,
            categories,
        )?
        .into())
    }
}

/// The label by category and fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct TargetMeans {
    smoothing: f64,
    classes: Vec<String>,
    all: Vec<LabelSums>,
    names: Vocabulary,
    categories: Vec<Vec<LabelSums>>,
    /// The means over all folds: of each category the mean of each output, then those of all others.
    served: Vec<f64>,
}

/// Readable: each category with rows and sums by fold.
#[derive(Serialize, Deserialize)]
struct Stored {
    smoothing: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    all: Vec<LabelSums>,
    categories: Vec<(String, Vec<LabelSums>)>,
}

impl TryFrom<Stored> for TargetMeans {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let (names, categories): (Vec<_>, Vec<_>) = stored.categories.into_iter().unzip();
        TargetMeans::new(
            stored.smoothing,
            stored.classes,
            stored.all,
            names,
            categories,
        )
    }
}

impl From<TargetMeans> for Stored {
    fn from(means: TargetMeans) -> Self {
        let names = Vec::<String>::from(means.names).into_iter();
        Stored {
            smoothing: means.smoothing,
            classes: means.classes,
            all: means.all,
            categories: names.zip(means.categories).collect(),
        }
    }
}

/// `(sum + smoothing * prior) / (n + smoothing)`; the prior itself where there is no row.
fn mean(n: u64, sum: f64, smoothing: f64, prior: f64) -> f64 {
    let n = n as f64;
    match n + smoothing {
        0.0 => prior,
        weight => (sum + smoothing * prior) / weight,
    }
}

/// Rows and the sum of an output, of all folds but one (of every fold if that is no fold's number).
fn without(folds: &[LabelSums], left_out: usize, output: usize) -> (u64, f64) {
    let others = folds
        .iter()
        .enumerate()
        .filter(|(fold, _)| *fold != left_out);
    others.fold((0, 0.0), |(n, sum), (_, fold)| {
        (
            n + fold.n_rows,
            sum + fold.sums.get(output).copied().unwrap_or_default(),
        )
    })
}

const EVERY_FOLD: usize = usize::MAX;

impl TargetMeans {
    fn new(
        smoothing: f64,
        classes: Vec<String>,
        all: Vec<LabelSums>,
        names: Vec<String>,
        categories: Vec<Vec<LabelSums>>,
    ) -> Result<Self> {
        let fits = |folds: &Vec<LabelSums>| folds.len() == all.len();
        if all.len() < 2 || !categories.iter().all(fits) {
            return Err(Error::corrupt(
                "target means whose folds do not fit each other",
            ));
        }
        let mut means = TargetMeans {
            smoothing,
            classes,
            all,
            names: names.into(),
            categories,
            served: Vec::new(),
        };
        let priors = means.priors(EVERY_FOLD);
        let categories = means.categories.iter();
        means.served = categories
            .flat_map(|folds| means.means(folds, EVERY_FOLD, &priors))
            .chain(priors.iter().copied())
            .collect();
        Ok(means)
    }

    fn width(&self) -> usize {
        self.classes.len().max(1)
    }

    /// The means over all categories, without a fold.
    fn priors(&self, left_out: usize) -> Vec<f64> {
        let of_all = |left_out, output| match without(&self.all, left_out, output) {
            (0, _) => f64::NAN,
            (n, sum) => sum / n as f64,
        };
        (0..self.width())
            .map(|output| match of_all(left_out, output) {
                // One fold has all rows.
                prior if prior.is_nan() => of_all(EVERY_FOLD, output),
                prior => prior,
            })
            .collect()
    }

    /// The means of a category, without a fold.
    fn means(&self, folds: &[LabelSums], left_out: usize, priors: &[f64]) -> Vec<f64> {
        let mean = |(output, prior): (usize, &f64)| {
            let (n, sum) = without(folds, left_out, output);
            mean(n, sum, self.smoothing, *prior)
        };
        priors.iter().enumerate().map(mean).collect()
    }

    fn columns(&self, rows: impl Iterator<Item = Vec<f64>>) -> Value {
        let mut columns = vec![Vec::with_capacity(rows.size_hint().0); self.width()];
        for row in rows {
            columns
                .iter_mut()
                .zip(row)
                .for_each(|(column, mean)| column.push(mean));
        }
        Value::Columns(columns.into_iter().map(Numbers::all).collect())
    }
}

impl Apply for TargetMeans {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let other = self.names.len() as u32;
        let mut ids = only(inputs)?.tokens()?.ids(&self.names, other);
        ids.iter_mut()
            .filter(|id| **id == NO_CATEGORY)
            .for_each(|id| *id = other);
        let width = self.width();
        let column = |output: usize| -> Numbers {
            let means = ids
                .iter()
                .map(|id| self.served.get(*id as usize * width + output).copied());
            Numbers::all(means.map(Option::unwrap_or_default))
        };
        Ok(match self.classes.len() {
            0 | 1 => Value::Numbers(column(0)),
            n => Value::Columns((0..n).map(column).collect()),
        })
    }

    fn apply_training(&self, inputs: &[&Value], row_hashes: &[u64]) -> Result<Value> {
        let ids = only(inputs)?.tokens()?.ids(&self.names, NO_CATEGORY);
        let n_folds = self.all.len();
        let priors: Vec<Vec<f64>> = (0..n_folds).map(|fold| self.priors(fold)).collect();
        let rows = ids.iter().zip(row_hashes).map(|(id, hash)| {
            let fold = (hash % n_folds as u64) as usize;
            let priors = priors.get(fold).map_or(&[][..], Vec::as_slice);
            match self.categories.get(*id as usize) {
                Some(folds) => self.means(folds, fold, priors),
                None => priors.to_vec(),
            }
        });
        Ok(match self.columns(rows) {
            Value::Columns(mut columns) if columns.len() == 1 => {
                columns.pop().map_or(Value::Absent, Value::Numbers)
            }
            columns => columns,
        })
    }

    fn feature_names(&self, column: &str) -> Vec<String> {
        match self.classes.as_slice() {
            [] | [_] => vec![column.to_owned()],
            classes => classes
                .iter()
                .map(|class| format!("{column}->{class}"))
                .collect(),
        }
    }
}
