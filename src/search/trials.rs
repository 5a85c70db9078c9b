//! Trials, several at a time.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::folds::{Fit, Folds, Validation};
use super::judge::Judge;
use super::space::{Point, Space};
use crate::error::{Error, ErrorKind, Result};
use crate::parallel::side_by_side;
use crate::runs::{Task, TrialLog};
use crate::stage::Stage;
use crate::training::{TrainArgs, Trial};

/// Raised when a trial comes to something else while its configuration does not change.
const VERSION: u32 = 1;

/// What trials have in common.
pub(super) struct Trials<'a> {
    pub(super) space: &'a Space,
    pub(super) folds: &'a Folds,
    pub(super) validation: Validation,
    pub(super) judge: &'a Judge,
    pub(super) args: &'a TrainArgs,
    /// Where trials are put on record, and found again.
    pub(super) log: Option<&'a TrialLog>,
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
    best_iterations: Vec<Option<u64>>,
    /// What was fitted, of each fold; nothing of a trial that is known from an earlier run.
    pub(super) fits: Vec<Fit>,
}

/// What is on record of a trial that came to a value.
#[derive(Serialize, Deserialize)]
struct OnRecord {
    metric: String,
    value: f64,
    error: Option<f64>,
    share: f64,
    seconds: f64,
    best_iterations: Vec<Option<u64>>,
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

    /// The mean of the best iterations over the folds, if there were any.
    pub(super) fn rounds(&self) -> Option<u64> {
        let found: Option<Vec<u64>> = self.best_iterations.iter().copied().collect();
        let found = found.filter(|found| !found.is_empty())?;
        Some((found.iter().sum::<u64>() / found.len() as u64).max(1))
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

    fn to_record(&self, judge: &Judge) -> Result<Value, Error> {
        let value = self.value.clone().map_err(Error::model)?;
        Ok(json!(OnRecord {
            metric: judge.metric().to_owned(),
            value,
            error: self.error,
            share: self.share,
            seconds: self.took.as_secs_f64(),
            best_iterations: self.best_iterations.clone(),
        }))
    }

    /// As it is on record; `None` if that cannot be read, so that it is run again.
    fn of_record(point: Point, record: Value) -> Option<Self> {
        let record: OnRecord = serde_json::from_value(record).ok()?;
        Some(Done {
            point,
            share: record.share,
            value: Ok(record.value),
            error: record.error,
            took: Duration::try_from_secs_f64(record.seconds).unwrap_or_default(),
            best_iterations: record.best_iterations,
            fits: Vec::new(),
        })
    }
}

impl Trials<'_> {
    /// Runs trials, as many at a time as there are threads. What comes of each does not depend on the others. One that is
    /// on record is not run again.
    ///
    /// # Errors
    /// If it is cancelled, or the record cannot be written. A trial that fails says so in its result.
    pub(super) fn run(&self, points: Vec<(Point, f64)>) -> Result<Vec<Done>> {
        self.at_once(points, |(point, share), args| self.one(point, share, args))
    }

    /// Fits once more what is known from the record alone.
    ///
    /// # Errors
    /// Those of the trainers; if it is cancelled.
    pub(super) fn with_fits(&self, done: Vec<Done>) -> Result<Vec<Done>> {
        self.at_once(done, |mut done, args| {
            if done.fits.is_empty() {
                done.fits = self.fits(&done.point, done.share, args)?;
            }
            Ok(done)
        })
    }

    fn at_once<J: Send>(
        &self,
        jobs: Vec<J>,
        work: impl Fn(J, &TrainArgs) -> Result<Done> + Sync,
    ) -> Result<Vec<Done>> {
        let workers = self.args.threads().min(jobs.len()).max(1);
        let args = self
            .args
            .clone()
            .with_threads((self.args.threads() / workers).max(1));
        side_by_side(workers, jobs, |job| work(job, &args))
    }

    fn one(&self, point: Point, share: f64, args: &TrainArgs) -> Result<Done> {
        // A trainer that cannot be made fails below.
        let task = self
            .log
            .and_then(|log| Some((log, self.task(log, &point, share).ok()?)));
        if let Some((log, task)) = &task
            && let Some(record) = log.known(task)?
            && let Some(done) = Done::of_record(point.clone(), record)
        {
            return Ok(done);
        }
        let start = Instant::now();
        let outcome = self
            .fits(&point, share, args)
            .and_then(|fits| Ok((self.value(&fits)?, fits)));
        let took = start.elapsed();
        let mut done = Done {
            point,
            share,
            value: Err(String::new()),
            error: None,
            took,
            best_iterations: Vec::new(),
            fits: Vec::new(),
        };
        match outcome {
            Ok(((value, error), fits)) => {
                (done.value, done.error) = (Ok(value), error);
                done.best_iterations = fits.iter().map(|fit| fit.best_iteration).collect();
                done.fits = fits;
            }
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(error) => done.value = Err(format!("{error:#}")),
        }
        if let Some((log, task)) = task {
            let ended = done.to_record(self.judge);
            log.keep(&task, ended.as_ref().map(Value::clone), took)?;
        }
        Ok(done)
    }

    /// A trial as an execution: the trainer as it is configured, behind its transform, and how it is judged.
    fn task(&self, log: &TrialLog, point: &Point, share: f64) -> Result<Task> {
        let alternative = self.space.alternative(point);
        let trainer = alternative.trainer(&point.places)?;
        let first = self.space.alternatives.first();
        let configuration = json!({
            "trainer": trainer.describe()?,
            "transform": alternative.transform,
            // Rows come behind the pipeline's transform for the first alternative.
            "takes": format!("{:?}, {:?}", first.map(|first| first.takes), alternative.takes),
            "validation": self.validation,
            "share": share,
            "metric": self.judge.describe(),
        });
        Ok(log.task(trainer.name(), VERSION, &configuration, self.args.seed()))
    }

    /// What is fitted, of each fold.
    fn fits(&self, point: &Point, share: f64, args: &TrainArgs) -> Result<Vec<Fit>> {
        let alternative = (point.alternative, self.space.alternative(point));
        let mut fits = Vec::new();
        for fold in 0..self.folds.len() {
            args.cancellation().check()?;
            let fit = self
                .folds
                .fit(fold, alternative, &point.places, share, args)?;
            fits.push(fit);
        }
        // A trainer may give its best so far where it was cancelled: that is no result to compare.
        args.cancellation().check()?;
        Ok(fits)
    }

    /// The mean of the folds by the weight of their rows, and its standard error.
    fn value(&self, fits: &[Fit]) -> Result<(f64, Option<f64>)> {
        let mut values = Vec::new();
        for fit in fits {
            let (value, error) = self.judge.value(fit.outputs.clone(), &fit.labels)?;
            values.push((value, error, fit.labels.total()));
        }
        if let [(value, error, _)] = values[..] {
            return Ok((value, error));
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
        Ok((mean, Some(error)))
    }
}
