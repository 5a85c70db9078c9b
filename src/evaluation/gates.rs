//! Gates that know what they can detect: proofs by intervals, over all rows and over many slices.

use serde::{Deserialize, Serialize};

use super::{Baseline, EvalArgs, Needs, Validator};
use crate::blessing::{Check, Verdict};
use crate::error::{Error, Result};
use crate::metrics::{Evaluation, MetricValue, Metrics};
use crate::model::Model;
use crate::stage::Stage;

/// The metrics whose difference from the baseline has an interval.
pub(super) const PAIRED: [&str; 6] = ["auc", "log_loss", "brier", "accuracy", "mae", "mse"];

/// The two-sided 95 % quantile of the standard normal, and the 80 % quantile: for power.
const Z: f64 = 1.959_963_984_540_054;
const POWER: f64 = 0.841_621_233_572_914;

/// The candidate is **proved** to be no worse than what is serving by more than a margin: the bound of the interval of the
/// difference, over the same rows, must clear it. A worse candidate that a point gate lets through by luck fails here; so
/// does a good one if the rows are too few, and the check then says the smallest change that they could show.
///
/// Any number of such gates need no correction: all must pass.
///
/// ```
/// use fourfold::evaluation::{ProveNoWorse, Thresholds};
///
/// let gates = (Thresholds::new().at_least("auc", 0.7), ProveNoWorse::new("auc", 0.01));
/// # let _ = gates;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProveNoWorse {
    metric: String,
    margin: f64,
}

impl ProveNoWorse {
    /// Of a metric, by at most `margin` in its own unit.
    #[must_use]
    pub fn new(metric: impl Into<String>, margin: f64) -> Self {
        ProveNoWorse {
            metric: metric.into(),
            margin,
        }
    }
}

impl Stage for ProveNoWorse {
    fn name(&self) -> &str {
        "prove_no_worse"
    }

    fn check(&self) -> Result<()> {
        if !PAIRED.contains(&self.metric.as_str()) {
            return Err(not_paired(&self.metric));
        }
        if !(self.margin.is_finite() && self.margin >= 0.0) {
            return Err(Error::config(format!(
                "the margin of `{}` is {}, must be at least 0",
                self.metric, self.margin
            )));
        }
        Ok(())
    }
}

fn not_paired(metric: &str) -> Error {
    let known: Vec<String> = PAIRED.iter().map(|name| format!("`{name}`")).collect();
    Error::config(format!(
        "the difference in `{metric}` has no interval; those that have are {}",
        known.join(", ")
    ))
}

/// How much better the candidate is, so that higher is better, with its standard error.
fn gain(metric: &str, change: &MetricValue) -> Option<(f64, f64, f64)> {
    let higher = matches!(metric, "auc" | "accuracy");
    let (low, high) = (change.lower?, change.upper?);
    let error = (high - low) / (2.0 * Z);
    Some(match higher {
        true => (change.value, low, error),
        false => (-change.value, -high, error),
    })
}

/// The changes of a metric against the baseline; else the check that says why there are none.
fn changes<'a>(
    name: &str,
    baseline: &'a Baseline,
) -> std::result::Result<&'a Evaluation, Box<Check>> {
    Err(Box::new(match baseline {
        Baseline::Evaluated { changes, .. } => return Ok(changes),
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
    }))
}

impl<M: Model> Validator<M> for ProveNoWorse {
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        let name = format!("{} proved no worse", self.metric);
        let changes = match changes(&name, args.baseline()) {
            Ok(changes) => changes,
            Err(check) => return Ok(Verdict::new().with(*check)),
        };
        Ok(Verdict::new().with(self.judge(name, &changes.overall, args.metrics().n_rows())))
    }

    fn needs(&self) -> Needs {
        Needs::new().no_worse(&self.metric)
    }
}

