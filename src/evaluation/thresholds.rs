//! The default validator: bounds on metrics.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Baseline, EvalArgs, Needs, Validator};
use crate::blessing::{Check, Verdict};
use crate::error::{Error, Result};
use crate::metrics::{Catalogue, Direction, Evaluation, MetricValue, SliceMetrics};
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
/// metric that is not defined on the rows fails.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Document", try_from = "Document")]
pub struct Thresholds {
    thresholds: Vec<Threshold>,
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
    NoWorseThanBaseline(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InSlices {
    value: f64,
    min_rows: u64,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    thresholds: Vec<Entry>,
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
    no_worse_than_baseline: Option<f64>,
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
                Bound::NoWorseThanBaseline(value) => entry.no_worse_than_baseline = Some(value),
            }
            entry
        };
        Document {
            thresholds: thresholds.thresholds.into_iter().map(entry).collect(),
        }
    }
}

impl TryFrom<Document> for Thresholds {
    type Error = Error;

    fn try_from(document: Document) -> Result<Self> {
        let mut thresholds = Thresholds::new();
        for entry in document.thresholds {
            let bounds = [
                entry.at_least.map(Bound::AtLeast),
                entry.at_most.map(Bound::AtMost),
                entry.above.map(Bound::Above),
                entry.at_least_in_slices.map(Bound::AtLeastInSlices),
                entry.no_worse_than_baseline.map(Bound::NoWorseThanBaseline),
            ];
            if bounds.iter().all(Option::is_none) {
                return Err(Error::config(format!(
                    "the threshold of `{}` has no bound; there are `at_least`, `at_most`, `above`, \
                     `at_least_in_slices` and `no_worse_than_baseline`",
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
    /// No thresholds yet. Such a validator is refused by `build()`: who checks nothing blesses nothing.
    #[must_use]
    pub fn new() -> Self {
        Thresholds::default()
    }

    /// Reads thresholds from a file, JSON or TOML by its extension.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it is not there;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the file and what is wrong in it: unknown keys, with the
    /// near ones, and keys that are there twice.
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

    /// The metric must not be worse than the serving model's by more than `tolerance`, on the same rows. Holds if
    /// nothing is serving yet; fails if what is serving cannot be evaluated.
    #[must_use]
    pub fn no_worse_than_baseline(self, metric: impl Into<String>, tolerance: f64) -> Self {
        self.with(metric, Bound::NoWorseThanBaseline(tolerance))
    }
}

impl Stage for Thresholds {
    fn name(&self) -> &str {
        "thresholds"
    }

    fn check(&self) -> Result<()> {
        if self.thresholds.is_empty() {
            return Err(Error::config(
                "there is no threshold; who checks nothing blesses nothing",
            ));
        }
        for Threshold { metric, bound } in &self.thresholds {
            match bound {
                Bound::NoWorseThanBaseline(tolerance)
                    if !(tolerance.is_finite() && *tolerance >= 0.0) =>
                {
                    return Err(Error::config(format!(
                        "the tolerance for `{metric}` is {tolerance}, must be at least 0"
                    )));
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
                Bound::AtMost(value) => needs.at_most(metric, *value),
                Bound::NoWorseThanBaseline(_) => needs.no_worse(metric),
            },
        )
    }

    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        Ok(self
            .thresholds
            .iter()
            .fold(Verdict::new(), |verdict, threshold| {
                threshold.judge(verdict, args.metrics(), args.baseline(), args.catalogue())
            }))
    }
}

impl Threshold {
    fn judge(
        &self,
        verdict: Verdict,
        metrics: &Evaluation,
        baseline: &Baseline,
        catalogue: &Catalogue,
    ) -> Verdict {
        let metric = self.metric.as_str();
        let n_rows = metrics.n_rows();
        let Some(found) = metrics.overall.get(metric).copied() else {
            return verdict.with(undefined(metric, n_rows, catalogue).support(n_rows));
        };
        let whole = |passed: bool, bound: f64, must: &str| {
            let message = format!("{metric} is {found:.4}, must be {must} {bound}");
            of_value(Check::new(metric, passed, message), &found).bound(bound)
        };
        match &self.bound {
            Bound::AtLeast(low) => verdict.with(whole(found.value >= *low, *low, "at least")),
            Bound::AtMost(high) => verdict.with(whole(found.value <= *high, *high, "at most")),
            Bound::Above(low) => verdict.with(whole(found.value > *low, *low, "above")),
            Bound::AtLeastInSlices(bound) => self.judge_slices(verdict, metrics, *bound, catalogue),
            Bound::NoWorseThanBaseline(tolerance) => {
                verdict.with(self.judge_baseline(&found, baseline, *tolerance, catalogue))
            }
        }
    }

    /// A check for each slice that is bad; one for all if none is.
    fn judge_slices(
        &self,
        verdict: Verdict,
        metrics: &Evaluation,
        bound: InSlices,
        catalogue: &Catalogue,
    ) -> Verdict {
        let InSlices {
            value: low,
            min_rows,
        } = bound;
        let metric = self.metric.as_str();
        let name = format!("{metric} in slices");
        let large: Vec<_> = metrics
            .slices
            .iter()
            .filter(|slice| slice.n_rows() >= min_rows)
            .collect();
        if large.is_empty() {
            let message = format!(
                "no slice has {min_rows} rows, the largest of {} has {}; call `.slice_by(..)` or lower `min_rows`",
                metrics.slices.len(),
                metrics
                    .slices
                    .iter()
                    .map(SliceMetrics::n_rows)
                    .max()
                    .unwrap_or_default()
            );
            return verdict.with(Check::too_few_rows(name, message).bound(low));
        }
        let bad = large.iter().filter_map(|slice| {
            let check = match slice.metrics.get(metric).copied() {
                Some(found) if found.value >= low => return None,
                Some(found) => {
                    let message = format!(
                        "{metric} is {found:.4} in {} ({} rows), must be at least {low}",
                        slice.slice,
                        slice.n_rows()
                    );
                    of_value(Check::new(name.as_str(), false, message), &found)
                }
                None => undefined_in(metric, slice, catalogue),
            };
            Some(
                check
                    .bound(low)
                    .slice(slice.slice.clone())
                    .support(slice.n_rows()),
            )
        });
        let bad: Vec<Check> = bad.collect();
        if bad.is_empty() {
            let message = format!(
                "{metric} is at least {low} in all {} slices of {min_rows} rows or more",
                large.len()
            );
            return verdict.with(Check::new(name, true, message).bound(low));
        }
        bad.into_iter().fold(verdict, Verdict::with)
    }

    fn judge_baseline(
        &self,
        found: &MetricValue,
        baseline: &Baseline,
        tolerance: f64,
        catalogue: &Catalogue,
    ) -> Check {
        let metric = self.metric.as_str();
        let name = format!("{metric} against baseline");
        let check = match baseline {
            Baseline::None => Check::new(name, true, "nothing is serving yet"),
            Baseline::Unknown => Check::new(
                name,
                false,
                "what is serving is not known: the server does not say",
            ),
            Baseline::Unusable(error) => Check::new(
                name,
                false,
                format!("what is serving cannot be compared with: {error:#}"),
            ),
            Baseline::Evaluated { metrics, .. } => match metrics.overall.get(metric).copied() {
                None => Check::new(
                    name,
                    false,
                    format!("the serving model has no metric `{metric}` on these rows"),
                ),
                Some(serving) => {
                    let higher = catalogue
                        .find(metric)
                        .is_ok_and(|known| known.direction == Direction::Higher);
                    let worse_by = match higher {
                        true => serving.value - found.value,
                        false => found.value - serving.value,
                    };
                    let message = format!(
                        "{metric} is {found:.4}, the serving model's {serving:.4}, may be worse by at most {tolerance}"
                    );
                    Check::new(name, worse_by <= tolerance, message).bound(serving.value)
                }
            },
        };
        of_value(check, found)
    }
}

/// A check with what was found.
fn of_value(check: Check, found: &MetricValue) -> Check {
    let check = check.value(found.value).support(found.support);
    match (found.lower, found.upper) {
        (Some(lower), Some(upper)) => check.interval(lower, upper),
        _ => check,
    }
}

/// The check of a metric that has no value on the rows.
fn undefined(metric: &str, n_rows: u64, catalogue: &Catalogue) -> Check {
    let rows = if n_rows == 1 { "row" } else { "rows" };
    let needs = catalogue.find(metric).map_or_else(
        |_| String::new(),
        |known| format!(", it needs at least {} {}", known.needs.0, known.needs.1),
    );
    Check::too_few_rows(
        metric,
        format!("{metric} has no value on the {n_rows} {rows} of the `eval` split{needs}"),
    )
}

fn undefined_in(metric: &str, slice: &SliceMetrics, catalogue: &Catalogue) -> Check {
    let check = undefined(metric, slice.n_rows(), catalogue);
    let message = check
        .message
        .replace("of the `eval` split", &format!("of {}", slice.slice));
    Check::too_few_rows(format!("{metric} in slices"), message)
}

#[cfg(test)]
mod tests;
