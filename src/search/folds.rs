//! The rows that trials learn from and are judged by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::Array2;
use serde::Serialize;

use super::judge::Labels;
use super::space::Alternative;
use crate::error::{Error, Result};
use crate::features::Takes;
use crate::model::{AnyModel, Predict, Target};
use crate::training::{Dataset, HoldOut, HoldOutBy, TrainArgs};

/// How rows are held out to judge trials by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Validation {
    /// The rows to [tune](TrainArgs::tune) by; where there are none, a share of 0.2 is held out.
    #[default]
    Tune,
    /// A share of the rows is held out, whether there are rows to tune by or not.
    HoldOut(f64),
    /// So many folds: each row is judged once, by a model that has not seen it. Folds are those of
    /// [`Dataset::fold`]: by row, stratified, by group or by time, as the rows are held out.
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

/// Rows with those held out of them.
type Parts = Arc<(Dataset, Dataset)>;

/// The folds of a search, behind each transform that a trial needs. Each is fitted once.
#[derive(Debug)]
pub(super) struct Folds {
    folds: Vec<(Dataset, Dataset)>,
    /// Whether the held-out rows are those to tune by, so that the models of trials are whole.
    pub(super) are_whole: bool,
    prepared: Mutex<HashMap<Key, Parts>>,
}

/// The fold, the alternative whose transform it is (none for the pipeline's), what is taken, and the share of rows.
type Key = (usize, Option<usize>, Takes, u64);

/// What a trial was given and made of it.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub(super) model: AnyModel,
    pub(super) parts: Parts,
    /// `(n_rows, n_outputs)` of the held-out rows.
    pub(super) outputs: Array2<f64>,
    pub(super) labels: Labels,
    pub(super) best_iteration: Option<u64>,
    /// The decision threshold that the trainer chose.
    pub(super) threshold: Option<f64>,
}

impl Folds {
    pub(super) fn new(args: &TrainArgs, validation: Validation) -> Result<Self> {
        let train = args.train();
        let parts = |parts: HoldOut| (parts.train, parts.held_out);
        let mut are_whole = false;
        let folds = match (validation, args.tune()) {
            (Validation::Tune, Some(tune)) => {
                are_whole = true;
                vec![(train.clone(), tune.clone())]
            }
            (Validation::Tune, None) => vec![parts(train.hold_out(0.2)?)],
            (Validation::HoldOut(share), _) => vec![parts(train.hold_out(share)?)],
            (Validation::Folds(of), _) => {
                let folds = (0..of).map(|fold| train.fold(fold, of).map(parts));
                folds.collect::<Result<_>>()?
            }
        };
        Ok(Folds {
            folds,
            are_whole,
            prepared: Mutex::default(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.folds.len()
    }

    /// A fold behind the transform of an alternative, with a share of its rows to learn from.
    fn prepared(
        &self,
        fold: usize,
        (at, alternative): (usize, &Alternative),
        share: f64,
    ) -> Result<Parts> {
        let own = alternative.transform.as_ref().map(|_| at);
        let key = (fold, own, alternative.takes, share.to_bits());
        let lock = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parts) = lock().get(&key) {
            return Ok(Arc::clone(parts));
        }
        let (train, held_out) = &self.folds[fold];
        let mut train = train.clone();
        if share < 1.0 {
            train = train.hold_out(share)?.held_out;
        }
        let train = refit(&train, alternative)?;
        let held_out = held_out.clone().with_transform(train.fitted().clone());
        let parts = Arc::new((train, held_out));
        // Two trials may have fitted it at once: both are equal.
        lock().insert(key, Arc::clone(&parts));
        Ok(parts)
    }

    /// Trains a trial on a fold and answers the rows held out.
    pub(super) fn fit(
        &self,
        fold: usize,
        alternative: (usize, &Alternative),
        places: &[f64],
        share: f64,
        args: &TrainArgs,
    ) -> Result<Fit> {
        let parts = self.prepared(fold, alternative, share)?;
        let args = args
            .clone()
            .with_train(parts.0.clone())
            .with_tune(parts.1.clone());
        let trained = alternative.1.trainer(places)?.train(&args)?;
        let (model, record) = trained.into_parts();
        let (outputs, labels) = answers(&model, &parts.1)?;
        Ok(Fit {
            model,
            parts,
            outputs,
            labels,
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

/// A model's outputs for rows, with their labels. Weights of classes are left out: the rows count as they will.
pub(super) fn answers(model: &impl Predict, rows: &Dataset) -> Result<(Array2<f64>, Labels)> {
    let weighting = rows.weighting().clone().without_classes();
    let table = rows.clone().weighted(weighting).table(model.takes())?;
    let outputs = model.predict(table.features())?;
    rows.target().check_outputs(outputs.view())?;
    let labels = Labels {
        labels: table.labels().to_vec(),
        weights: table.weights().map(|weights| weights.to_vec()),
    };
    Ok((outputs, labels))
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
