//! Hyperparameter search as a trainer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::folds::{Folds, Validation, stratified};
use super::history::History;
use super::judge::{Judge, check_metric};
use super::limits::Limits;
use super::space::{Point, Space};
use super::tpe::{self, Observation};
use super::trials::{Done, Trials};
use super::whole::on_all_rows;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{Catalogue, Metric};
use crate::model::AnyModel;
use crate::stage::Stage;
use crate::training::{Capabilities, Random, TrainArgs, Trained, Trainer};
use crate::warning::Warning;

/// The strategy that chooses the next trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Strategy {
    /// All combinations of this many values of each parameter, and of all values of choices; [`Tune::trials`] is ignored.
    Grid(usize),
    /// Independent uniform draws.
    Random,
    /// The tree-structured Parzen estimator (Bergstra and others, 2011), which learns from earlier trials and begins with
    /// ten random ones.
    #[default]
    Tpe,
}

/// Successive halving: trials begin on a share of the rows, and the best continue on more (Jamieson and Talwalkar, 2016).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Halving {
    smallest: f64,
    keep: f64,
    brackets: usize,
}

impl Halving {
    /// Successive halving: a batch begins on this share of the rows; a third of its trials goes on with three times as
    /// many, until the last learn from all.
    #[must_use]
    pub fn from_share(share: f64) -> Self {
        Halving {
            smallest: share,
            keep: 3.0,
            brackets: 1,
        }
    }

    /// Hyperband (Li and others, 2018): each batch begins on three times the share of the one before, the last on all
    /// rows, and then anew: in case few rows mislead.
    #[must_use]
    pub fn hyperband(share: f64) -> Self {
        let rungs = (1.0 / share).ln() / 3.0_f64.ln();
        Halving {
            brackets: 1 + rungs.ceil().clamp(1.0, 20.0) as usize,
            ..Halving::from_share(share)
        }
    }

    /// The shares of the rows that trials of a batch learn from, one after the other.
    fn shares(self, batch: usize) -> Vec<f64> {
        let bracket = batch % self.brackets;
        let mut share = self.smallest * self.keep.powi(bracket as i32);
        let mut shares = Vec::new();
        while share < 0.999 {
            shares.push(share);
            share *= self.keep;
        }
        shares.push(1.0);
        shares
    }
}

/// A search: trains configurations of a [`Space`] and returns the best model, with the transform that it was trained
/// behind. It is a trainer itself, so it stands wherever a trainer does.
///
/// Trials are compared by a metric on rows that they have not learned from, see [`Validation`]: never those that the
/// validators judge by. The transform is fitted on the rows of a trial alone. The best configuration is trained once more
/// on all rows to train on, unless it has been: then, boosting stops at the mean of its best iterations.
///
/// Trials run side by side in batches of a fixed size, whatever the machine: equal arguments give equal models on any
/// number of threads. A [budget](Tune::budget) of time decides only how many batches run, and the record says how many:
/// the search of as many [trials](Tune::trials) gives the same model. Cancelled, it gives the best so far.
///
/// ```
/// use fourfold::search::{Space, Strategy, Tune, Validation};
/// use fourfold::training::GradientBoosting;
/// use fourfold::Stage;
///
/// let space = Space::of(GradientBoosting::default().rounds(300).patience(20))
///     .log("learning_rate", 0.02, 0.3)
///     .integer_log("max_leaves", 4, 128);
/// let trainer = Tune::over(space).trials(24).metric("auc").validation(Validation::Folds(5));
/// assert!(trainer.check().is_ok());
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Tune {
    space: Space,
    strategy: Strategy,
    trials: usize,
    batch: usize,
    budget: Option<Duration>,
    metric: Option<String>,
    validation: Validation,
    halving: Option<Halving>,
    #[serde(flatten)]
    limits: Limits,
    #[serde(skip)]
    catalogue: Catalogue,
}

impl Tune {
    /// A search by [`Strategy::Tpe`], of 20 trials in batches of 4, by the log loss of classes and the root mean squared
    /// error of numbers.
    #[must_use]
    pub fn over(space: Space) -> Self {
        Tune {
            space,
            strategy: Strategy::default(),
            trials: 20,
            batch: 4,
            budget: None,
            metric: None,
            validation: Validation::default(),
            halving: None,
            limits: Limits::default(),
            catalogue: Catalogue::default(),
        }
    }

    /// The strategy that chooses the next trials.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// The number of trials, from 1 to 100,000; the default is 20.
    #[must_use]
    pub fn trials(mut self, n: usize) -> Self {
        self.trials = n;
        self
    }

