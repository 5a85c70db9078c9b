//! The automatic trainer: a model for a table within a budget of time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::ensemble::ensemble;
use super::folds::{Folds, Validation, stratified};
use super::history::History;
use super::judge::{Judge, check_metric};
use super::limits::Limits;
use super::portfolio::{Portfolio, next_batch};
use super::trials::Trials;
use crate::error::{Error, ErrorKind, Result};
use crate::features::Takes;
use crate::metrics::Catalogue;
use crate::model::{AnyModel, Task};
use crate::stage::Stage;
use crate::training::{Capabilities, Costs, TrainArgs, Trained, Trainer};

/// Finds a model on its own: linear models, boosting and forests, their parameters, and which of them answer together.
///
/// It begins with a handful of configurations that do well on most tables, then searches those kinds of model further
/// that are best so far, by the tree-structured Parzen estimator. Up to 20,000 rows each configuration is trained on five
/// folds; from the predictions out of fold, an ensemble is selected greedily (Caruana and others, 2004), in which the
/// models of all folds answer: never worse, on these rows, than the best configuration alone. Of more rows, a fifth is
/// held out (at most 20,000), configurations are tried on 50,000, and the selected ones are trained on all. Probabilities
/// are calibrated by a sigmoid where that lowers the log loss of rows that it was not fitted on.
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
/// The most rows that are divided into folds.
const FEW_ROWS: usize = 20_000;
const FOLDS: usize = 5;
/// The rows that trials learn from, where there are more.
const TRIED_ROWS: f64 = 50_000.0;
/// The number of trials that stay candidates for the ensemble.
const CANDIDATES: usize = 12;

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
        let n_rows = args.train().n_rows();
        let rows = stratified(args.train(), args.target());
        let log = args.trials();
        let args = args.clone().with_train(rows);
        let (validation, share) = plan(n_rows);
        let folds = Folds::new(&args, validation)?;
        let portfolio = Portfolio::new(args.target(), n_rows)?;
        let trials = Trials {
            space: &portfolio.space,
            folds: &folds,
            validation,
            judge: &judge,
            args: &args,
            log,
            limits: self.limits,
            // With many rows, one model is trained on all of them.
            are_bagged: share >= 1.0,
            memory: Arc::default(),
        };
        let n_trials = self.n_trials();
        let mut history = History::new(CANDIDATES, share);
        let mut longest = Duration::ZERO;
        while history.seen.len() < n_trials {
            // Training on all rows comes after the trials.
            let reserve = if share < 1.0 {
                longest.mul_f64(1.0 / share)
            } else {
                longest / 4
            };
            let over = |budget: Duration| start.elapsed() + longest + reserve > budget;
            if !history.seen.is_empty() && self.budget.is_some_and(over) {
                history.stop(format!(
                    "no time for more after {} trials; as many without a budget give the same model",
                    history.seen.len()
                ));
                break;
            }
            let begun = Instant::now();
            let points = next_batch(&portfolio, &history.seen, &args, n_trials);
            let points = points.into_iter().map(|point| (point, share)).collect();
            match trials.run(points) {
                Ok(done) => done.into_iter().for_each(|done| history.add(done, &trials)),
                Err(error) if error.kind() == ErrorKind::Cancelled && history.has_model() => {
                    history.stop(format!("cancelled after {} trials", history.seen.len()));
                    break;
                }
                Err(error) => return Err(error),
            }
            longest = longest.max(begun.elapsed());
            args.progress()
                .advance(history.seen.len() as u64, n_trials as u64);
        }
        ensemble(history, &trials, share, self.costs.as_ref())
    }

    fn capabilities(&self) -> Capabilities {
        Takes::CODES.into()
    }
}

/// The rows to hold out, and the share of the others that trials learn from.
fn plan(n_rows: usize) -> (Validation, f64) {
    let n = n_rows as f64;
    match n_rows {
        0..=FEW_ROWS => (Validation::Folds(FOLDS), 1.0),
        _ => {
            let held_out = (FEW_ROWS as f64 / n).min(0.2);
            let share = TRIED_ROWS / (n * (1.0 - held_out));
            (Validation::HoldOut(held_out), share.min(1.0))
        }
    }
}
