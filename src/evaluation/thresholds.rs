//! The default validator: bounds on metrics.

use std::path::Path;

use serde::{Deserialize, Serialize};

use self::judge::Judge;
use super::{EvalArgs, Margin, Needs, Validator};
use crate::blessing::Verdict;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::stage::Stage;
use crate::written;

/// Bounds on metrics, overall and in slices, and against the model that is serving. All must hold.
///
/// It is data: product managers can own it as a JSON file.
///
/// ```
/// use fourfold::evaluation::Thresholds;
///
/// let thresholds = Thresholds::new()
///     .at_least("auc", 0.70)
///     .at_least_in_slices("auc", 0.60, 500)
///     .no_worse_than_baseline("auc", 0.005);
/// let from_file: Thresholds = serde_json::from_str(
///     r#"{"thresholds": [
///         {"metric": "auc", "at_least": 0.70},
///         {"metric": "auc", "at_least_in_slices": {"value": 0.60, "min_rows": 500}},
///         {"metric": "auc", "no_worse_than_baseline": 0.005}
///     ]}"#,
/// ).expect("valid JSON");
/// assert_eq!(from_file, thresholds);
/// ```
///
/// Bounds are inclusive, except that of [`Thresholds::better_than_constant`]. Two bounds on one metric must both hold. A
/// metric that is not defined on the rows, or has too few of them, fails unless
/// [that is allowed](Thresholds::allow_too_few_rows).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Document", try_from = "Document")]
pub struct Thresholds {
    thresholds: Vec<Threshold>,
    min_rows: u64,
    allow_too_few_rows: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Threshold {
    metric: String,
    bound: Bound,
}

#[derive(Clone, Debug, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Above(f64),
    AtLeastInSlices(InSlices),
    AtMostInSlices(InSlices),
    NoWorseThanBaseline(Margin),
    NoWorseInSlices(NoWorseInSlices),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InSlices {
    value: f64,
    min_rows: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoWorseInSlices {
    margin: Margin,
    min_rows: u64,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    thresholds: Vec<Entry>,
    #[serde(default, skip_serializing_if = "is_zero")]
    min_rows: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    allow_too_few_rows: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(rows: &u64) -> bool {
    *rows == 0
}

/// A metric with one bound, or several that must all hold.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    metric: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    above: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_least_in_slices: Option<InSlices>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most_in_slices: Option<InSlices>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_worse_than_baseline: Option<Margin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_worse_in_slices: Option<NoWorseInSlices>,
}

impl From<Thresholds> for Document {
    fn from(thresholds: Thresholds) -> Self {
        let entry = |Threshold { metric, bound }| {
            let mut entry = Entry {
                metric,
                ..Entry::default()
            };
            match bound {
                Bound::AtLeast(value) => entry.at_least = Some(value),
                Bound::AtMost(value) => entry.at_most = Some(value),
                Bound::Above(value) => entry.above = Some(value),
                Bound::AtLeastInSlices(value) => entry.at_least_in_slices = Some(value),
                Bound::AtMostInSlices(value) => entry.at_most_in_slices = Some(value),
                Bound::NoWorseThanBaseline(value) => entry.no_worse_than_baseline = Some(value),
                Bound::NoWorseInSlices(value) => entry.no_worse_in_slices = Some(value),
            }
            entry
        };
        Document {
            thresholds: thresholds.thresholds.into_iter().map(entry).collect(),
            min_rows: thresholds.min_rows,
            allow_too_few_rows: thresholds.allow_too_few_rows,
        }
    }
}

impl TryFrom<Document> for Thresholds {
    type Error = Error;

    fn try_from(document: Document) -> Result<Self> {
        let mut thresholds = Thresholds {
            min_rows: document.min_rows,
            allow_too_few_rows: document.allow_too_few_rows,
            ..Thresholds::new()
        };
        for entry in document.thresholds {
            let bounds = [
                entry.at_least.map(Bound::AtLeast),
                entry.at_most.map(Bound::AtMost),
                entry.above.map(Bound::Above),
                entry.at_least_in_slices.map(Bound::AtLeastInSlices),
                entry.at_most_in_slices.map(Bound::AtMostInSlices),
                entry.no_worse_than_baseline.map(Bound::NoWorseThanBaseline),
                entry.no_worse_in_slices.map(Bound::NoWorseInSlices),
            ];
            if bounds.iter().all(Option::is_none) {
                return Err(Error::config(format!(
                    "the threshold of `{}` has no bound; there are `at_least`, `at_most`, `above`, \
                     `at_least_in_slices`, `at_most_in_slices`, `no_worse_than_baseline` and `no_worse_in_slices`",
                    entry.metric
                )));
            }
            for bound in bounds.into_iter().flatten() {
                thresholds = thresholds.with(entry.metric.as_str(), bound);
            }
        }
        Ok(thresholds)
    }
}

impl Thresholds {
    /// No thresholds yet. Such a validator is refused by `build()`.
    #[must_use]
    pub fn new() -> Self {
        Thresholds::default()
    }

    /// Reads thresholds from a file, JSON or TOML by its extension.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it is not there;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the file and what is wrong in it: unknown keys, with the
    /// near ones, and duplicate keys.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        written::load(path.as_ref(), "thresholds")
    }

    fn with(mut self, metric: impl Into<String>, bound: Bound) -> Self {
        self.thresholds.push(Threshold {
            metric: metric.into(),
            bound,
        });
        self
    }

    /// The metric must be at least this, overall.
    #[must_use]
    pub fn at_least(self, metric: impl Into<String>, value: f64) -> Self {
        self.with(metric, Bound::AtLeast(value))
    }

    /// The metric must be at most this, overall.
    #[must_use]
    pub fn at_most(self, metric: impl Into<String>, value: f64) -> Self {
        self.with(metric, Bound::AtMost(value))
    }

    /// The model must be better than one that has seen the labels only (predicts the classes' shares, or the
    /// mean): `skill` above 0.
    #[must_use]
    pub fn better_than_constant(self) -> Self {
        self.with("skill", Bound::Above(0.0))
    }

    /// The metric must be at least this in every slice of at least `min_rows` rows.
    #[must_use]
    pub fn at_least_in_slices(self, metric: impl Into<String>, value: f64, min_rows: u64) -> Self {
        self.with(metric, Bound::AtLeastInSlices(InSlices { value, min_rows }))
    }

    /// The metric must be at most this in every slice of at least `min_rows` rows.
    #[must_use]
    pub fn at_most_in_slices(self, metric: impl Into<String>, value: f64, min_rows: u64) -> Self {
        self.with(metric, Bound::AtMostInSlices(InSlices { value, min_rows }))
    }

    /// The metric must not be worse than the serving model's by more than a margin, on the same rows: a number is in the
    /// metric's own unit. Holds if nothing is serving yet; fails if what is serving cannot be evaluated.
    #[must_use]
    pub fn no_worse_than_baseline(
        self,
        metric: impl Into<String>,
        margin: impl Into<Margin>,
    ) -> Self {
        self.with(metric, Bound::NoWorseThanBaseline(margin.into()))
    }

    /// The same in every slice of at least `min_rows` rows.
    #[must_use]
    pub fn no_worse_in_slices(
        self,
        metric: impl Into<String>,
        margin: impl Into<Margin>,
        min_rows: u64,
    ) -> Self {
        let margin = margin.into();
        self.with(
            metric,
            Bound::NoWorseInSlices(NoWorseInSlices { margin, min_rows }),
        )
    }

    /// Sets the minimum number of rows: with fewer, no threshold is judged, and the outcome is that there are too few.
    #[must_use]
    pub fn min_rows(mut self, rows: u64) -> Self {
        self.min_rows = rows;
        self
    }

    /// Allows too few rows: thresholds that lack rows do not block a model. At least one must have enough.
    #[must_use]
    pub fn allow_too_few_rows(mut self) -> Self {
        self.allow_too_few_rows = true;
        self
    }
}

impl Stage for Thresholds {
    fn name(&self) -> &str {
        "thresholds"
    }