    /// The number of trials that are chosen at once and run side by side, from 1 to 1,000; the default is 4. It does not
    /// depend on the machine, so the result does not.
    #[must_use]
    pub fn batch(mut self, n: usize) -> Self {
        self.batch = n;
        self
    }

    /// The time after which no batch is begun that would not end within it, by the longest so far. The first always runs.
    #[must_use]
    pub fn budget(mut self, time: Duration) -> Self {
        self.budget = Some(time);
        self
    }

    /// The metric, with its parameters: such as `auc`, `rmse` or `pinball(0.9)`.
    #[must_use]
    pub fn metric(mut self, name: impl Into<String>) -> Self {
        self.metric = Some(name.into());
        self
    }

    /// Adds a custom metric, for [`Tune::metric`] to name.
    #[must_use]
    pub fn with_metric(mut self, metric: impl Metric) -> Self {
        self.catalogue = self.catalogue.with(Arc::new(metric));
        self
    }

    /// Sets the rows that trials are evaluated on.
    #[must_use]
    pub fn validation(mut self, validation: Validation) -> Self {
        self.validation = validation;
        self
    }

    /// Makes trials learn from few rows first.
    #[must_use]
    pub fn halving(mut self, halving: Halving) -> Self {
        self.halving = Some(halving);
        self
    }

