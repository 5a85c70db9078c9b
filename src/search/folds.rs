//! The rows that trials learn from and are judged by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ndarray::Array2;
use serde::Serialize;

use super::judge::Labels;
use super::space::Alternative;
use crate::error::{Error, Result};
use crate::features::Takes;
use crate::model::{AnyModel, Target};
use crate::training::{Dataset, HoldOut, HoldOutBy, Scored, TrainArgs};

/// The rows that trials are evaluated on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Validation {
    /// The rows to [tune](TrainArgs::tune) by. Where there are none, a share of 0.2 is held out.
    #[default]
    Tune,
    /// A share of the rows is held out, whether there are rows to tune by or not.
    HoldOut(f64),
    /// Cross-validation with this many folds: each row is predicted once, by a model that has not seen it. Folds are those of
    /// [`Dataset::fold`]: by row, stratified, by group or by time, as the rows are held out. The transform is fitted for
    /// each fold on its own rows; the data is read once a pass for all folds.
    Folds(usize),
}

impl Validation {
    pub(super) fn check(self) -> Result<()> {
        match self {
            Validation::HoldOut(share) if !(share > 0.0 && share < 1.0) => Err(Error::config(
                format!("`validation` holds out {share}, must be above 0 and below 1"),
            )),
            Validation::Folds(n) if !(2..=100).contains(&n) => Err(Error::config(format!(
                "`validation` is of {n} folds, must be from 2 to 100"
            ))),
            _ => Ok(()),
        }
    }
}

/// The folds of a search, behind each transform that a trial needs. Each is fitted once.
#[derive(Debug)]
pub(super) struct Folds {
    rows: Dataset,
    folds: Vec<HoldOut>,
    /// Whether the held-out rows are those to tune by, so that the models of trials are whole.
    pub(super) are_whole: bool,
    /// The number of folds that divide the rows; there may be several such divisions, one after the other. `None` if rows
    /// are held out otherwise.
    crossed: Option<usize>,
    prepared: Mutex<HashMap<Key, Slot>>,
}

/// The alternative whose transform it is (none for the pipeline's), the form of the features, the share of the rows, and
/// the number of folds, from the first.
type Key = (Option<usize>, Takes, u64, usize);
/// The folds behind a transform, once they are made: until then, other threads wait.
type Slot = Arc<Mutex<Option<Arc<[HoldOut]>>>>;

/// A trained model, with its predictions for the rows that its fold held out.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub(super) model: AnyModel,
    /// The rows that it learned from, behind its transform.
    pub(super) rows: Dataset,
    /// `(n_rows, n_outputs)` of the held-out rows.
    pub(super) outputs: Array2<f64>,
    pub(super) labels: Labels,
    pub(super) best_iteration: Option<u64>,
    /// The decision threshold that the trainer chose.
    pub(super) threshold: Option<f64>,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Folds {
    /// Folds that divide the rows `times` times, or another hold-out.
    pub(super) fn new(args: &TrainArgs, validation: Validation, times: u64) -> Result<Self> {
        let train = args.train();
        let mut are_whole = false;
        let folds = match (validation, args.tune()) {
            (Validation::Tune, Some(tune)) => {
                are_whole = true;
                vec![HoldOut {
                    train: train.clone(),
                    held_out: tune.clone(),
                }]
            }
            (Validation::Tune, None) => vec![train.hold_out(0.2)?],
            (Validation::HoldOut(share), _) => vec![train.hold_out(share)?],
            (Validation::Folds(of), _) => {
                let all = (0..times).map(|again| train.folds_again(of, again));
                all.collect::<Result<Vec<_>>>()?.concat()
            }
        };
        Ok(Folds {
            rows: train.clone(),
            folds,
            are_whole,
            crossed: match validation {
                Validation::Folds(of) => Some(of),
                Validation::Tune | Validation::HoldOut(_) => None,
            },
            prepared: Mutex::default(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.folds.len()
    }

    /// The number of folds that divide the rows.
    pub(super) fn of(&self) -> usize {
        self.crossed.unwrap_or(1)
    }

    /// The first `n` folds behind the transform of an alternative, with a share of their rows to learn from.
    fn prepared(
        &self,
        (at, alternative): (usize, &Alternative),
        share: f64,
        n: usize,
    ) -> Result<Arc<[HoldOut]>> {
        let own = alternative.transform.as_ref().map(|_| at);
        let key = (own, alternative.takes, share.to_bits(), n);
        let slot = Arc::clone(locked(&self.prepared).entry(key).or_default());
        let mut slot = locked(&slot);
        if let Some(folds) = &*slot {
            return Ok(Arc::clone(folds));
        }
        let folds: Arc<[HoldOut]> = self.prepare(alternative, share, n)?.into();
        *slot = Some(Arc::clone(&folds));
        Ok(folds)
    }

    fn prepare(&self, alternative: &Alternative, share: f64, n: usize) -> Result<Vec<HoldOut>> {
        let folds = &self.folds[..n];
        let is_planned = self.rows.fitted().plan().is_some();
        if let Some(of) = self.crossed.filter(|_| share >= 1.0 && is_planned) {
            let transform = alternative.transform.as_ref();
            let refit = |folds| self.rows.refit_folds(folds, transform, alternative.takes);
            let all = folds.chunks(of).map(refit).collect::<Result<Vec<_>>>()?;
            return Ok(all.concat());
        }
        let of_fold = |fold: &HoldOut| {
            let mut train = fold.train.clone();
            if share < 1.0 {
                train = train.hold_out(share)?.held_out;
            }
            let train = refit(&train, alternative)?;
            let held_out = fold.held_out.clone();
            Ok(HoldOut {
                held_out: held_out.with_transform(train.fitted().clone()),
                train,
            })
        };
        folds.iter().map(of_fold).collect()
    }

    /// Trains a trial on a fold, one of the first `of`, and predicts the rows held out.
    pub(super) fn fit(
        &self,
        (fold, of): (usize, usize),
        alternative: (usize, &Alternative),
        places: &[f64],
        share: f64,
        args: &TrainArgs,
    ) -> Result<Fit> {
        let folds = self.prepared(alternative, share, of)?;
        let HoldOut { train, held_out } = &folds[fold];
        let args = args
            .clone()
            .with_train(train.clone())
            .with_tune(held_out.clone());
        let trained = alternative.1.trainer(places)?.train(&args)?;
        let (model, record) = trained.into_parts();
        let scored = Scored::of(&model, held_out)?;
        held_out.target().check_outputs(scored.outputs.view())?;
        Ok(Fit {
            model,
            rows: train.clone(),
            outputs: scored.outputs,
            labels: Labels {
                labels: scored.labels.to_vec(),
                weights: scored.weights.map(|weights| weights.to_vec()),
            },
            best_iteration: record.best_iteration,
            threshold: record.threshold,
        })
    }
}

/// Rows behind the transform that an alternative needs, fitted on them.
pub(super) fn refit(rows: &Dataset, alternative: &Alternative) -> Result<Dataset> {
    match &alternative.transform {
        Some(transform) => rows.refit_with(transform.clone(), alternative.takes),
        // A transform that came fitted stays.
        None if rows.fitted().plan().is_none() => Ok(rows.clone()),
        None => rows.refit(alternative.takes),
    }
}

/// Folds of as many rows of each class, unless the rows are held out by something else.
pub(super) fn stratified(rows: &Dataset, target: &Target) -> Dataset {
    match rows.holds_out_by() {
        HoldOutBy::Row if !target.classes().is_empty() => {
            rows.clone().hold_out_by(HoldOutBy::Stratified)
        }
        _ => rows.clone(),
    }
}
