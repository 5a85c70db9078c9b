//! The automatic trainer: a model for a table within a budget of time.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::ensemble::{MEMBERS, ensemble};
use super::folds::{Folds, stratified};
use super::history::History;
use super::judge::{Judge, check_metric};
use super::limits::Limits;
use super::portfolio::Portfolio;
use super::schedule::{Plan, Schedule};
use super::trials::Trials;
use crate::cancellation::Cancellation;
use crate::error::{Error, ErrorKind, Result};
use crate::features::Takes;
use crate::metrics::Catalogue;
use crate::model::{AnyModel, Task};
use crate::stage::Stage;
use crate::training::{Capabilities, Costs, Dataset, TrainArgs, Trained, Trainer};

/// Finds a model on its own: linear models, boosting and forests, their parameters, and which of them answer together.
///
/// It begins with a handful of configurations that do well on most tables, then searches those kinds of model further
/// that are best so far, by the tree-structured Parzen estimator. Each configuration is trained on five folds; from the
/// predictions out of fold, an ensemble is selected greedily (Caruana and others, 2004), in which the models of all folds
/// answer: never worse, on these rows, than the best configuration alone. Probabilities are calibrated by a sigmoid where
/// that lowers the log loss of rows that it was not fitted on.
///
/// Of more than 20,000 rows, or a million values, a trial is of one fold, and the best are trained for the other folds; the
/// first trials learn from a sample of at most 10,000 rows, of which the best go on with four times as many. Of more than
/// 100,000 rows, at most 20,000 are held out, configurations are tried on at most 50,000, and those selected are trained on
/// the others.
///
/// The result is one model that takes raw rows. Trials run in batches of four, whatever the machine, and a
/// [budget](AutoTrainer::budget) decides only how many batches run, so equal arguments give equal models on any number of
/// threads. All trials are in the record, the ensemble last.
///
/// ```
/// use std::time::Duration;
///
/// use fourfold::Stage;
/// use fourfold::search::AutoTrainer;
///
/// let trainer = AutoTrainer::default().budget(Duration::from_secs(60)).metric("auc");
/// assert!(trainer.check().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoTrainer {
    budget: Option<Duration>,
    trials: Option<usize>,
    metric: Option<String>,
    costs: Option<Costs>,
    #[serde(flatten)]
    limits: Limits,
}

/// Trials without a budget of time, and the most with one.
const TRIALS: usize = 40;
const MOST_TRIALS: usize = 1_000;
/// The number of trials of each kind of model that stay candidates for the ensemble.
const CANDIDATES: usize = 4;

impl AutoTrainer {
    /// The time it may take. The first batch of trials always runs.
    #[must_use]
    pub fn budget(mut self, time: Duration) -> Self {
        self.budget = Some(time);
        self
    }

    /// The most trials, from 1 to 100,000. The default is 40, or with a budget of time as many as it allows, up to 1,000.
    #[must_use]
    pub fn trials(mut self, n: usize) -> Self {
        self.trials = Some(n);
        self
    }

    fn n_trials(&self) -> usize {
        let default = match self.budget {
            Some(_) => MOST_TRIALS,
            None => TRIALS,
        };
        self.trials.unwrap_or(default)
    }

    /// The metric to choose by; by default, the log loss of classes and the root mean squared error of numbers.
    #[must_use]
    pub fn metric(mut self, name: impl Into<String>) -> Self {
        self.metric = Some(name.into());
        self
    }

    /// The cost of predicting a negative row as positive, of two classes; that of the other mistake is 1 by default. With
    /// either cost, the decision threshold is the one that costs least on rows that the models have not learned from, as
    /// with [`Thresholded`](crate::training::Thresholded). Without, it is one half.
    #[must_use]
    pub fn false_positive(mut self, cost: f64) -> Self {
        self.costs.get_or_insert_default().false_positive = cost;
        self
    }

    /// The cost of predicting a positive row as negative, see [`AutoTrainer::false_positive`].
    #[must_use]
    pub fn false_negative(mut self, cost: f64) -> Self {
        self.costs.get_or_insert_default().false_negative = cost;
        self
    }

    /// The most bytes of the saved model, all models of the ensemble together; see
    /// [`Tune::max_bytes`](super::Tune::max_bytes).
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.limits.bytes = Some(bytes);
        self
    }

    /// The longest that the ensemble may take for one raw row: configurations whose models take longer are infeasible,
    /// and members are left out, the lightest first, until it takes no longer. As
    /// [`Tune::max_row_time`](super::Tune::max_row_time), it makes the result depend on the machine.
    #[must_use]
    pub fn max_row_time(mut self, time: Duration) -> Self {
        self.limits.row_time = Some(time);
        self
    }
}

impl Stage for AutoTrainer {
    fn name(&self) -> &str {
        "auto"
    }

    fn version(&self) -> u32 {
        2
    }

    fn check(&self) -> Result<()> {
        let n = self.n_trials();
        if !(1..=100_000).contains(&n) {
            return Err(Error::config(format!(
                "`trials` is {n}, must be from 1 to 100000"
            )));
        }
        self.limits.check()?;
        self.costs.as_ref().map_or(Ok(()), Costs::check)?;
        let catalogue = Catalogue::default();
        self.metric
            .as_deref()
            .map_or(Ok(()), |metric| check_metric(&catalogue, metric))
    }
}