    /// The most bytes of the saved model and its transform. A trial whose model has more is infeasible: it is on record
    /// with its value and the reason, and not chosen. Equal trials have equal sizes.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.limits.bytes = Some(bytes);
        self
    }

    /// The longest that the model may take from one raw row to its prediction, on one thread; a trial whose model takes
    /// longer is infeasible. The time is the shortest of 20 measured beside the other trials, so this limit is the one part
    /// of a search that depends on the machine: a trial close to it may be feasible on one and not on another. What was
    /// measured is on record, and a search that goes on goes by it.
    #[must_use]
    pub fn max_row_time(mut self, time: Duration) -> Self {
        self.limits.row_time = Some(time);
        self
    }

    /// Chooses the trials of a batch.
    fn points(
        &self,
        n: usize,
        seen: &[Observation],
        args: &TrainArgs,
        grid: &[Point],
    ) -> Vec<Point> {
        let first = seen.len();
        let mut seen = seen.to_vec();
        let mut points = Vec::new();
        for at in first..first + n {
            // A stream a trial: the size of batches does not change it.
            let mut random = Random::of(args.seed(), at);
            let point = match self.strategy {
                Strategy::Grid(_) => match grid.get(at) {
                    Some(point) => point.clone(),
                    None => break,
                },
                Strategy::Random => tpe::random(&self.space, &mut random),
                Strategy::Tpe => tpe::propose(&self.space, &seen, &mut random),
            };
            seen.push(Observation {
                point: point.clone(),
                loss: f64::INFINITY,
            });
            points.push(point);
        }
        points
    }

    /// Runs a batch, on few rows first if that is asked for. Trials that do not go on keep the loss that they had, behind
    /// all that do.
    fn run_batch(
        &self,
        trials: &Trials<'_>,
        batch: usize,
        points: Vec<Point>,
    ) -> Result<Vec<Done>> {
        let cancellation = trials.args.cancellation();
        let Some(halving) = self.halving else {
            let jobs = points.into_iter().map(|point| trials.job(point, 1.0));
            return trials.run(jobs.collect(), cancellation);
        };
        let mut left: Vec<usize> = (0..points.len()).collect();
        let mut found: Vec<Option<Done>> = points.iter().map(|_| None).collect();
        for share in halving.shares(batch) {
            let jobs = left.iter().map(|at| trials.job(points[*at].clone(), share));
            for (at, done) in left.iter().zip(trials.run(jobs.collect(), cancellation)?) {
                found[*at] = Some(done);
            }
            let loss = |at: &usize| {
                found[*at]
                    .as_ref()
                    .map_or(f64::INFINITY, |done| done.loss(trials.judge))
            };
            left.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
            let n = (left.len() as f64 / halving.keep).ceil() as usize;
            left.truncate(n.max(1));
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn grid(&self) -> Vec<Point> {
        let Strategy::Grid(steps) = self.strategy else {
            return Vec::new();
        };
        let mut points = Vec::new();
        for (alternative, known) in self.space.alternatives.iter().enumerate() {
            let mut all = vec![Vec::new()];
            for parameter in &known.parameters {
                let places = parameter.domain.grid(steps);
                let with = |before: Vec<f64>| {
                    let places = places.iter();
                    let more = places.map(move |place| [before.clone(), vec![*place]].concat());
                    more.collect::<Vec<_>>()
                };
                all = all.into_iter().flat_map(with).collect();
                if all.len() > MAX_GRID {
                    return Vec::new();
                }
            }
            points.extend(all.into_iter().map(|places| Point {
                alternative,
                places,
            }));
        }
        points
    }
}

const MAX_GRID: usize = 100_000;

impl Stage for Tune {
    fn name(&self) -> &str {
        "tune"
    }

    fn check(&self) -> Result<()> {
        self.space.check()?;
        let within = |name: &str, n: usize, most: usize| match (1..=most).contains(&n) {
            true => Ok(()),
            false => Err(Error::config(format!(
                "`{name}` is {n}, must be from 1 to {most}"
            ))),
        };
        within("trials", self.trials, 100_000)?;
        within("batch", self.batch, 1_000)?;
        if let Strategy::Grid(steps) = self.strategy {
            within("strategy: steps of the grid", steps, 1_000)?;
            let n = self.grid().len();
            if n == 0 || n > MAX_GRID {
                return Err(Error::config(format!(
                    "the grid has more than {MAX_GRID} trials"
                )));
            }
        }
        if let Some(halving) = self.halving
            && !(halving.smallest > 0.0 && halving.smallest < 1.0)
        {
            return Err(Error::config(format!(
                "`halving` begins with a share of {}, must be above 0 and below 1",
                halving.smallest
            )));
        }
        self.validation.check()?;
        self.limits.check()?;
        self.catalogue.check()?;
        self.metric
            .as_deref()
            .map_or(Ok(()), |metric| check_metric(&self.catalogue, metric))
    }
}

impl Trainer for Tune {
    type Model = AnyModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<AnyModel>> {
        let start = Instant::now();
        let judge = Judge::new(args.target(), &self.catalogue, self.metric.as_deref())?;
        let rows = stratified(args.train(), args.target());
        let log = args.trials();
        let args = args.clone().with_train(rows);
        let folds = Folds::new(&args, self.validation, 1)?;
        let trials = Trials {
            space: &self.space,
            folds: &folds,
            validation: self.validation,
            judge: &judge,
            args: &args,
            log,
            limits: self.limits,
            are_bagged: false,
            memory: Arc::default(),
        };
        let grid = self.grid();
        let n_trials = if grid.is_empty() {
            self.trials
        } else {
            grid.len()
        };
        let mut history = History::new(1, 1.0, Vec::new());
        let mut longest = Duration::ZERO;
        for batch in 0.. {
            let n = self.batch.min(n_trials - history.seen.len());
            if n == 0 {
                break;
            }
            let over = |budget: Duration| start.elapsed() + longest > budget;
            if batch > 0 && self.budget.is_some_and(over) {
                history.stop(format!(
                    "no time for more after {} trials",
                    history.seen.len()
                ));
                break;
            }
            let begun = Instant::now();
            let points = self.points(n, &history.seen, &args, &grid);
            let done = match self.run_batch(&trials, batch, points) {
                Ok(done) => done,
                Err(error) if error.kind() == ErrorKind::Cancelled && history.has_model() => {
                    history.stop(format!("cancelled after {} trials", history.seen.len()));
                    break;
                }
                Err(error) => return Err(error),
            };
            longest = longest.max(begun.elapsed());
            done.into_iter().for_each(|done| history.add(done, &trials));
            args.progress()
                .advance(history.seen.len() as u64, n_trials as u64);
        }
        self.finish(history, &trials)
    }

    fn capabilities(&self) -> Capabilities {
        let first = self.space.alternatives.first();
        first.map_or_else(Capabilities::new, |first| first.takes.into())
    }
}

impl Tune {
    /// The best as a model of all rows, with the record of the trials.
    fn finish(&self, mut history: History, trials: &Trials<'_>) -> Result<Trained<AnyModel>> {
        let Trials {
            folds, judge, args, ..
        } = trials;
        let mut best = history.take_best()?;
        if folds.are_whole {
            best = trials.with_fits(best)?;
        }
        let best = best.swap_remove(0);
        let trained = match best.fits.first().filter(|_| folds.are_whole) {
            Some(fit) => {
                let trained = Trained::new(fit.model.clone()).behind(&fit.rows);
                match fit.threshold {
                    Some(threshold) => trained.with_threshold(threshold),
                    None => trained,
                }
            }
            None => on_all_rows(&best, trials)?.1,
        };
        let exceeded = match trained.fitted() {
            Some(fitted) => {
                let rows = args.train().clone().with_transform(fitted.clone());
                let cost = self.limits.measure(trained.model(), &rows)?;
                self.limits.exceeded(&cost)
            }
            None => None,
        };
        let trained = match exceeded {
            // It learned from more rows than its trial did.
            Some(exceeded) => trained.with_warning(Warning::new("tune", "over_limit", exceeded)),
            None => trained,
        };
        Ok(history.record(trained, &self.space, judge, "tune"))
    }
}