impl ProveNoWorse {
    fn judge(&self, name: String, changes: &Metrics, rows: u64) -> Check {
        let (metric, margin) = (&self.metric, self.margin);
        let Some((gain, low, error)) = changes.get(metric).and_then(|change| gain(metric, change))
        else {
            let message = format!(
                "the difference in {metric} has no interval on the {rows} rows of the `eval` split"
            );
            return Check::too_few_rows(name, message).support(rows);
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
            .detectable(detectable)
            .support(rows)
    }
}

/// No slice shows evidence of harm: of all slices with enough rows, none is worse than what is serving, at a rate `q` of
/// false alarms over all of them (Benjamini and Hochberg 1995). Slices with fewer rows are not judged, and counted in the
/// message.
///
/// It does not prove that there is no harm: small slices can hide some. For that, see [`ProveNoWorse`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoEvidenceOfHarm {
    metric: String,
    q: f64,
    #[serde(default = "NoEvidenceOfHarm::default_min_rows")]
    min_rows: u64,
}

impl NoEvidenceOfHarm {
    /// Of a metric that is a mean (`log_loss`, `brier`, `accuracy`, `mae`, `mse`), at a rate such as 0.05.
    #[must_use]
    pub fn new(metric: impl Into<String>, q: f64) -> Self {
        NoEvidenceOfHarm {
            metric: metric.into(),
            q,
            min_rows: Self::default_min_rows(),
        }
    }

    /// Judges slices of at least so many rows; the default is 30.
    #[must_use]
    pub fn min_rows(mut self, rows: u64) -> Self {
        self.min_rows = rows;
        self
    }

    fn default_min_rows() -> u64 {
        30
    }
}

impl Stage for NoEvidenceOfHarm {
    fn name(&self) -> &str {
        "no_evidence_of_harm"
    }

    fn check(&self) -> Result<()> {
        if !PAIRED.contains(&self.metric.as_str()) || self.metric == "auc" {
            return Err(Error::config(format!(
                "the difference in `{}` has no interval by slice; those that have are `log_loss`, `brier`, `accuracy`, \
                 `mae`, `mse`",
                self.metric
            )));
        }
        if !(self.q > 0.0 && self.q < 1.0) {
            return Err(Error::config(format!(
                "`q` is {}, must be above 0 and below 1",
                self.q
            )));
        }
        if self.min_rows < 2 {
            return Err(Error::config(format!(
                "`min_rows` is {}, must be at least 2",
                self.min_rows
            )));
        }
        Ok(())
    }
}

impl<M: Model> Validator<M> for NoEvidenceOfHarm {
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        let name = format!("{} harms no slice", self.metric);
        let changes = match changes(&name, args.baseline()) {
            Ok(changes) => changes,
            Err(check) => return Ok(Verdict::new().with(*check)),
        };
        Ok(self.judge(&name, changes, args.metrics()))
    }

    fn needs(&self) -> Needs {
        Needs::new().no_worse(&self.metric)
    }
}

impl NoEvidenceOfHarm {
    fn judge(&self, name: &str, changes: &Evaluation, metrics: &Evaluation) -> Verdict {
        let metric = self.metric.as_str();
        let mut judged = Vec::new();
        let mut small = 0;
        for slice in &changes.slices {
            let Some(change) = slice.metrics.get(metric) else {
                continue;
            };
            match gain(metric, change) {
                Some((gain, _, error)) if change.support >= self.min_rows => {
                    // Where nothing varies there is no error: any loss is certain.
                    let p = match error {
                        error if error > 0.0 => normal_below(gain / error),
                        _ if gain < 0.0 => 0.0,
                        _ => 1.0,
                    };
                    judged.push((p, gain, change.support, &slice.slice));
                }
                _ => small += 1,
            }
        }
        if judged.is_empty() {
            let message = format!(
                "no slice has {} rows (of {} slices, of {} rows in all); call `.slice_by(..)` or lower `min_rows`",
                self.min_rows,
                changes.slices.len(),
                metrics.n_rows()
            );
            return Verdict::new().with(Check::too_few_rows(name, message));
        }
        judged.sort_by(|a, b| a.0.total_cmp(&b.0));
        let n = judged.len() as f64;
        let rank =
            |(at, found): &(usize, &(f64, f64, u64, _))| found.0 <= self.q * (*at as f64 + 1.0) / n;
        let harmed = judged
            .iter()
            .enumerate()
            .rfind(rank)
            .map_or(0, |(at, _)| at + 1);
        if harmed == 0 {
            let message = format!(
                "no evidence that {metric} is worse in any of {} slices (false alarms: {}; {small} slices are too small)",
                judged.len(),
                self.q
            );
            return Verdict::new().with(Check::new(name, true, message).support(metrics.n_rows()));
        }
        judged[..harmed].iter().fold(Verdict::new(), |verdict, (p, gain, support, slice)| {
            let message = format!(
                "{metric} is worse by {:.4} in {slice} ({support} rows, p = {p:.2e} among {} slices)",
                -gain,
                judged.len()
            );
            let check = Check::new(name, false, message).value(*gain).bound(0.0);
            verdict.with(check.slice((*slice).clone()).support(*support))
        })
    }
}

