//! A trainer for those who have a table and a minute.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::folds::{Folds, Validation, stratified};
use super::history::History;
use super::judge::{Judge, Labels, check_metric};
use super::portfolio::{Portfolio, next_batch};
use super::selection::{joined, select};
use super::tpe::Observation;
use super::trials::{Done, Trials};
use crate::error::{Error, ErrorKind, Result};
use crate::features::Takes;
use crate::metrics::Catalogue;
use crate::model::{AnyModel, EnsembleModel};
use crate::stage::Stage;
use crate::training::{Capabilities, Dataset, TrainArgs, Trained, Trainer, Trial};
use crate::transform::{FittedTransform, InputColumn};

/// Finds a model on its own: linear models, boosting and forests, their parameters, and which of them answer together.
///
/// It begins with a handful of configurations that do well on most tables, then searches those kinds of model further
/// that are best so far, by the tree-structured Parzen estimator. Up to 20,000 rows each configuration is trained on five
/// folds; from the predictions out of fold, an ensemble is selected greedily (Caruana and others, 2004), of which each
/// fold's models answer: never worse, on these rows, than the best configuration alone. Of more rows, a fifth is held out
/// (at most 20,000), configurations are tried on 50,000, and the selected ones are trained on all.
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
}

/// Trials without a budget of time, and the most with one.
const TRIALS: usize = 40;
const MOST_TRIALS: usize = 1_000;
/// Up to so many rows are divided into folds.
const FEW_ROWS: usize = 20_000;
const FOLDS: usize = 5;
/// Of more rows, trials learn from so many.
const TRIED_ROWS: f64 = 50_000.0;
/// So many trials stay candidates for the ensemble.
const CANDIDATES: usize = 12;
/// The ensemble is of at most so many configurations.
const MEMBERS: usize = 5;

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
        let unasked = match self.budget {
            Some(_) => MOST_TRIALS,
            None => TRIALS,
        };
        self.trials.unwrap_or(unasked)
    }

    /// The metric to choose by; by default, the log loss of classes and the root mean squared error of numbers.
    #[must_use]
    pub fn metric(mut self, name: impl Into<String>) -> Self {
        self.metric = Some(name.into());
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
        let judge = Judge::new(args.target(), &Catalogue::default(), self.metric.as_deref())?;
        let n_rows = args.train().n_rows();
        let rows = stratified(args.train(), args.target());
        let log = args.trials();
        let args = args.clone().with_train(rows);
        let (validation, share) = plan(n_rows);
        let folds = Folds::new(&args, validation)?;
        let portfolio = Portfolio::new(args.target(), n_rows);
        let trials = Trials {
            space: &portfolio.space,
            folds: &folds,
            validation,
            judge: &judge,
            args: &args,
            log,
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
        finish(history, &trials, share)
    }

    fn capabilities(&self) -> Capabilities {
        Takes::CODES.into()
    }
}

/// How many rows are held out, and which share of the others trials learn from.
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

