//! Proof, by intervals, that a candidate is no worse.

use serde::{Deserialize, Serialize};

use super::margin::Margin;
use super::serving::compared;
use super::{EvalArgs, Needs, Validator};
use crate::blessing::{Check, POWER, Verdict, Z};
use crate::error::Result;
use crate::metrics::{Catalogue, Direction, Evaluation, MetricValue, Metrics};
use crate::model::Model;
use crate::stage::Stage;

/// The candidate is **proved** to be no worse than what is serving by more than a margin: the bound of the interval of the
/// difference, over the same rows, must clear it. A worse candidate that a point gate lets through by luck fails here; so
/// does a good one if the rows are too few, and the check then says the smallest change that they could show.
///
/// Any number of such gates need no correction: all must pass. Before training, the run's record says the smallest change
/// that the `eval` split is likely to show, see [`Detectable`](super::Detectable).
///
/// ```
/// use fourfold::evaluation::{Margin, ProveNoWorse, Thresholds};
///
/// let gates = (
///     Thresholds::new().at_least("auc", 0.7),
///     ProveNoWorse::new("auc", 0.01),
///     ProveNoWorse::new("log_loss", Margin::relative(0.05)).in_slices(500),
/// );
/// # let _ = gates;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProveNoWorse {
    metric: String,
    margin: Margin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_slices: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    allow_too_few_rows: bool,
}

impl ProveNoWorse {
    /// A gate for a metric, with a margin: a number is in the metric's own unit.
    #[must_use]
    pub fn new(metric: impl Into<String>, margin: impl Into<Margin>) -> Self {
        ProveNoWorse {
            metric: metric.into(),
            margin: margin.into(),
            in_slices: None,
            allow_too_few_rows: false,
        }
    }

    /// Compares each slice of at least `min_rows` rows, instead of all rows.
    #[must_use]
    pub fn in_slices(mut self, min_rows: u64) -> Self {
        self.in_slices = Some(min_rows);
        self
    }

    /// Allows too few rows: where there are too few for an interval, the gate does not block a model.
    #[must_use]
    pub fn allow_too_few_rows(mut self) -> Self {
        self.allow_too_few_rows = true;
        self
    }
}

impl Stage for ProveNoWorse {
    fn name(&self) -> &str {
        "prove_no_worse"
    }

    fn check(&self) -> Result<()> {
        self.margin.check(&self.metric, "margin")
    }
}

/// The gain of the candidate, so that higher is better, with its lower bound and its standard error.
pub(super) fn gain(direction: Direction, change: &MetricValue) -> Option<(f64, f64, f64)> {
    let (low, high) = (change.lower?, change.upper?);
    let error = (high - low) / (2.0 * Z);
    Some(match direction {
        Direction::Higher => (change.value, low, error),
        Direction::Lower | Direction::Neither => (-change.value, -high, error),
    })
}

impl<M: Model> Validator<M> for ProveNoWorse {
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        let name = match self.in_slices {
            Some(_) => format!("{} proved no worse in slices", self.metric),
            None => format!("{} proved no worse", self.metric),
        };
        let (serving, changes) = match compared(&name, args.baseline()) {
            Ok(found) => found,
            Err(check) => return Ok(Verdict::new().with(*check)),
        };
        let gate = Judging {
            gate: self,
            name,
            direction: direction(args.catalogue(), &self.metric),
        };
        Ok(match self.in_slices {
            Some(min_rows) => gate.slices(serving, changes, min_rows),
            None => {
                let rows = args.metrics().n_rows();
                Verdict::new().with(gate.judge(&serving.overall, &changes.overall, rows))
            }
        })
    }

    fn needs(&self) -> Needs {
        Needs::new().proved_no_worse(&self.metric, self.margin)
    }
}

pub(super) fn direction(catalogue: &Catalogue, metric: &str) -> Direction {
    catalogue.direction(metric).unwrap_or(Direction::Neither)
}

struct Judging<'a> {
    gate: &'a ProveNoWorse,
    name: String,
    direction: Direction,
}

