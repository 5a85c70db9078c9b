//! The requirements of validators, checked before anything runs.

use super::Margin;
use crate::error::{Error, Result};
use crate::metrics::{Catalogue, Direction, Evaluator, SliceBy};
use crate::model::Task;

/// The requirements of a validator: metrics by name, with the bounds it compares them with, and whether it
/// compares with the model that is serving.
///
/// `build()` refuses names that are not known, bounds that a metric cannot have or that are on its wrong side, and
/// comparisons beside a server that cannot tell what is serving. Names that do not fit the task are refused as soon as
/// the data is known, before training.
///
/// ```
/// use fourfold::evaluation::Needs;
///
/// let needs = Needs::new().at_least("auc", 0.7).no_worse("log_loss");
/// assert!(needs.is_compared());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    metrics: Vec<(String, Asked)>,
    slice_by: Vec<SliceBy>,
    compared: bool,
}

/// The requirement on a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Asked {
    Value,
    AtLeast(f64),
    AtMost(f64),
    NoWorse,
    /// The change, with its interval.
    Change,
    Proved(Margin),
}

impl Needs {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Needs::default()
    }

    fn with(mut self, metric: impl Into<String>, asked: Asked) -> Self {
        self.metrics.push((metric.into(), asked));
        self
    }

    /// A metric's value.
    #[must_use]
    pub fn metric(self, name: impl Into<String>) -> Self {
        self.with(name, Asked::Value)
    }

    /// A metric that must be at least, or above, a bound.
    #[must_use]
    pub fn at_least(self, name: impl Into<String>, bound: f64) -> Self {
        self.with(name, Asked::AtLeast(bound))
    }

    /// A metric that must be at most, or below, a bound.
    #[must_use]
    pub fn at_most(self, name: impl Into<String>, bound: f64) -> Self {
        self.with(name, Asked::AtMost(bound))
    }

    /// A metric that is compared with that of the serving model.
    #[must_use]
    pub fn no_worse(self, name: impl Into<String>) -> Self {
        self.with(name, Asked::NoWorse).baseline()
    }

    /// A metric that is compared with that of the serving model by the interval of the difference.
    #[must_use]
    pub fn change_with_interval(self, name: impl Into<String>) -> Self {
        self.with(name, Asked::Change).baseline()
    }

    /// A metric that is proved to be no worse than that of the serving model by more than a margin.
    #[must_use]
    pub fn proved_no_worse(self, name: impl Into<String>, margin: impl Into<Margin>) -> Self {
        self.with(name, Asked::Proved(margin.into())).baseline()
    }

    /// Metrics by slice, beside those that [`EvaluationPipeline::slice_by`](super::EvaluationPipeline::slice_by) asks for.
    #[must_use]
    pub fn slice_by(mut self, by: impl Into<SliceBy>) -> Self {
        self.slice_by.push(by.into());
        self
    }

    /// The model that is serving.
    #[must_use]
    pub fn baseline(mut self) -> Self {
        self.compared = true;
        self
    }

    /// The requirements of both.
    #[must_use]
    pub fn and(mut self, other: Needs) -> Self {
        self.metrics.extend(other.metrics);
        self.slice_by.extend(other.slice_by);
        self.compared |= other.compared;
        self
    }

    /// Returns true if the candidate is compared with the model that is serving.
    #[must_use]
    pub fn is_compared(&self) -> bool {
        self.compared
    }

    /// The slices that are requested.
    pub(super) fn slices(&self) -> &[SliceBy] {
        &self.slice_by
    }

    /// Each metric with what is asked of it.
    pub(super) fn asked(&self) -> impl Iterator<Item = (&str, Asked)> {
        (self.metrics.iter()).map(|(name, asked)| (name.as_str(), *asked))
    }

    /// Checks that the metrics exist and the bounds are within their ranges and on the right side; and, unless all rows are
    /// resampled, that the changes that are asked for have an interval.
    pub(super) fn check(&self, catalogue: &Catalogue, resampled: bool) -> Result<()> {
        for (name, asked) in &self.metrics {
            let metric = catalogue.find(name)?;
            let wrong_side = |other: &str| {
                Err(Error::config(format!(
                    "a bound is on the wrong side of `{name}`: use {other}, not the reverse, since {} is better",
                    match metric.direction {
                        Direction::Lower => "lower",
                        Direction::Higher | Direction::Neither => "higher",
                    }
                )))
            };
            let bound = match (asked, metric.direction) {
                (Asked::AtLeast(_), Direction::Lower) => return wrong_side("`at_most`"),
                (Asked::AtMost(_), Direction::Higher) => return wrong_side("`at_least`"),
                (Asked::NoWorse | Asked::Change | Asked::Proved(_), Direction::Neither) => {
                    return Err(Error::config(format!(
                        "neither a higher nor a lower `{name}` is better, so it cannot be compared"
                    )));
                }
                (Asked::AtLeast(bound) | Asked::AtMost(bound), _) => *bound,
                (Asked::Change | Asked::Proved(_), _)
                    if !resampled && !Evaluator::PAIRED.contains(&name.as_str()) =>
                {
                    let known = Evaluator::PAIRED.map(|name| format!("`{name}`"));
                    return Err(Error::config(format!(
                        "the difference in `{name}` has no interval; those that have are {}; for others, call \
                         `EvaluationPipeline::bootstrap` or `cluster_by`",
                        known.join(", ")
                    )));
                }
                (Asked::Value | Asked::NoWorse | Asked::Change | Asked::Proved(_), _) => continue,
            };
            let (low, high) = metric.range;
            if !bound.is_finite() {
                return Err(Error::config(format!(
                    "the bound of `{name}` is {bound}, must be finite"
                )));
            }
            if bound < low || bound > high {
                let range = match (low.is_finite(), high.is_finite()) {
                    (true, true) => format!("from {low} to {high}"),
                    (true, false) => format!("at least {low}"),
                    _ => format!("at most {high}"),
                };
                return Err(Error::config(format!(
                    "the bound of `{name}` is {bound}, must be {range}"
                )));
            }
        }
        Ok(())
    }

    /// Checks that the metrics are those of a task.
    pub(super) fn check_task(&self, catalogue: &Catalogue, task: Task) -> Result<()> {
        let mut metrics = self.metrics.iter();
        metrics.try_for_each(|(name, _)| catalogue.check_task(name, task))
    }

    /// The metrics' names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().map(|(name, _)| name.as_str())
    }
}