/// The ensemble of the best.
fn finish(mut history: History, trials: &Trials<'_>, share: f64) -> Result<Trained<AnyModel>> {
    let Trials {
        args, judge, space, ..
    } = trials;
    let outputs = |done: &Done| {
        let parts: Vec<&Array2<f64>> = done.fits.iter().map(|fit| &fit.outputs).collect();
        joined(&parts)
    };
    let best = trials.with_fits(history.take_best()?)?;
    let all = best.iter().map(outputs).collect::<Result<Vec<_>>>()?;
    let labels = all_labels(&best[0]);
    let (taken, _) = select(judge, &all, &labels)?;
    let mut members: Vec<(usize, usize)> = taken
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, n)| *n > 0)
        .collect();
    members.sort_by_key(|(at, n)| (std::cmp::Reverse(*n), *at));
    members.truncate(MEMBERS);
    let mean = members
        .iter()
        .try_fold(Array2::<f64>::zeros(all[0].raw_dim()), |sum, (at, n)| {
            Ok::<_, Error>(sum + &all[*at] * *n as f64)
        })?;
    let total: usize = members.iter().map(|(_, n)| n).sum();
    let (value, error) = judge.value(mean / total as f64, &labels)?;
    // Fewer models than were selected may be worse than the best alone.
    let alone = judge.value(all[0].clone(), &labels)?;
    let (members, (value, error)) = match judge.loss(value) <= judge.loss(alone.0) {
        true => (members, (value, error)),
        false => (vec![(0, 1)], alone),
    };
    let mut models: Vec<(Arc<FittedTransform>, AnyModel, f64)> = Vec::new();
    for (at, n) in &members {
        let done = &best[*at];
        if share < 1.0 {
            let (rows, model) = on_all_rows(done, trials)?;
            models.push((Arc::clone(rows.transform()), model, *n as f64));
        } else {
            for fit in &done.fits {
                models.push((
                    Arc::clone(fit.parts.0.transform()),
                    fit.model.clone(),
                    *n as f64,
                ));
            }
        }
    }
    let inputs = inputs(&models);
    let model = EnsembleModel::new(models)?;
    let rows = raw_rows(args.train(), inputs, &best[members[0].0])?;
    let n_models = model.members().len();
    let trained = Trained::new(AnyModel::new(model)).behind(&rows);
    let shares = members.iter().map(|(at, n)| {
        let name = &space.alternative(&best[*at].point).name;
        serde_json::json!({ "trainer": name, "trial": number_of(&history.seen, &best[*at]), "weight": n })
    });
    let stage = serde_json::json!({ "name": "ensemble", "models": n_models, "members": shares.collect::<Vec<_>>() });
    let mut trial = Trial::new(stage, judge.metric(), value);
    trial.error = error;
    trial.share = Some(share);
    Ok(history.record(trained, judge, "auto").with_trial(trial))
}

/// The number of a trial, from 1.
fn number_of(seen: &[Observation], done: &Done) -> usize {
    let place = seen.iter().position(|trial| trial.point == done.point);
    place.map_or(0, |at| at + 1)
}

fn all_labels(done: &Done) -> Labels {
    let weights = done.fits.iter().map(|fit| fit.labels.weights.clone());
    let weights: Option<Vec<Vec<f64>>> = weights.collect();
    Labels {
        labels: done
            .fits
            .iter()
            .flat_map(|fit| fit.labels.labels.iter().copied())
            .collect(),
        weights: weights.map(|weights| weights.concat()),
    }
}

/// A configuration trained on all rows but those held out, which it stops early by.
fn on_all_rows(done: &Done, trials: &Trials<'_>) -> Result<(Dataset, AnyModel)> {
    let alternative = (
        done.point.alternative,
        trials.space.alternative(&done.point),
    );
    let fit = trials
        .folds
        .fit(0, alternative, &done.point.places, 1.0, trials.args)?;
    Ok((fit.parts.0.clone(), fit.model))
}

/// The raw columns that any of the models reads.
fn inputs(models: &[(Arc<FittedTransform>, AnyModel, f64)]) -> Vec<InputColumn> {
    let mut inputs: BTreeMap<&str, &InputColumn> = BTreeMap::new();
    for (transform, ..) in models {
        inputs.extend(
            transform
                .inputs()
                .iter()
                .map(|input| (input.name.as_str(), input)),
        );
    }
    inputs.into_values().cloned().collect()
}

/// The rows as the ensemble takes them, with what was decided of their columns for its largest part.
fn raw_rows(rows: &Dataset, inputs: Vec<InputColumn>, best: &Done) -> Result<Dataset> {
    let transform = FittedTransform::of_rows(inputs)?;
    let decided = best.fits.first().map(|fit| fit.parts.0.fitted().clone());
    let fitted = match decided {
        Some(decided) => decided.with_transform(transform),
        None => Arc::new(transform).into(),
    };
    Ok(rows.clone().with_transform(fitted))
}
