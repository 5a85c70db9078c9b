//! What an `eval` split is likely to show, before anything is trained.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Margin;
use super::no_worse::{POWER, Z};
use crate::model::Target;
use crate::statistics::ColumnStatistics;
use crate::warning::Warning;

/// The smallest change in a metric that an `eval` split is likely to show, with 95 % confidence in 80 % of such evaluations.
///
/// It is computed from the labels alone, before any answer is looked at, so it takes two models to be as close as a new
/// model is to its predecessor as a rule: a tenth of the answers differ; for areas under the curve, 0.8, and answers that are correlated
/// by 0.9 (Hanley and McNeil 1982, 1983); for losses, a deviation of the difference of 0.2 (log loss), 0.1 (Brier), and a
/// quarter of the label's deviation (mean absolute error). What the split has shown stands in the gate's check afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Detectable {
    /// The metric.
    pub metric: String,
    /// By how much it may be worse, as the gate says.
    pub margin: Margin,
    /// The smallest change that the rows are likely to show, in the metric's own unit.
    pub change: f64,
    /// The rows of the `eval` split.
    pub rows: u64,
}

impl Detectable {
    /// Of a metric and rows of which the label's statistics are known; `None` for metrics that no assumption is made of.
    pub(super) fn new(
        metric: &str,
        margin: Margin,
        target: &Target,
        label: &ColumnStatistics,
    ) -> Option<Self> {
        let rows = label.count;
        let n = rows as f64;
        let error = match metric {
            "accuracy" => (0.1 / n).sqrt(),
            "log_loss" => 0.2 / n.sqrt(),
            "brier" => 0.1 / n.sqrt(),
            "mae" => 0.25 * label.numeric.as_ref()?.std? / n.sqrt(),
            "auc" => {
                let [_, positive] = target.classes() else {
                    return None;
                };
                let found = label.top_values.iter().find(|(class, _)| class == positive);
                let positives = found.map_or(0.0, |(_, rows)| *rows as f64);
                let of_one = hanley_mcneil(0.8, positives, n - positives);
                (2.0 * (1.0 - 0.9) * of_one).sqrt()
            }
            _ => return None,
        };
        let change = (Z + POWER) * error;
        change.is_finite().then(|| Detectable {
            metric: metric.to_owned(),
            margin,
            change,
            rows,
        })
    }

    /// What is worth a warning: that the margin is below what the rows can show.
    pub(crate) fn warning(&self) -> Option<Warning> {
        // A share of a value that is not known yet is left to the gate.
        let margin = self
            .margin
            .of(f64::INFINITY)
            .filter(|margin| margin.is_finite())?;
        (margin < self.change)
            .then(|| Warning::new("evaluate", "margin_below_detectable", self.to_string()))
    }
}

impl fmt::Display for Detectable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rows of the `eval` split are likely to show a change in {} of {:.4} or more",
            self.rows, self.metric, self.change
        )?;
        match self
            .margin
            .of(f64::INFINITY)
            .filter(|margin| margin.is_finite())
        {
            Some(margin) if margin < self.change => {
                write!(
                    f,
                    ", the margin is {margin}: a model that is as good may be rejected"
                )
            }
            Some(margin) => write!(f, ", the margin is {margin}"),
            None => Ok(()),
        }
    }
}

/// The variance of an area under the curve (Hanley and McNeil 1982).
fn hanley_mcneil(auc: f64, positives: f64, negatives: f64) -> f64 {
    let q1 = auc / (2.0 - auc);
    let q2 = 2.0 * auc * auc / (1.0 + auc);
    let square = auc * auc;
    (auc * (1.0 - auc) + (positives - 1.0) * (q1 - square) + (negatives - 1.0) * (q2 - square))
        / (positives * negatives)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hanley and McNeil (1982), table II: an area of 0.8, 50 rows of each class: an error of 0.045.
    #[test]
    fn the_error_of_an_area_is_that_of_the_paper() {
        assert!((hanley_mcneil(0.8, 50.0, 50.0).sqrt() - 0.0445).abs() < 1e-3);
    }

    #[test]
    fn a_margin_below_what_can_be_shown_is_warned_of() {
        let of = |margin: f64| Detectable {
            metric: "auc".to_owned(),
            margin: margin.into(),
            change: 0.02,
            rows: 500,
        };
        assert_eq!(of(0.03).warning(), None);
        let warning = of(0.01).warning().unwrap();
        assert_eq!(warning.code, "margin_below_detectable");
        assert_eq!(
            warning.message,
            "500 rows of the `eval` split are likely to show a change in auc of 0.0200 or more, the margin is 0.01: a \
             model that is as good may be rejected"
        );
    }
}