impl Trainer for AutoTrainer {
    type Model = AnyModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<AnyModel>> {
        let start = Instant::now();
        if self.costs.is_some() && args.target().task() != Task::Binary {
            return Err(Error::config(format!(
                "label `{}` makes a {} task, but a decision threshold by cost needs two classes",
                args.target().label(),
                args.target().task()
            )));
        }
        let judge = Judge::new(args.target(), &Catalogue::default(), self.metric.as_deref())?;
        let rows = stratified(args.train(), args.target());
        let log = args.trials();
        let args = args.clone().with_train(rows);
        let n_trials = self.n_trials();
        let are_amounts = are_amounts(args.train())?;
        let portfolio = Portfolio::new(args.target(), args.train().n_rows(), are_amounts)?;
        let plan = Plan::of(args.train(), portfolio.first().len(), n_trials);
        let folds = Folds::new(&args, plan.validation, plan.times)?;
        let trials = Trials {
            space: &portfolio.space,
            folds: &folds,
            validation: plan.validation,
            judge: &judge,
            args: &args,
            log,
            limits: self.limits,
            are_bagged: plan.are_bagged(),
            memory: Arc::default(),
        };
        let mut history = History::new(CANDIDATES, plan.whole(), portfolio.kinds.clone());
        let mut schedule = Schedule::new(&plan, &portfolio);
        let (mut work_done, mut time_taken) = (0.0, Duration::ZERO);
        while history.len() < n_trials {
            let step = schedule.next(&history, &trials, n_trials - history.len())?;
            let work = step.work(&plan);
            let time_of = |work: f64| time_taken.mul_f64(work / f64::max(work_done, 1e-9));
            // The last models are trained, and members selected, after all trials.
            let budget = self.budget.filter(|_| history.has_whole());
            let deadline = budget.and_then(|budget| {
                let last = time_of(last_work(&plan, &history));
                start.checked_add(budget.saturating_sub(last))
            });
            if deadline.is_some_and(|deadline| Instant::now() + time_of(work) > deadline) {
                history.stop_for_time();
                break;
            }
            let begun = Instant::now();
            let ran = until(deadline, args.cancellation(), |cancellation| {
                step.run(&plan, &trials, &mut history, cancellation)
            });
            match ran {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Cancelled && history.has_model() => {
                    // What a step has found that was not completed is left out.
                    match args.cancellation().is_cancelled() {
                        true => history.stop(format!("cancelled after {} trials", history.len())),
                        false => history.stop_for_time(),
                    }
                    break;
                }
                Err(error) => return Err(error),
            }
            time_taken += begun.elapsed();
            work_done += work;
            args.progress()
                .advance(history.len() as u64, n_trials as u64);
        }
        ensemble(history, &trials, plan.whole(), self.costs.as_ref())
    }

    fn capabilities(&self) -> Capabilities {
        Takes::CODES.into()
    }
}

/// The work that is left after the trials, in models of all rows.
fn last_work(plan: &Plan, history: &History) -> f64 {
    match plan.n_folds > 1 || history.bagged().next().is_some() {
        true => 0.0,
        false => MEMBERS as f64,
    }
}

/// Returns true for labels that are numbers of at least 0, and not all 0.
fn are_amounts(rows: &Dataset) -> Result<bool> {
    if rows.target().task() != Task::Regression {
        return Ok(false);
    }
    let mut most = 0.0;
    for batch in rows.labels() {
        let (labels, _) = batch?;
        for label in labels {
            if label < 0.0 || label.is_nan() {
                return Ok(false);
            }
            most = f64::max(most, label);
        }
    }
    Ok(most > 0.0)
}

/// Does work that is cancelled at a point in time, if there is one, or with the whole.
fn until<T>(
    deadline: Option<Instant>,
    whole: &Cancellation,
    work: impl FnOnce(&Cancellation) -> T,
) -> T {
    let Some(deadline) = deadline else {
        return work(whole);
    };
    let own = whole.child();
    std::thread::scope(|scope| {
        let (working, ended) = channel::<()>();
        let alarm = own.clone();
        scope.spawn(move || {
            let left = deadline.saturating_duration_since(Instant::now());
            if ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                alarm.cancel();
            }
        });
        let result = work(&own);
        drop(working);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_cancelled_at_its_deadline_and_the_whole_is_not() {
        let whole = Cancellation::new();
        let ended = until(Some(Instant::now()), &whole, |own| {
            while !own.is_cancelled() {
                std::thread::yield_now();
            }
            "ended"
        });
        assert_eq!(ended, "ended");
        assert!(!whole.is_cancelled());
        let later = Instant::now() + Duration::from_secs(3_600);
        let is_cancelled = until(Some(later), &whole, Cancellation::is_cancelled);
        assert!(!is_cancelled, "it does not wait for a deadline that is far");
        whole.cancel();
        assert!(until(None, &whole, Cancellation::is_cancelled));
    }
}
