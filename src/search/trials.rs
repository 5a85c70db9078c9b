//! Trials, several at a time.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::folds::{Fit, Folds};
use super::judge::Judge;
use super::space::{Point, Space};
use crate::error::{ErrorKind, Result};
use crate::stage::Stage;
use crate::training::{TrainArgs, Trial, side_by_side};

/// What trials have in common.
pub(super) struct Trials<'a> {
    pub(super) space: &'a Space,
    pub(super) folds: &'a Folds,
    pub(super) judge: &'a Judge,
    pub(super) args: &'a TrainArgs,
}

/// A trial that has ended.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) point: Point,
    /// The share of the rows that it learned from.
    pub(super) share: f64,
    /// The mean over the folds, or why there is none.
    pub(super) value: Result<f64, String>,
    error: Option<f64>,
    took: Duration,
    pub(super) fits: Vec<Fit>,
}

impl Done {
    /// The lower, the better.
    pub(super) fn loss(&self, judge: &Judge) -> f64 {
        let value = self
            .value
            .as_ref()
            .map_or(f64::INFINITY, |value| judge.loss(*value));
        if value.is_nan() { f64::INFINITY } else { value }
    }

    /// For the record.
    pub(super) fn trial(&self, space: &Space, judge: &Judge) -> Trial {
        let trainer = space.alternative(&self.point).trainer(&self.point.places);
        let stage = trainer.and_then(|trainer| trainer.describe());
        let stage = stage.map_or(Value::Null, |stage| {
            serde_json::to_value(stage).unwrap_or_default()
        });
        let mut trial = match &self.value {
            Ok(value) => Trial::new(stage, judge.metric(), *value),
            Err(reason) => Trial::without_value(stage, judge.metric(), reason),
        };
        trial.error = self.error;
        trial.share = Some(self.share);
        trial.seconds = Some(self.took.as_secs_f64());
        trial
    }
}

impl Trials<'_> {
    /// Runs trials, as many at a time as there are threads. What comes of each does not depend on the others.
    ///
    /// # Errors
    /// If it is cancelled. A trial that fails says so in its result.
    pub(super) fn run(&self, points: Vec<(Point, f64)>) -> Result<Vec<Done>> {
        let workers = self.args.threads().min(points.len()).max(1);
        let args = self
            .args
            .clone()
            .with_threads((self.args.threads() / workers).max(1));
        side_by_side(workers, points, |(point, share)| {
            self.one(point, share, &args)
        })
    }

    fn one(&self, point: Point, share: f64, args: &TrainArgs) -> Result<Done> {
        let start = Instant::now();
        let outcome = self.folds_of(&point, share, args);
        let took = start.elapsed();
        Ok(match outcome {
            Ok((value, error, fits)) => Done {
                point,
                share,
                value: Ok(value),
                error,
                took,
                fits,
            },
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(error) => Done {
                point,
                share,
                value: Err(format!("{error:#}")),
                error: None,
                took,
                fits: Vec::new(),
            },
        })
    }

    /// The mean of the folds by the weight of their rows, its standard error, and what was fitted.
    fn folds_of(
        &self,
        point: &Point,
        share: f64,
        args: &TrainArgs,
    ) -> Result<(f64, Option<f64>, Vec<Fit>)> {
        let alternative = (point.alternative, self.space.alternative(point));
        let (mut fits, mut values) = (Vec::new(), Vec::new());
        for fold in 0..self.folds.len() {
            args.cancellation().check()?;
            let fit = self
                .folds
                .fit(fold, alternative, &point.places, share, args)?;
            let (value, error) = self.judge.value(fit.outputs.clone(), &fit.labels)?;
            values.push((value, error, fit.labels.total()));
            fits.push(fit);
        }
        // A trainer may give its best so far where it was cancelled: that is no result to compare.
        args.cancellation().check()?;
        if let [(value, error, _)] = values[..] {
            return Ok((value, error, fits));
        }
        let total: f64 = values.iter().map(|(_, _, weight)| weight).sum();
        let mean = values
            .iter()
            .map(|(value, _, weight)| value * weight)
            .sum::<f64>()
            / total;
        let n = values.len() as f64;
        let squares: f64 = values
            .iter()
            .map(|(value, _, _)| (value - mean).powi(2))
            .sum();
        let error = (squares / (n - 1.0) / n).sqrt();
        Ok((mean, Some(error), fits))
    }
}
