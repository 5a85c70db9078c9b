//! The metric that trials are compared by.

use std::sync::Arc;

use fourfold_kernels::losses;
use ndarray::Array2;

use crate::accumulate::Accumulate;
use crate::error::{Error, Result};
use crate::metrics::{Catalogue, Direction, Evaluator, Scored};
use crate::model::{Target, Task};

/// Scores outputs by one metric.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    target: Arc<Target>,
    catalogue: Catalogue,
    metric: String,
    /// 1 of a metric whose lower values are better, else -1.
    sign: f64,
}

/// Labels `(n_rows)` as a target encodes them, and how much each row counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    pub(super) labels: Vec<f64>,
    pub(super) weights: Option<Vec<f64>>,
}

impl Labels {
    /// The labels of some rows.
    pub(super) fn of_rows(&self, rows: &[usize]) -> Labels {
        let pick = |values: &Vec<f64>| rows.iter().map(|row| values[*row]).collect();
        Labels {
            labels: pick(&self.labels),
            weights: self.weights.as_ref().map(pick),
        }
    }

    /// The sum of the weights of all rows.
    pub(super) fn total(&self) -> f64 {
        match &self.weights {
            Some(weights) => weights.iter().sum(),
            None => self.labels.len() as f64,
        }
    }
}

/// The default metric of a task.
pub(super) fn default_metric(task: Task) -> &'static str {
    match task {
        Task::Regression => "rmse",
        _ => "log_loss",
    }
}

/// Checks a metric as far as it can be without the target.
pub(super) fn check_metric(catalogue: &Catalogue, metric: &str) -> Result<()> {
    match catalogue.find(metric)?.direction {
        Direction::Higher | Direction::Lower => Ok(()),
        Direction::Neither => Err(Error::config(format!(
            "`{metric}` cannot be optimized: neither higher nor lower values are better"
        ))),
    }
}

impl Judge {
    pub(super) fn new(
        target: &Target,
        catalogue: &Catalogue,
        metric: Option<&str>,
    ) -> Result<Self> {
        let metric = metric.unwrap_or(default_metric(target.task())).to_owned();
        check_metric(catalogue, &metric)?;
        catalogue.check_task(&metric, target.task())?;
        let higher = catalogue.direction(&metric) == Some(Direction::Higher);
        Ok(Judge {
            target: Arc::new(target.clone()),
            catalogue: catalogue.clone(),
            metric,
            sign: if higher { -1.0 } else { 1.0 },
        })
    }

    pub(super) fn metric(&self) -> &str {
        &self.metric
    }

    /// The metric's name, or the whole configuration of a custom metric.
    pub(super) fn describe(&self) -> String {
        let mut own = self.catalogue.own().iter();
        match own.find(|metric| metric.name() == self.metric) {
            Some(own) => format!("{own:?}"),
            None => self.metric.clone(),
        }
    }

    /// A value as a loss: the lower, the better. Its own inverse.
    pub(super) fn loss(&self, value: f64) -> f64 {
        self.sign * value
    }

    /// The metric of outputs as a loss. The common ones are computed directly: selections ask for them often.
    pub(super) fn loss_of(&self, outputs: Array2<f64>, labels: &Labels) -> Result<f64> {
        let weights = labels.weights.as_deref();
        let of_labels = &labels.labels;
        let found = match (self.metric.as_str(), outputs.ncols(), outputs.as_slice()) {
            ("rmse", 1, Some(outputs)) => {
                Some(losses::root_mean_squared(outputs, of_labels, weights))
            }
            ("log_loss", n, Some(outputs)) => {
                Some(losses::log_loss(outputs, n, of_labels, weights))
            }
            ("auc", 1, Some(outputs)) => losses::area(outputs, of_labels, weights),
            _ => None,
        };
        match found.filter(|value| value.is_finite()) {
            Some(value) => Ok(self.loss(value)),
            None => Ok(self.loss(self.value(outputs, labels)?.0)),
        }
    }

    /// The metric of outputs `(n_rows, n_outputs)`, and its standard error where that is known.
    pub(super) fn value(
        &self,
        outputs: Array2<f64>,
        labels: &Labels,
    ) -> Result<(f64, Option<f64>)> {
        let scored = Scored {
            labels: labels.labels.clone(),
            candidate: outputs,
            weights: labels.weights.clone(),
            ..Scored::default()
        };
        let mut evaluator = Evaluator::new(
            Arc::clone(&self.target),
            self.catalogue.clone(),
            vec![self.metric.clone()],
            Vec::new(),
        );
        evaluator.update(&scored.into_batch()?)?;
        let (evaluation, _) = evaluator.quick()?;
        let found = evaluation.overall.get(&self.metric).ok_or_else(|| {
            Error::data(format!(
                "`{}` has no value for {} rows to tune by",
                self.metric,
                labels.labels.len()
            ))
        })?;
        let width = found
            .upper
            .zip(found.lower)
            .map(|(upper, lower)| upper - lower);
        // 95 % of a normal distribution.
        Ok((found.value, width.map(|width| width / (2.0 * 1.96))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn losses_are_those_of_the_metrics() {
        let binary = Target::classification("y", ["a", "b"]).unwrap();
        let classes = Target::classification("y", ["a", "b", "c"]).unwrap();
        let numbers = Target::regression("y");
        let of_two = array![[0.2], [0.7], [0.4], [0.0], [1.0]];
        let of_three = array![
            [0.2, 0.3, 0.5],
            [0.7, 0.1, 0.2],
            [0.4, 0.6, 0.0],
            [0.0, 0.1, 0.9],
            [1.0, 0.0, 0.0]
        ];
        for (target, metric, outputs) in [
            (&binary, "log_loss", &of_two),
            (&binary, "auc", &of_two),
            (&binary, "brier", &of_two),
            (&classes, "log_loss", &of_three),
            (&numbers, "rmse", &of_two),
        ] {
            let judge = Judge::new(target, &Catalogue::default(), Some(metric)).unwrap();
            for weights in [None, Some(vec![1.0, 2.0, 0.5, 3.0, 1.0])] {
                let labels = Labels {
                    labels: vec![0.0, 1.0, 1.0, 0.0, 1.0],
                    weights,
                };
                let wanted = judge.loss(judge.value(outputs.clone(), &labels).unwrap().0);
                let found = judge.loss_of(outputs.clone(), &labels).unwrap();
                assert!(
                    (found - wanted).abs() < 1e-9,
                    "{metric}: {found} and {wanted}"
                );
            }
        }
    }
}