/// The share of the standard normal below a value (Abramowitz and Stegun 7.1.26, error below 1.5e-7), with the tail by its
/// expansion so that small shares keep their size.
fn normal_below(x: f64) -> f64 {
    if x < -5.0 {
        let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        return density / -x * (1.0 - 1.0 / (x * x));
    }
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let polynomial = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let above = polynomial * (-z * z).exp() / 2.0;
    if x < 0.0 { above } else { 1.0 - above }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Slice, SliceMetrics};

    #[test]
    fn the_normal_is_that_of_the_tables() {
        for (x, share) in [
            (0.0, 0.5),
            (-1.0, 0.158_655),
            (1.96, 0.975_002),
            (-3.0, 0.001_349_9),
        ] {
            assert!((normal_below(x) - share).abs() < 1e-6, "{x}");
        }
        assert!((normal_below(-6.0) / 9.865_9e-10 - 1.0).abs() < 0.01);
    }

    fn change(value: f64, error: f64, support: u64) -> MetricValue {
        MetricValue::new(value, support).with_interval(value - Z * error, value + Z * error)
    }

    #[test]
    fn a_worse_candidate_that_a_point_gate_lets_through_is_not_proved() {
        let gate = ProveNoWorse::new("auc", 0.01);
        let judged = |value: f64, error: f64| {
            let changes = Metrics::from([("auc".to_owned(), change(value, error, 500))]);
            gate.judge("auc".to_owned(), &changes, 500)
        };
        // The point is within the margin; the interval is not.
        let lucky = judged(-0.005, 0.01);
        assert!(!lucky.is_passed());
        assert!((lucky.detectable.unwrap() - 0.028).abs() < 1e-3);
        assert!(
            lucky.message.contains("which is above the margin"),
            "{}",
            lucky.message
        );
        assert!(judged(-0.005, 0.002).is_passed());
        // Of a loss, lower is better.
        let loss = ProveNoWorse::new("log_loss", 0.01);
        let changes = Metrics::from([("log_loss".to_owned(), change(-0.02, 0.001, 500))]);
        assert!(loss.judge("log_loss".to_owned(), &changes, 500).is_passed());
        assert_eq!(
            ProveNoWorse::new("f1", 0.1).check().unwrap_err().message(),
            "the difference in `f1` has no interval; those that have are `auc`, `log_loss`, `brier`, `accuracy`, `mae`, `mse`"
        );
    }

    #[test]
    fn of_many_slices_only_what_stands_out_is_harm() {
        let slices = |worst: f64| Evaluation {
            slices: (0..40)
                .map(|at| {
                    let value = if at == 0 {
                        worst
                    } else {
                        0.01 * f64::from(at % 3 - 1)
                    };
                    SliceMetrics {
                        slice: Slice::of("carrier", format!("c{at}")),
                        metrics: Metrics::from([("log_loss".to_owned(), change(value, 0.01, 100))]),
                    }
                })
                .collect(),
            ..Evaluation::default()
        };
        let gate = NoEvidenceOfHarm::new("log_loss", 0.05);
        let judged = |worst: f64| gate.judge("gate", &slices(worst), &Evaluation::default());
        // Two standard errors among forty slices are nothing, five are something.
        assert!(judged(0.02).is_blessed(), "{:?}", judged(0.02).reasons());
        let harmed = judged(0.05);
        assert_eq!(harmed.checks().len(), 1);
        assert_eq!(harmed.checks()[0].slice, Some(Slice::of("carrier", "c0")));
        let small =
            gate.clone()
                .min_rows(1_000)
                .judge("gate", &slices(0.05), &Evaluation::default());
        assert!(!small.is_blessed());
    }
}
