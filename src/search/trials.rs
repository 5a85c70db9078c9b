//! Running trials, several at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::folds::{Fit, Folds, Validation, locked};
use super::judge::Judge;
use super::limits::{Cost, Limits};
use super::space::{Point, Space};
use crate::cancellation::Cancellation;
use crate::error::{Error, Result};
use crate::parallel::side_by_side;
use crate::progress::Meter;
use crate::runs::{Task, TrialLog};
use crate::stage::Stage;
use crate::training::{SharedMemory, TrainArgs, Trial};

/// Raised when equal configurations give other results than before.
const VERSION: u32 = 2;

/// The parts that all trials of a search share.
pub(super) struct Trials<'a> {
    pub(super) space: &'a Space,
    pub(super) folds: &'a Folds,
    pub(super) validation: Validation,
    pub(super) judge: &'a Judge,
    pub(super) args: &'a TrainArgs,
    /// The log in which trials are recorded, and found again.
    pub(super) log: Option<&'a TrialLog>,
    pub(super) limits: Limits,
    /// Whether the models of all folds will answer together, and not one of all rows.
    pub(super) are_bagged: bool,
    /// The memory that trials side by side share.
    pub(super) memory: Arc<SharedMemory>,
}

/// A trial that has ended.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) point: Point,
    /// The share of the rows that it learned from.
    pub(super) share: f64,
    /// The number of folds, from the first.
    pub(super) n_folds: usize,
    /// Its number in the record, from 1.
    pub(super) number: usize,
    /// The mean over the folds, or why there is none.
    pub(super) value: Result<f64, String>,
    error: Option<f64>,
    took: Duration,
    best_iterations: Vec<Option<u64>>,
    pub(super) cost: Cost,
    /// The limit that its model exceeds.
    exceeded: Option<String>,
    /// The models of each fold; empty for a trial that is known from an earlier run.
    pub(super) fits: Vec<Fit>,
}

/// The stored result of a trial that ended well.
#[derive(Serialize, Deserialize)]
struct OnRecord {
    metric: String,
    value: f64,
    error: Option<f64>,
    share: f64,
    seconds: f64,
    best_iterations: Vec<Option<u64>>,
    #[serde(flatten)]
    cost: Cost,
}

impl Done {
    /// The lower, the better; infinite of a trial that failed, or whose model exceeds a limit.
    pub(super) fn loss(&self, judge: &Judge) -> f64 {
        if self.exceeded.is_some() {
            return f64::INFINITY;
        }
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

    /// The reason why it cannot be chosen.
    pub(super) fn failure(&self) -> Option<&String> {
        self.value.as_ref().err().or(self.exceeded.as_ref())
    }

    /// The trial as it is recorded.
    pub(super) fn trial(&self, space: &Space, judge: &Judge) -> Trial {
        let alternative = space.alternative(&self.point);
        let trainer = alternative.trainer(&self.point.places);
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
        let parameters = alternative.configuration(&self.point.places).1.into_iter();
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
        trial.parameters = parameters.collect::<BTreeMap<_, _>>();
        (trial.bytes, trial.row_seconds) = (self.cost.bytes, self.cost.row_seconds);
        trial.reason = trial.reason.or_else(|| self.exceeded.clone());
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
            cost: self.cost,
        }))
    }

    /// The trial of a stored result; `None` if it cannot be read or lacks a figure that is limited now: it is run again.
    fn of_record(job: &Job, record: Value, limits: &Limits) -> Option<Self> {
        let record: OnRecord = serde_json::from_value(record).ok()?;
        if !limits.are_measured(&record.cost) {
            return None;
        }
        Some(Done {
            exceeded: limits.exceeded(&record.cost),
            cost: record.cost,
            point: job.point.clone(),
            n_folds: job.n_folds,
            number: 0,
            share: record.share,
            value: Ok(record.value),
            error: record.error,
            took: Duration::try_from_secs_f64(record.seconds).unwrap_or_default(),
            best_iterations: record.best_iterations,
            fits: Vec::new(),
        })
    }
}

/// A configuration to train and to evaluate.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) point: Point,
    /// The share of the rows to learn from.
    pub(super) share: f64,
    /// The number of folds, from the first.
    pub(super) n_folds: usize,
    /// The models of the first folds that are trained already.
    pub(super) fits: Vec<Fit>,
}

