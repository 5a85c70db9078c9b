//! The requirements of a model, in one file that a product manager owns.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[cfg(not(feature = "sql"))]
use crate::error::ErrorKind;
use crate::error::{Error, Result};
use crate::evaluation::{EvaluationPipeline, Fair, Gates, Validator};
use crate::metrics;
use crate::model::Model;
use crate::stage::Stage;
use crate::training::{Direction, GradientBoosting, Thresholded, Trainer};
use crate::written;

/// The requirements of a model: gates, slices, protected columns, the costs of mistakes, the direction in which predictions must
/// change with a feature, and metrics written in SQL. They stand in one TOML or JSON file that a product manager owns; training
/// and evaluation each use their part.
///
/// ```
/// use fourfold::model::ForestModel;
/// use fourfold::pipeline::Requirements;
/// use fourfold::prelude::*;
///
/// let wanted = Requirements::from_toml(r#"
///     slices = ["carrier"]
///     costs = { false_positive = 1, false_negative = 5 }
///     monotone = { distance = "rising" }
///
///     [[gates]]
///     gate = "thresholds"
///     thresholds = [{ metric = "auc", at_least = 0.7 }]
///
///     [[protected]]
///     column = "age_band"
///     parity = "equal_opportunity"
///     difference_at_most = 0.1
/// "#)?;
/// let trainer = wanted.thresholded(wanted.boosting(GradientBoosting::default()));
/// let evaluation = wanted.evaluation::<ForestModel>(&Default::default())?;
/// # let _ = (trainer, evaluation);
/// # Ok::<(), Error>(())
/// ```
///
/// With the feature `sql`, a metric is the mean of an expression over the rows, as of `metrics::SqlMetric`, and gates name it
/// like any other:
///
/// ```toml
/// [[metrics]]
/// name = "late_cost"
/// direction = "lower"                 # or "higher", "neither"
/// expression = "case when label = 'late' and prediction <> 'late' then 5 when label <> prediction then 1 else 0 end"
/// range = [0, 5]                      # the values it can have; any by default
/// unit = "minutes"                    # none by default
///
/// [[gates]]
/// gate = "thresholds"
/// thresholds = [{ metric = "late_cost", at_most = 0.4 }]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requirements {
    gates: Vec<Map<String, Value>>,
    slices: Vec<String>,
    protected: Vec<Fair>,
    costs: Option<MistakeCosts>,
    monotone: BTreeMap<String, Direction>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<WrittenMetric>,
}

/// A metric as a SQL expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMetric {
    name: String,
    direction: metrics::Direction,
    expression: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<(f64, f64)>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    unit: String,
}

impl WrittenMetric {
    #[cfg(feature = "sql")]
    fn metric(&self) -> Result<metrics::SqlMetric> {
        let (name, expression) = (self.name.as_str(), self.expression.as_str());
        let metric = metrics::SqlMetric::new(name, self.direction, expression)?;
        Ok(match self.range {
            Some((low, high)) if low < high => metric.range(low, high),
            Some((low, high)) => {
                return Err(Error::config(format!(
                    "metric `{name}`: `range` is [{low}, {high}], must be a lower and a higher number"
                )));
            }
            None => metric,
        }
        .unit(self.unit.as_str()))
    }
}

/// The costs of the two kinds of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MistakeCosts {
    /// The cost of a false positive.
    pub false_positive: f64,
    /// The cost of a false negative.
    pub false_negative: f64,
}

