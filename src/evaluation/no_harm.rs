//! Evidence of harm, among many slices.

use serde::{Deserialize, Serialize};

use super::no_worse::{direction, gain};
use super::serving::compared;
use super::{EvalArgs, Needs, Validator};
use crate::blessing::{Check, Verdict};
use crate::error::{Error, Result};
use crate::metrics::{Direction, Evaluation, Slice};
use crate::model::Model;
use crate::stage::Stage;

/// The correction that keeps false alarms among many slices rare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// A share of `q` of the slices that are found is found falsely (Benjamini and Hochberg 1995).
    #[default]
    BenjaminiHochberg,
    /// With a probability of `q`, any slice is found falsely (Holm 1979): fewer are found.
    Holm,
}

impl Correction {
    /// The number of the smallest p-values, which are in rising order, that are evidence.
    pub(super) fn n_found(self, p_values: &[f64], q: f64) -> usize {
        let n = p_values.len() as f64;
        match self {
            Correction::BenjaminiHochberg => {
                let below = |(at, p): &(usize, &f64)| **p <= q * (*at as f64 + 1.0) / n;
                let last = p_values.iter().enumerate().rfind(below);
                last.map_or(0, |(at, _)| at + 1)
            }
            Correction::Holm => {
                let above = |(at, p): (usize, &f64)| *p > q / (n - at as f64);
                let first = p_values.iter().enumerate().position(above);
                first.unwrap_or(p_values.len())
            }
        }
    }
}

/// No slice shows evidence of harm: of all slices with enough rows, none is worse than what is serving, at a rate `q` of
/// false alarms over all of them. Slices with fewer rows are not judged, and counted in the message.
///
/// It does not prove that there is no harm: small slices can hide some. For that, see [`ProveNoWorse`](super::ProveNoWorse).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoEvidenceOfHarm {
    metric: String,
    q: f64,
    #[serde(default = "NoEvidenceOfHarm::default_min_rows")]
    min_rows: u64,
    #[serde(default)]
    correction: Correction,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    allow_too_few_rows: bool,
}

impl NoEvidenceOfHarm {
    /// A gate for a metric, at a rate such as 0.05.
    #[must_use]
    pub fn new(metric: impl Into<String>, q: f64) -> Self {
        NoEvidenceOfHarm {
            metric: metric.into(),
            q,
            min_rows: Self::default_min_rows(),
            correction: Correction::default(),
            allow_too_few_rows: false,
        }
    }

    /// Sets the minimum number of rows of the slices that are judged; the default is 30.
    #[must_use]
    pub fn min_rows(mut self, rows: u64) -> Self {
        self.min_rows = rows;
        self
    }

    /// Sets the correction for many slices; by default that of Benjamini and Hochberg.
    #[must_use]
    pub fn correction(mut self, correction: Correction) -> Self {
        self.correction = correction;
        self
    }

    /// Allows too few rows: where no slice has enough, the gate does not block a model.
    #[must_use]
    pub fn allow_too_few_rows(mut self) -> Self {
        self.allow_too_few_rows = true;
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
        let direction = direction(args.catalogue(), &self.metric);
        Ok(match compared(&name, args.baseline()) {
            Ok((_, changes)) => self.judge(&name, direction, changes, args.metrics().n_rows()),
            Err(check) => Verdict::new().with(*check),
        })
    }

    fn needs(&self) -> Needs {
        Needs::new().change_with_interval(&self.metric)
    }
}

struct Judged<'a> {
    p: f64,
    gain: f64,
    interval: (f64, f64),
    support: u64,
    slice: &'a Slice,
}

impl Judged<'_> {
    fn of(&self, check: Check) -> Check {
        let (lower, upper) = self.interval;
        let check = check.value(self.gain).bound(0.0).interval(lower, upper);
        check.slice(self.slice.clone()).support(self.support)
    }
}

