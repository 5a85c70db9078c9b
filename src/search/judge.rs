//! The metric that trials are compared by.

use std::sync::Arc;

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