    fn check(&self) -> Result<()> {
        if self.thresholds.is_empty() {
            return Err(Error::config(
                "there is no threshold, must be at least one; a `RubberStamp` blesses without any",
            ));
        }
        for Threshold { metric, bound } in &self.thresholds {
            match bound {
                Bound::NoWorseThanBaseline(margin)
                | Bound::NoWorseInSlices(NoWorseInSlices { margin, .. }) => {
                    margin.check(metric, "tolerance")?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl<M: Model> Validator<M> for Thresholds {
    fn needs(&self) -> Needs {
        let thresholds = self.thresholds.iter();
        thresholds.fold(
            Needs::new(),
            |needs, Threshold { metric, bound }| match bound {
                Bound::AtLeast(value) | Bound::Above(value) => needs.at_least(metric, *value),
                Bound::AtLeastInSlices(InSlices { value, .. }) => needs.at_least(metric, *value),
                Bound::AtMost(value) | Bound::AtMostInSlices(InSlices { value, .. }) => {
                    needs.at_most(metric, *value)
                }
                Bound::NoWorseThanBaseline(_) | Bound::NoWorseInSlices(_) => needs.no_worse(metric),
            },
        )
    }

    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        let judge = Judge {
            metrics: args.metrics(),
            baseline: args.baseline(),
            catalogue: args.catalogue(),
        };
        Ok(self.judge(&judge))
    }
}

impl Thresholds {
    fn judge(&self, judge: &Judge<'_>) -> Verdict {
        let checks = self.thresholds.iter().flat_map(|threshold| {
            let rows = judge.metrics.n_rows();
            if rows < self.min_rows {
                let few = format!("{rows} rows are fewer than {}", self.min_rows);
                return vec![judge::too_few(&threshold.metric, few).support(rows)];
            }
            judge.judge(threshold)
        });
        checks.fold(Verdict::new(), |verdict, check| {
            verdict.with(match self.allow_too_few_rows {
                true => check.optional(),
                false => check,
            })
        })
    }
}

mod judge;
#[cfg(test)]
mod tests;
