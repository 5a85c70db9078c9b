//! Gates on how differently groups are treated.

use serde::{Deserialize, Serialize};

use super::{EvalArgs, Needs, Validator};
use crate::blessing::{Check, Verdict};
use crate::error::{Error, Result};
use crate::metrics::{Disparity, Evaluation, Fairness, MetricValue, Parity};
use crate::model::Model;
use crate::stage::Stage;

/// The groups of a column are treated alike, within bounds: the difference between the two that are furthest apart is at
/// most so much, or the ratio of the lower to the higher at least so much. Of two classes.
///
/// The column need not be a feature, and had better not be: see
/// [`DataPipeline::exclude`](crate::data::DataPipeline::exclude).
///
/// ```
/// use fourfold::evaluation::Fair;
/// use fourfold::metrics::Parity;
///
/// let gates = vec![
///     Fair::difference("sex", Parity::EqualOpportunity, 0.1),
///     Fair::ratio("age_band", Parity::Demographic, 0.8).min_rows(200), // the four-fifths rule
/// ];
/// # let _ = gates;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fair {
    column: String,
    parity: Parity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    difference_at_most: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ratio_at_least: Option<f64>,
    #[serde(default = "Fair::default_min_rows")]
    min_rows: u64,
}

impl Fair {
    /// A gate that limits the difference from above.
    #[must_use]
    pub fn difference(column: impl Into<String>, parity: Parity, at_most: f64) -> Self {
        Fair {
            column: column.into(),
            parity,
            difference_at_most: Some(at_most),
            ratio_at_least: None,
            min_rows: Self::default_min_rows(),
        }
    }

    /// A gate that limits the ratio from below.
    #[must_use]
    pub fn ratio(column: impl Into<String>, parity: Parity, at_least: f64) -> Self {
        Fair {
            column: column.into(),
            parity,
            difference_at_most: None,
            ratio_at_least: Some(at_least),
            min_rows: Self::default_min_rows(),
        }
    }

    /// Groups of fewer rows are not compared; the default is 30.
    #[must_use]
    pub fn min_rows(mut self, rows: u64) -> Self {
        self.min_rows = rows;
        self
    }

    /// The column whose groups are compared.
    #[must_use]
    pub fn column(&self) -> &str {
        &self.column
    }

    fn default_min_rows() -> u64 {
        30
    }

    fn judge(&self, metrics: &Evaluation) -> Verdict {
        let name = format!("{} parity of {}", parity_name(self.parity), self.column);
        let fairness = Fairness::of(metrics, &self.column, self.min_rows);
        let found = fairness
            .disparities
            .iter()
            .find(|found| found.parity == self.parity);
        let Some(found) = found else {
            let message = format!(
                "fewer than two groups of `{}` have {} rows and the metric that is compared",
                self.column, self.min_rows
            );
            return Verdict::new().with(Check::too_few_rows(name, message));
        };
        let check = |what: &str, value: &MetricValue, passed: bool, must: String| {
            let interval = match value.lower.zip(value.upper) {
                Some((lower, upper)) => format!(" ({lower:.4} to {upper:.4})"),
                None => String::new(),
            };
            let message = format!(
                "the {what} of {} between {}={} and {} is {value:.4}{interval}, must be {must}",
                found.metric, self.column, found.lowest, found.highest
            );
            let check = Check::new(name.as_str(), passed, message).value(value.value);
            let check = check.support(value.support);
            match value.lower.zip(value.upper) {
                Some((lower, upper)) => check.interval(lower, upper),
                None => check,
            }
        };
        let difference = self.difference_at_most.map(|bound| {
            let value = &found.difference;
            let must = format!("at most {bound}");
            check("difference", value, value.value <= bound, must).bound(bound)
        });
        let ratio = self
            .ratio_at_least
            .map(|bound| self.judge_ratio(&name, found, bound, check));
        [difference, ratio]
            .into_iter()
            .flatten()
            .fold(Verdict::new(), Verdict::with)
    }

    fn judge_ratio(
        &self,
        name: &str,
        found: &Disparity,
        bound: f64,
        check: impl Fn(&str, &MetricValue, bool, String) -> Check,
    ) -> Check {
        match &found.ratio {
            Some(value) => {
                let must = format!("at least {bound}");
                check("ratio", value, value.value >= bound, must).bound(bound)
            }
            // None of any group: as much for each.
            None => {
                let message = format!("{} is 0 in every group of `{}`", found.metric, self.column);
                Check::new(name, true, message).bound(bound)
            }
        }
    }
}

fn parity_name(parity: Parity) -> &'static str {
    match parity {
        Parity::Demographic => "demographic",
        Parity::EqualOpportunity => "equal opportunity",
        Parity::EqualisedOdds => "equalised odds",
        Parity::Calibration => "calibration",
    }
}

impl Stage for Fair {
    fn name(&self) -> &str {
        "fair"
    }

    fn check(&self) -> Result<()> {
        let bounds = [
            ("difference_at_most", self.difference_at_most),
            ("ratio_at_least", self.ratio_at_least),
        ];
        if bounds.iter().all(|(_, bound)| bound.is_none()) {
            return Err(Error::config(format!(
                "`{}` has neither `difference_at_most` nor `ratio_at_least`",
                self.column
            )));
        }
        for (name, bound) in bounds {
            if let Some(bound) = bound.filter(|bound| !(0.0..=1.0).contains(bound)) {
                return Err(Error::config(format!(
                    "`{name}` is {bound}, must be from 0 to 1"
                )));
            }
        }
        Ok(())
    }
}

impl<M: Model> Validator<M> for Fair {
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        Ok(self.judge(args.metrics()))
    }

    fn needs(&self) -> Needs {
        Needs::new()
            .metric("selection_rate")
            .slice_by(self.column.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, Slice, SliceMetrics};

    fn evaluation(rates: [f64; 2]) -> Evaluation {
        let slices = ["a", "b"]
            .iter()
            .zip(rates)
            .map(|(value, rate)| SliceMetrics {
                slice: Slice::of("sex", *value),
                metrics: Metrics::from([
                    ("example_count".to_owned(), MetricValue::new(50.0, 50)),
                    ("selection_rate".to_owned(), MetricValue::new(rate, 50)),
                ]),
            });
        Evaluation {
            slices: slices.collect(),
            ..Evaluation::default()
        }
    }

    #[test]
    fn bounds_hold_for_the_groups_that_are_furthest_apart() {
        let ratio = Fair::ratio("sex", Parity::Demographic, 0.8);
        assert!(ratio.judge(&evaluation([0.5, 0.4])).is_blessed());
        let bad = ratio.judge(&evaluation([0.5, 0.3]));
        assert_eq!(
            bad.reasons(),
            ["the ratio of selection_rate between sex=b and a is 0.6000, must be at least 0.8"]
        );
        assert!(ratio.judge(&evaluation([0.0, 0.0])).is_blessed());
        let difference = Fair::difference("sex", Parity::Demographic, 0.1);
        assert!(!difference.judge(&evaluation([0.5, 0.3])).is_blessed());
        assert!(
            !difference
                .clone()
                .min_rows(51)
                .judge(&evaluation([0.5, 0.5]))
                .is_blessed()
        );
        let json = r#"{"column": "sex", "parity": "equalised_odds", "difference_at_most": 2}"#;
        let read: Fair = serde_json::from_str(json).unwrap();
        assert_eq!(
            read.check().unwrap_err().message(),
            "`difference_at_most` is 2, must be from 0 to 1"
        );
    }
}