impl NoEvidenceOfHarm {
    fn judge(
        &self,
        name: &str,
        direction: Direction,
        changes: &Evaluation,
        n_rows: u64,
    ) -> Verdict {
        let metric = self.metric.as_str();
        let mut judged = Vec::new();
        let mut small = 0;
        for slice in &changes.slices {
            let Some(change) = slice.metrics.get(metric) else {
                continue;
            };
            match gain(direction, change) {
                Some((gain, low, error)) if change.support >= self.min_rows => {
                    // Without variation there is no error: any loss is certain.
                    let p = match error {
                        error if error > 0.0 => normal_below(gain / error),
                        _ if gain < 0.0 => 0.0,
                        _ => 1.0,
                    };
                    judged.push(Judged {
                        p,
                        gain,
                        interval: (low, 2.0 * gain - low),
                        support: change.support,
                        slice: &slice.slice,
                    });
                }
                _ => small += 1,
            }
        }
        if judged.is_empty() {
            let message = format!(
                "no slice has {} rows (of {} slices, of {n_rows} rows in all); call `.slice_by(..)` or lower `min_rows`",
                self.min_rows,
                changes.slices.len(),
            );
            let check = Check::too_few_rows(name, message);
            return Verdict::new().with(match self.allow_too_few_rows {
                true => check.optional(),
                false => check,
            });
        }
        judged.sort_by(|a, b| a.p.total_cmp(&b.p));
        let p_values: Vec<f64> = judged.iter().map(|judged| judged.p).collect();
        let harmed = self.correction.n_found(&p_values, self.q);
        if harmed == 0 {
            let message = format!(
                "no evidence that {metric} is worse in any of {} slices (false alarms: {}; {small} slices are too small)",
                judged.len(),
                self.q
            );
            let check = Check::new(name, true, message);
            // The slice that is closest to evidence.
            return Verdict::new().with(match judged.first() {
                Some(found) => found.of(check),
                None => check.support(n_rows),
            });
        }
        judged[..harmed]
            .iter()
            .fold(Verdict::new(), |verdict, found| {
                let message = format!(
                    "{metric} is worse by {:.4} in {} ({} rows, p = {:.2e} among {} slices)",
                    -found.gain,
                    found.slice,
                    found.support,
                    found.p,
                    judged.len()
                );
                verdict.with(found.of(Check::new(name, false, message)))
            })
    }
}

/// The share of the standard normal below a value (Abramowitz and Stegun 7.1.26, error below 1.5e-7), with the tail by its
/// expansion so that small shares keep their size.
pub(super) fn normal_below(x: f64) -> f64 {
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
    use crate::blessing::Z;
    use crate::metrics::{MetricValue, Metrics, SliceMetrics};

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

    /// The p-values of Benjamini and Hochberg (1995), of which they find four and Holm three.
    #[test]
    fn corrections_are_those_of_the_papers() {
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262,
            0.5719, 0.6528, 0.759, 1.0,
        ];
        assert_eq!(Correction::BenjaminiHochberg.n_found(&p, 0.05), 4);
        assert_eq!(Correction::Holm.n_found(&p, 0.05), 3);
        assert_eq!(Correction::Holm.n_found(&[0.01], 0.05), 1);
        assert_eq!(Correction::BenjaminiHochberg.n_found(&[], 0.05), 0);
    }

    #[test]
    fn of_many_slices_only_what_stands_out_is_harm() {
        let change = |value: f64, error: f64| {
            MetricValue::new(value, 100).with_interval(value - Z * error, value + Z * error)
        };
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
                        metrics: Metrics::from([("log_loss".to_owned(), change(value, 0.01))]),
                    }
                })
                .collect(),
            ..Evaluation::default()
        };
        let gate = NoEvidenceOfHarm::new("log_loss", 0.05);
        let judged = |gate: &NoEvidenceOfHarm, worst: f64| {
            gate.judge("gate", Direction::Lower, &slices(worst), 4_000)
        };
        // Two standard errors among forty slices are nothing, five are something.
        assert!(judged(&gate, 0.02).is_blessed());
        let harmed = judged(&gate, 0.05);
        assert_eq!(harmed.checks().len(), 1);
        assert_eq!(harmed.checks()[0].slice, Some(Slice::of("carrier", "c0")));
        assert!(!judged(&gate.clone().correction(Correction::Holm), 0.05).is_blessed());
        assert!(!judged(&gate.clone().min_rows(1_000), 0.05).is_blessed());
        let allowed = judged(&gate.min_rows(1_000).allow_too_few_rows(), 0.05);
        assert!(!allowed.checks()[0].is_blocking());
    }
}