impl Judging<'_> {
    fn too_few(&self, message: String) -> Check {
        let check = Check::too_few_rows(self.name.as_str(), message);
        match self.gate.allow_too_few_rows {
            true => check.optional(),
            false => check,
        }
    }

    /// A check for each slice that fails, and one of the slice that is closest to it if none does.
    fn slices(&self, serving: &Evaluation, changes: &Evaluation, min_rows: u64) -> Verdict {
        let mut checks = Vec::new();
        for slice in &changes.slices {
            let theirs = serving.slices.iter().find(|of| of.slice == slice.slice);
            let rows = theirs.map_or(0, crate::metrics::SliceMetrics::n_rows);
            if let Some(theirs) = theirs.filter(|_| rows >= min_rows) {
                let check = self.judge(&theirs.metrics, &slice.metrics, rows);
                let message = format!("in {}: {}", slice.slice, check.message);
                checks.push(Check { message, ..check }.slice(slice.slice.clone()));
            }
        }
        if checks.is_empty() {
            let message = format!(
                "no slice has {min_rows} rows (of {} slices); call `.slice_by(..)` or lower the number",
                changes.slices.len()
            );
            return Verdict::new().with(self.too_few(message));
        }
        let n = checks.len();
        let (passed, failed): (Vec<Check>, Vec<Check>) =
            checks.into_iter().partition(Check::is_passed);
        if failed.is_empty() {
            let slack = |check: &Check| {
                check.interval.map_or(f64::INFINITY, |interval| interval.0)
                    - check.bound.unwrap_or_default()
            };
            let closest = passed
                .into_iter()
                .min_by(|a, b| slack(a).total_cmp(&slack(b)));
            let closest = closest.map(|check| {
                let message = format!(
                    "all {n} slices of {min_rows} rows or more are proved; {}",
                    check.message
                );
                Check { message, ..check }
            });
            return closest.into_iter().fold(Verdict::new(), Verdict::with);
        }
        failed.into_iter().fold(Verdict::new(), Verdict::with)
    }

    fn judge(&self, serving: &Metrics, changes: &Metrics, rows: u64) -> Check {
        let metric = &self.gate.metric;
        let name = self.name.as_str();
        let found = changes.get(metric);
        let Some((gain, low, error)) = found.and_then(|change| gain(self.direction, change)) else {
            let message = format!("the difference in {metric} has no interval on {rows} rows");
            return self.too_few(message).support(rows);
        };
        let theirs = serving.get(metric).map_or(f64::NAN, |found| found.value);
        let Some(margin) = self.gate.margin.of(theirs) else {
            let message =
                format!("the serving model's {metric} is 0, of which no share is a margin");
            return Check::new(name, false, message).value(gain).support(rows);
        };
        let detectable = (Z + POWER) * error;
        let mut message = format!(
            "{metric} is better by {gain:.4}, at least {low:.4} with 95 % confidence, must be at least -{margin}"
        );
        if detectable > margin {
            message += &format!(
                "; these {rows} rows can show a change of {detectable:.4} or more, which is above the margin"
            );
        }
        Check::new(name, low >= -margin, message)
            .value(gain)
            .interval(low, 2.0 * gain - low)
            .bound(-margin)
            .margin(margin)
            .support(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blessing::CheckOutcome;
    use crate::metrics::{Slice, SliceMetrics};

    fn change(value: f64, error: f64, support: u64) -> MetricValue {
        MetricValue::new(value, support).with_interval(value - Z * error, value + Z * error)
    }

    fn metrics(metric: &str, value: MetricValue) -> Metrics {
        Metrics::from([
            (metric.to_owned(), value),
            (
                "example_count".to_owned(),
                MetricValue::new(value.support as f64, value.support),
            ),
        ])
    }

    fn judging(gate: &ProveNoWorse) -> Judging<'_> {
        Judging {
            gate,
            name: gate.metric.clone(),
            direction: direction(&Catalogue::new(), &gate.metric),
        }
    }

    #[test]
    fn a_worse_candidate_that_a_point_gate_lets_through_is_not_proved() {
        let gate = ProveNoWorse::new("auc", 0.01);
        let judged = |value: f64, error: f64| {
            let serving = metrics("auc", MetricValue::new(0.8, 500));
            judging(&gate).judge(&serving, &metrics("auc", change(value, error, 500)), 500)
        };
        // The point is within the margin; the interval is not.
        let lucky = judged(-0.005, 0.01);
        assert!(!lucky.is_passed());
        assert!((lucky.detectable.unwrap() - 0.028).abs() < 1e-3);
        assert_eq!(lucky.margin, Some(0.01));
        assert!(
            lucky.message.contains("which is above the margin"),
            "{}",
            lucky.message
        );
        assert!(judged(-0.005, 0.002).is_passed());
        // A lower loss is better.
        let loss = ProveNoWorse::new("log_loss", 0.01);
        let serving = metrics("log_loss", MetricValue::new(0.5, 500));
        let better = metrics("log_loss", change(-0.02, 0.001, 500));
        assert!(judging(&loss).judge(&serving, &better, 500).is_passed());
    }

    #[test]
    fn a_share_of_the_serving_value_is_a_margin_unless_that_is_nothing() {
        let gate = ProveNoWorse::new("mae", Margin::relative(0.1));
        let judged = |serving: f64| {
            let serving = metrics("mae", MetricValue::new(serving, 100));
            judging(&gate).judge(&serving, &metrics("mae", change(0.3, 0.01, 100)), 100)
        };
        assert!(judged(5.0).is_passed(), "worse by 0.3 of 5");
        assert!(!judged(2.0).is_passed(), "worse by 0.3 of 2");
        assert!(!judged(0.0).is_passed());
    }

    #[test]
    fn every_slice_with_enough_rows_must_be_proved() {
        let slices = |worst: f64, rows: u64| {
            let of = |serving: bool| Evaluation {
                slices: [("a", worst, rows), ("b", 0.0, 900), ("c", -9.0, 3)]
                    .map(|(value, gain, rows)| SliceMetrics {
                        slice: Slice::of("who", value),
                        metrics: match serving {
                            true => metrics("auc", MetricValue::new(0.8, rows)),
                            false => metrics("auc", change(gain, 0.001, rows)),
                        },
                    })
                    .into(),
                ..Evaluation::default()
            };
            let gate = ProveNoWorse::new("auc", 0.01).in_slices(100);
            judging(&gate).slices(&of(true), &of(false), 100)
        };
        let good = slices(-0.002, 500);
        assert!(good.is_blessed(), "{:?}", good.reasons());
        assert_eq!(
            good.checks()[0].slice,
            Some(Slice::of("who", "a")),
            "the closest"
        );
        let bad = slices(-0.02, 500);
        assert_eq!(bad.checks().len(), 1);
        assert!(bad.reasons()[0].starts_with("in who=a: auc is better by -0.0200"));
        let gate = ProveNoWorse::new("auc", 0.01)
            .in_slices(100)
            .allow_too_few_rows();
        let none = Evaluation::default();
        let few = judging(&gate).slices(&none, &none, 100);
        assert_eq!(few.checks()[0].outcome, CheckOutcome::TooFewRows);
        assert!(!few.checks()[0].is_blocking());
    }
}