/// A trial under way.
#[derive(Default)]
struct UnderWay {
    /// By fold.
    fits: Vec<Option<Fit>>,
    left: usize,
    /// The first fold that failed.
    failed: Option<(usize, Error)>,
    took: Duration,
}

impl UnderWay {
    fn has_failed_before(&self, fold: usize) -> bool {
        let failed = self.failed.as_ref();
        failed.is_some_and(|(failed, _)| *failed < fold)
    }
}

impl Trials<'_> {
    /// A configuration for all folds.
    pub(super) fn job(&self, point: Point, share: f64) -> Job {
        Job {
            point,
            share,
            n_folds: self.folds.len(),
            fits: Vec::new(),
        }
    }

    /// Runs trials: the models of their folds, as many at a time as there are threads. Their results are independent of
    /// each other. A trial that is on record is not run again.
    ///
    /// # Errors
    /// If it is cancelled, or the record cannot be written. A trial that fails says so in its result.
    pub(super) fn run(&self, jobs: Vec<Job>, cancellation: &Cancellation) -> Result<Vec<Done>> {
        let mut all: Vec<Option<Done>> = Vec::new();
        let mut tasks = Vec::new();
        for job in &jobs {
            // A trainer that cannot be made fails below.
            let task = self
                .log
                .and_then(|log| Some((log, self.task(log, job).ok()?)));
            let known = match &task {
                Some((log, task)) => log.known(task)?,
                None => None,
            };
            all.push(known.and_then(|record| Done::of_record(job, record, &self.limits)));
            tasks.push(task);
        }
        let missing: Vec<usize> = (0..jobs.len()).filter(|at| all[*at].is_none()).collect();
        let to_run = jobs.into_iter().enumerate();
        let to_run = to_run.filter(|(at, _)| all[*at].is_none());
        let to_run: Vec<Job> = to_run.map(|(_, job)| job).collect();
        let done = self.train(&to_run, cancellation, |at, job, fits, took| {
            let done = self.done(job, fits, took);
            if let Some((log, task)) = &tasks[missing[at]] {
                let ended = done.to_record(self.judge);
                log.keep(task, ended.as_ref().map(Value::clone), took)?;
            }
            Ok(done)
        })?;
        for (at, done) in missing.into_iter().zip(done) {
            all[at] = Some(done);
        }
        Ok(all.into_iter().flatten().collect())
    }

    /// Trains again the models of trials that are known from the record alone.
    ///
    /// # Errors
    /// Errors of the trainers, or if the search is cancelled.
    pub(super) fn with_fits(&self, mut done: Vec<Done>) -> Result<Vec<Done>> {
        let are_lost = |done: &Done| done.fits.is_empty();
        let lost: Vec<usize> = (0..done.len()).filter(|at| are_lost(&done[*at])).collect();
        let job = |at: &usize| Job {
            point: done[*at].point.clone(),
            share: done[*at].share,
            n_folds: done[*at].n_folds,
            fits: Vec::new(),
        };
        let jobs: Vec<Job> = lost.iter().map(job).collect();
        let found = self.train(&jobs, self.args.cancellation(), |_, _, fits, _| fits)?;
        for (at, fits) in lost.into_iter().zip(found) {
            done[at].fits = fits;
        }
        Ok(done)
    }

    /// Trains the models of each fold that a job lacks, and passes the models of a job on as soon as it has all of them.
    fn train<T: Send>(
        &self,
        jobs: &[Job],
        cancellation: &Cancellation,
        ended: impl Fn(usize, &Job, Result<Vec<Fit>>, Duration) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let under_way = |job: &Job| {
            let mut fits: Vec<Option<Fit>> = job.fits.iter().cloned().map(Some).collect();
            fits.resize(job.n_folds, None);
            Mutex::new(UnderWay {
                left: job.n_folds - job.fits.len(),
                fits,
                ..UnderWay::default()
            })
        };
        let states: Vec<Mutex<UnderWay>> = jobs.iter().map(under_way).collect();
        let models: Vec<(usize, usize)> = (jobs.iter().enumerate())
            .flat_map(|(at, job)| (job.fits.len()..job.n_folds).map(move |fold| (at, fold)))
            .collect();
        let workers = self.args.threads().min(models.len()).max(1);
        let args = self
            .args
            .clone()
            .with_threads((self.args.threads() / workers).max(1))
            .with_cancellation(cancellation.clone())
            // The progress of a single trial is not that of the search.
            .with_progress(Meter::default());
        let mut all = side_by_side(workers, models, |(at, fold)| {
            cancellation.check()?;
            let (job, state) = (&jobs[at], &states[at]);
            let is_wanted = !locked(state).has_failed_before(fold);
            let start = Instant::now();
            let fit = match is_wanted {
                true => Some(self.fit(job, fold, &args)),
                false => None,
            };
            // A trainer may give its best so far where it was cancelled: that is no result to compare.
            cancellation.check()?;
            let mut state = locked(state);
            state.took += start.elapsed();
            state.left -= 1;
            match fit {
                Some(Ok(fit)) => state.fits[fold] = Some(fit),
                Some(Err(error)) if !state.has_failed_before(fold) => {
                    state.failed = Some((fold, error))
                }
                Some(Err(_)) | None => {}
            }
            if state.left > 0 {
                return Ok(None);
            }
            let UnderWay {
                fits, failed, took, ..
            } = std::mem::take(&mut *state);
            drop(state);
            let fits = match failed {
                Some((_, error)) => Err(error),
                None => Ok(fits.into_iter().flatten().collect()),
            };
            Ok(Some((at, ended(at, job, fits, took)?)))
        })?;
        all.sort_by_key(|ended| ended.as_ref().map(|(at, _)| *at));
        Ok(all.into_iter().flatten().map(|(_, of)| of).collect())
    }

    /// Trains the model of a fold.
    fn fit(&self, job: &Job, fold: usize, args: &TrainArgs) -> Result<Fit> {
        let args = args.clone().with_lease(self.memory.lease());
        let alternative = (job.point.alternative, self.space.alternative(&job.point));
        let (places, share) = (&job.point.places, job.share);
        self.folds
            .fit((fold, job.n_folds), alternative, places, share, &args)
    }

    /// A trial of these models, or of none.
    fn done(&self, job: &Job, fits: Result<Vec<Fit>>, took: Duration) -> Done {
        let mut done = Done {
            point: job.point.clone(),
            share: job.share,
            n_folds: job.n_folds,
            number: 0,
            value: Err(String::new()),
            error: None,
            took,
            best_iterations: Vec::new(),
            cost: Cost::default(),
            exceeded: None,
            fits: Vec::new(),
        };
        match fits.and_then(|fits| Ok((self.value(&fits)?, self.cost(&fits)?, fits))) {
            Ok(((value, error), cost, fits)) => {
                (done.value, done.error) = (Ok(value), error);
                done.cost = cost;
                done.exceeded = self.limits.exceeded(&cost);
                done.best_iterations = fits.iter().map(|fit| fit.best_iteration).collect();
                done.fits = fits;
            }
            Err(error) => done.value = Err(format!("{error:#}")),
        }
        done
    }

    /// A trial as an execution: the trainer as it is configured, behind its transform, and how it is judged.
    fn task(&self, log: &TrialLog, job: &Job) -> Result<Task> {
        let alternative = self.space.alternative(&job.point);
        let trainer = alternative.trainer(&job.point.places)?;
        let first = self.space.alternatives.first();
        let mut configuration = json!({
            "trainer": trainer.describe()?,
            "transform": alternative.transform,
            // Rows come behind the pipeline's transform for the first alternative.
            "takes": format!("{:?}, {:?}", first.map(|first| first.takes), alternative.takes),
            "validation": self.validation,
            "share": job.share,
            "metric": self.judge.describe(),
        });
        if job.n_folds != self.folds.of() {
            configuration["folds"] = json!(job.n_folds);
        }
        Ok(log.task(trainer.name(), VERSION, &configuration, self.args.seed()))
    }

    /// The cost of the model that comes of a trial: of those of its folds together, or of the dearest of them.
    fn cost(&self, fits: &[Fit]) -> Result<Cost> {
        let costs = fits
            .iter()
            .map(|fit| self.limits.measure(&fit.model, &fit.rows));
        let costs = costs.collect::<Result<Vec<_>>>()?.into_iter();
        let together = costs.reduce(|all, cost| match self.are_bagged {
            true => all.plus(cost),
            false => all.or(cost),
        });
        Ok(together.unwrap_or_default())
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
