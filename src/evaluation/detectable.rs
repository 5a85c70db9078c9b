//! The changes that an `eval` split is likely to show, before anything is trained.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Margin;
use super::needs::Asked;
use crate::blessing::{POWER, Z};
use crate::model::Target;
use crate::statistics::ColumnStatistics;
use crate::warning::Warning;

/// The smallest change in a metric that an `eval` split is likely to show, with 95 % confidence in 80 % of such evaluations.
///
/// It is computed from the labels alone, before any answer is looked at. For a comparison it takes two models to be as close
/// as a new model is to its predecessor as a rule: a tenth of the answers differ; for areas under the curve, 0.8, and answers
/// that are correlated by 0.9 (Hanley and McNeil 1982, 1983); for losses, a deviation of the difference of 0.2 (log loss), 0.1
/// (Brier), and a quarter of the label's deviation (mean absolute error). For a bound on an accuracy or an area, it takes the
/// model to be at the bound. What the split has shown stands in the gate's check afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Detectable {
    /// The metric.
    pub metric: String,
    /// The margin by which it may be worse than that of the serving model, if a gate requires a proof of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<Margin>,
    /// The bound of a gate that compares it with a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
    /// The smallest change that the rows are likely to show, in the metric's own unit.
    pub change: f64,
    /// The rows of the `eval` split.
    pub rows: u64,
}

impl Detectable {
    /// For a metric, and rows whose label has these statistics; `None` for metrics without an assumption.
    pub(super) fn new(
        metric: &str,
        asked: Asked,
        target: &Target,
        label: &ColumnStatistics,
    ) -> Option<Self> {
        let rows = label.count;
        let (margin, bound) = match asked {
            Asked::Value => return None,
            Asked::AtLeast(bound) | Asked::AtMost(bound) => (None, Some(bound)),
            Asked::NoWorse | Asked::Change => (None, None),
            Asked::Proved(margin) => (Some(margin), None),
        };
        let error = match bound {
            Some(bound) => error_at(bound, metric, target, label)?,
            None => error_of_change(metric, target, label)?,
        };
        let change = (Z + POWER) * error;
        (change.is_finite() && change > 0.0).then(|| Detectable {
            metric: metric.to_owned(),
            margin,
            bound,
            change,
            rows,
        })
    }

    /// The margin, if it is known before the serving model's value is.
    fn known_margin(&self) -> Option<f64> {
        let margin = self.margin?.of(f64::INFINITY);
        margin.filter(|margin| margin.is_finite())
    }

    /// A warning if the margin is below the change that the rows can show.
    pub(crate) fn warning(&self) -> Option<Warning> {
        // A share of a value that is not known yet is left to the gate.
        (self.known_margin()? < self.change)
            .then(|| Warning::new("evaluate", "margin_below_detectable", self.to_string()))
    }
}

impl fmt::Display for Detectable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detectable {
            metric,
            change,
            rows,
            ..
        } = self;
        write!(f, "{rows} rows of the `eval` split are likely to show ")?;
        if let Some(bound) = self.bound {
            return write!(f, "that {metric} is {change:.4} or more from {bound}");
        }
        write!(f, "a change in {metric} of {change:.4} or more")?;
        match self.known_margin() {
            Some(margin) if margin < *change => {
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

/// The standard error of the difference of two models.
fn error_of_change(metric: &str, target: &Target, label: &ColumnStatistics) -> Option<f64> {
    let n = label.count as f64;
    Some(match metric {
        "accuracy" => (0.1 / n).sqrt(),
        "log_loss" => 0.2 / n.sqrt(),
        "brier" => 0.1 / n.sqrt(),
        "mae" => 0.25 * label.numeric.as_ref()?.std? / n.sqrt(),
        "auc" => (2.0 * (1.0 - 0.9) * of_area(0.8, target, label)?).sqrt(),
        _ => return None,
    })
}

/// The standard error of one model's metric, whose value is a bound.
fn error_at(bound: f64, metric: &str, target: &Target, label: &ColumnStatistics) -> Option<f64> {
    match metric {
        "accuracy" => Some((bound * (1.0 - bound) / label.count as f64).sqrt()),
        "auc" => Some(of_area(bound, target, label)?.sqrt()),
        _ => None,
    }
}

/// The variance of an area under the curve, by how many rows are of each of two classes.
fn of_area(area: f64, target: &Target, label: &ColumnStatistics) -> Option<f64> {
    let [_, positive] = target.classes() else {
        return None;
    };
    let found = label.top_values.iter().find(|(class, _)| class == positive);
    let positives = found.map_or(0.0, |(_, rows)| *rows as f64);
    Some(hanley_mcneil(
        area,
        positives,
        label.count as f64 - positives,
    ))
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
            margin: Some(margin.into()),
            bound: None,
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

    #[test]
    fn a_bound_has_the_error_of_one_model() {
        let of = |bound: Option<f64>| Detectable {
            metric: "accuracy".to_owned(),
            margin: None,
            bound,
            change: 0.02,
            rows: 500,
        };
        assert_eq!(
            of(Some(0.9)).to_string(),
            "500 rows of the `eval` split are likely to show that accuracy is 0.0200 or more from 0.9"
        );
        assert_eq!(
            of(None).to_string(),
            "500 rows of the `eval` split are likely to show a change in accuracy of 0.0200 or more"
        );
        assert_eq!(of(None).warning(), None);
        // Kept by records of before there were bounds.
        let kept = r#"{"metric": "auc", "margin": 0.01, "change": 0.02, "rows": 500}"#;
        let kept: Detectable = serde_json::from_str(kept).unwrap();
        assert_eq!((kept.margin, kept.bound), (Some(0.01.into()), None));
    }
}