impl Requirements {
    /// Reads requirements from a file, JSON or TOML by its extension.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it does not exist;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the file and the invalid value.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        written::load(path.as_ref(), "requirements")
    }

    /// Reads requirements from TOML.
    ///
    /// # Errors
    /// As [`Requirements::load`].
    pub fn from_toml(text: &str) -> Result<Self> {
        written::from_toml(text)
    }

    /// The evaluation that checks the requirements. A pipeline whose trainer does not keep the monotone directions does not
    /// build. Unknown metrics, columns and classes are errors with near names: metrics when the pipeline is built, the rest when
    /// the data is known, before training. The cost of mistakes is the metric `cost(..)`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming a gate or a metric that is unknown or invalid, or if there is
    /// neither a gate nor a protected column; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for metrics in SQL
    /// without the feature `sql`.
    pub fn evaluation<M: Model>(
        &self,
        gates: &Gates<M>,
    ) -> Result<EvaluationPipeline<Vec<Box<dyn Validator<M>>>>> {
        let mut judges = match self.gates.as_slice() {
            [] if !self.protected.is_empty() => Vec::new(),
            listed => gates.of(listed.to_vec())?,
        };
        for fair in &self.protected {
            fair.check()?;
            judges.push(Box::new(fair.clone()));
        }
        let evaluation = EvaluationPipeline::new(judges)
            .slice_by(&self.slices)
            .monotone(self.monotone.iter().map(|(feature, way)| (feature, *way)))
            .protected(self.protected.iter().map(Fair::column));
        let evaluation = self.with_metrics(evaluation)?;
        Ok(match self.costs {
            Some(costs) => {
                let (positive, negative) = (costs.false_positive, costs.false_negative);
                evaluation.compute([format!("cost({positive},{negative})")])
            }
            None => evaluation,
        })
    }

    #[cfg(feature = "sql")]
    fn with_metrics<V: Stage>(
        &self,
        evaluation: EvaluationPipeline<V>,
    ) -> Result<EvaluationPipeline<V>> {
        let mut written = self.metrics.iter();
        written.try_fold(evaluation, |evaluation, written| {
            Ok(evaluation.metric(written.metric()?))
        })
    }

    #[cfg(not(feature = "sql"))]
    fn with_metrics<V: Stage>(
        &self,
        evaluation: EvaluationPipeline<V>,
    ) -> Result<EvaluationPipeline<V>> {
        match self.metrics.first() {
            Some(written) => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "metric `{}` is a SQL expression, which needs the feature `sql` of fourfold",
                    written.name
                ),
            )),
            None => Ok(evaluation),
        }
    }

    /// A trainer of boosted trees with the monotone directions.
    #[must_use]
    pub fn boosting(&self, trainer: GradientBoosting) -> GradientBoosting {
        let directions = self.monotone.iter();
        directions.fold(trainer, |trainer, (feature, direction)| {
            trainer.monotone(feature, *direction)
        })
    }

    /// A trainer whose decision threshold has the lowest cost; without costs in the file, each mistake costs 1.
    #[must_use]
    pub fn thresholded<T: Trainer>(&self, trainer: T) -> Thresholded<T> {
        let trainer = Thresholded::new(trainer);
        match self.costs {
            Some(costs) => trainer
                .false_positive(costs.false_positive)
                .false_negative(costs.false_negative),
            None => trainer,
        }
    }

    /// The costs of mistakes.
    #[must_use]
    pub fn costs(&self) -> Option<MistakeCosts> {
        self.costs
    }

    /// The directions in which predictions must change with features, for trainers of your own.
    #[must_use]
    pub fn monotone(&self) -> &BTreeMap<String, Direction> {
        &self.monotone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ForestModel, LinearModel};

    const FILE: &str = r#"
        slices = ["carrier"]
        costs = { false_positive = 1, false_negative = 5 }
        monotone = { distance = "rising" }
        [[gates]]
        gate = "prove_no_worse"
        metric = "auc"
        margin = { relative = 0.02 }
        [[protected]]
        column = "sex"
        parity = "demographic"
        ratio_at_least = 0.8
    "#;

    #[test]
    fn training_heeds_directions_and_costs_and_the_gate_the_rest() {
        let wanted = Requirements::from_toml(FILE).unwrap();
        let trainer = wanted.thresholded(wanted.boosting(GradientBoosting::default()));
        let configuration = trainer.configuration().unwrap().to_string();
        assert!(
            configuration.contains(r#""monotone":{"distance":"rising"}"#),
            "{configuration}"
        );
        assert!(
            configuration.contains(r#""false_negative":5.0"#),
            "{configuration}"
        );
        let evaluation = wanted.evaluation::<ForestModel>(&Gates::default()).unwrap();
        evaluation.check::<ForestModel>().unwrap();
        assert!(evaluation.asks_for_serving::<ForestModel>());
        let written = serde_json::to_string(&wanted).unwrap();
        assert_eq!(
            written::from_json::<Requirements>(&written).unwrap(),
            wanted
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |toml: &str| {
            let read = Requirements::from_toml(toml)
                .and_then(|wanted| wanted.evaluation::<LinearModel>(&Gates::default()))
                .and_then(|evaluation| evaluation.check::<LinearModel>());
            read.unwrap_err().message().to_owned()
        };
        assert_eq!(
            refused("slice = [\"carrier\"]"),
            "unknown field `slice` at line 1; did you mean `slices`?"
        );
        assert_eq!(
            refused(""),
            "there is no gate, must be at least one; a `RubberStamp` blesses without any"
        );
        let auk = FILE.replace("metric = \"auc\"", "metric = \"auk\"");
        assert_eq!(
            refused(&auk),
            "there is no metric `auk`; did you mean `auc`?"
        );
        let costs = FILE.replace("false_negative = 5", "false_negativ = 5");
        assert!(
            refused(&costs).contains("did you mean `false_negative`?"),
            "{}",
            refused(&costs)
        );
    }

    const METRIC: &str = r#"
        [[metrics]]
        name = "late_cost"
        direction = "lower"
        expression = "case when label <> prediction then 1 else 0 end"
        range = [0, 1]
        [[gates]]
        gate = "thresholds"
        thresholds = [{ metric = "late_cost", at_most = 0.4 }]
    "#;

    #[cfg(feature = "sql")]
    #[test]
    fn a_metric_may_be_written_in_sql() {
        let checked = |toml: &str| {
            let wanted = Requirements::from_toml(toml)?;
            let evaluation = wanted.evaluation::<LinearModel>(&Gates::default())?;
            evaluation.check::<LinearModel>()
        };
        checked(METRIC).unwrap();
        let refused = |from: &str, to: &str| {
            let error = checked(&METRIC.replace(from, to)).unwrap_err();
            error.message().to_owned()
        };
        assert_eq!(
            refused("at_most = 0.4", "at_most = 1.5"),
            "the bound of `late_cost` is 1.5, must be from 0 to 1"
        );
        assert_eq!(
            refused("at_most = 0.4", "at_least = 0.4"),
            "a bound is on the wrong side of `late_cost`: use `at_most`, not the reverse, since lower is better"
        );
        assert_eq!(
            refused("[0, 1]", "[1, 0]"),
            "metric `late_cost`: `range` is [1, 0], must be a lower and a higher number"
        );
        let names = refused("<> prediction", "<> predicted");
        assert!(names.starts_with("metric `late_cost`: "), "{names}");
        assert!(names.contains("names `predicted`"), "{names}");
        let wanted = Requirements::from_toml(METRIC).unwrap();
        let written = serde_json::to_string(&wanted).unwrap();
        assert_eq!(
            written::from_json::<Requirements>(&written).unwrap(),
            wanted
        );
    }

    #[cfg(not(feature = "sql"))]
    #[test]
    fn a_metric_in_sql_needs_the_feature() {
        let wanted = Requirements::from_toml(METRIC).unwrap();
        let evaluation = wanted.evaluation::<LinearModel>(&Gates::default());
        assert_eq!(
            evaluation.map(drop).unwrap_err().message(),
            "metric `late_cost` is a SQL expression, which needs the feature `sql` of fourfold"
        );
    }
}
