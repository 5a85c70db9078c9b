//! The default validator: bounds on metrics.

use serde::{Deserialize, Serialize};

use super::{Baseline, EvalArgs, Validator};
use crate::blessing::Verdict;
use crate::error::{Error, Result, near_names};
use crate::metrics::{Evaluation, higher_is_better};
use crate::model::Model;
use crate::stage::Stage;

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
/// Bounds are inclusive, except that of [`Thresholds::better_than_constant`]. A metric that is not there fails.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    thresholds: Vec<Threshold>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Threshold {
    metric: String,
    #[serde(flatten)]
    bound: Bound,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Above(f64),
    AtLeastInSlices { value: f64, min_rows: u64 },
    NoWorseThanBaseline(f64),
}

impl Thresholds {
    /// No thresholds yet. Such a validator is refused by `build()`: who checks nothing blesses nothing.
    #[must_use]
    pub fn new() -> Self {
        Thresholds::default()
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
        self.with(metric, Bound::AtLeastInSlices { value, min_rows })
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
            let value = match bound {
                Bound::AtLeast(value) | Bound::AtMost(value) | Bound::Above(value) => *value,
                Bound::AtLeastInSlices { value, .. } => *value,
                Bound::NoWorseThanBaseline(tolerance) => {
                    if higher_is_better(metric).is_none() {
                        return Err(Error::config(format!(
                            "whether a higher `{metric}` is better is not known, so it cannot be compared"
                        )));
                    }
                    if *tolerance < 0.0 {
                        return Err(Error::config(format!(
                            "the tolerance for `{metric}` is {tolerance}, must be at least 0"
                        )));
                    }
                    *tolerance
                }
            };
            if !value.is_finite() {
                return Err(Error::config(format!(
                    "the bound of `{metric}` is {value}, must be finite"
                )));
            }
        }
        Ok(())
    }
}

impl<M: Model> Validator<M> for Thresholds {
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        Ok(self
            .thresholds
            .iter()
            .fold(Verdict::new(), |verdict, threshold| {
                threshold.judge(verdict, args.metrics(), args.baseline())
            }))
    }
}

impl Threshold {
    fn judge(&self, verdict: Verdict, metrics: &Evaluation, baseline: &Baseline) -> Verdict {
        let metric = self.metric.as_str();
        let Some(found) = metrics.overall.get(metric).copied() else {
            let near = near_names(metric, metrics.overall.keys().map(String::as_str));
            return verdict.check(
                metric,
                false,
                format!("there is no metric `{metric}`{near}"),
            );
        };
        match &self.bound {
            Bound::AtLeast(low) => {
                let message = format!("{metric} is {found:.4}, must be at least {low}");
                verdict.check(metric, found >= *low, message)
            }
            Bound::AtMost(high) => {
                let message = format!("{metric} is {found:.4}, must be at most {high}");
                verdict.check(metric, found <= *high, message)
            }
            Bound::Above(low) => {
                let message = format!("{metric} is {found:.4}, must be above {low}");
                verdict.check(metric, found > *low, message)
            }
            Bound::AtLeastInSlices { value, min_rows } => {
                self.judge_slices(verdict, metrics, *value, *min_rows)
            }
            Bound::NoWorseThanBaseline(tolerance) => {
                self.judge_baseline(verdict, found, baseline, *tolerance)
            }
        }
    }

    fn judge_slices(
        &self,
        verdict: Verdict,
        metrics: &Evaluation,
        low: f64,
        min_rows: u64,
    ) -> Verdict {
        let metric = self.metric.as_str();
        let large: Vec<_> = metrics
            .slices
            .iter()
            .filter(|slice| {
                slice
                    .metrics
                    .get("example_count")
                    .copied()
                    .unwrap_or_default()
                    >= min_rows as f64
            })
            .collect();
        if large.is_empty() {
            let message =
                format!("no slice has {min_rows} rows; call `.slice_by(..)` or lower `min_rows`");
            return verdict.check(metric, false, message);
        }
        let bad: Vec<String> = large
            .iter()
            .filter_map(|slice| match slice.metrics.get(metric) {
                Some(found) if *found >= low => None,
                Some(found) => Some(format!("{} ({found:.4})", slice.slice)),
                None => Some(format!("{} (not defined)", slice.slice)),
            })
            .collect();
        let message = if bad.is_empty() {
            format!(
                "{metric} is at least {low} in all {} slices of {min_rows} rows or more",
                large.len()
            )
        } else {
            format!(
                "{metric} must be at least {low} in each of {} slices, is not in {}",
                large.len(),
                bad.join(", ")
            )
        };
        verdict.check(format!("{metric} in slices"), bad.is_empty(), message)
    }

    fn judge_baseline(
        &self,
        verdict: Verdict,
        found: f64,
        baseline: &Baseline,
        tolerance: f64,
    ) -> Verdict {
        let metric = self.metric.as_str();
        let name = format!("{metric} against baseline");
        match baseline {
            Baseline::None => verdict.check(name, true, "nothing is serving yet"),
            Baseline::Unusable(error) => verdict.check(
                name,
                false,
                format!("what is serving cannot be compared with: {error}"),
            ),
            Baseline::Evaluated { metrics, .. } => {
                let Some(serving) = metrics.overall.get(metric) else {
                    return verdict.check(
                        name,
                        false,
                        format!("the serving model has no metric `{metric}`"),
                    );
                };
                let worse_by = match higher_is_better(metric) {
                    Some(true) => serving - found,
                    _ => found - serving,
                };
                let message = format!(
                    "{metric} is {found:.4}, the serving model's {serving:.4}, may be worse by at most {tolerance}"
                );
                verdict.check(name, worse_by <= tolerance, message)
            }
        }
    }
}
