//! Several models instead of one.

use std::sync::Arc;

use ndarray::{Array1, Array2, Axis, concatenate};
use serde::Serialize;

use super::scored::Scored;
use super::trained::threshold_left_out;
use super::{Capabilities, TrainArgs, Trained, Trainer};
use crate::error::{Error, Result};
use crate::model::{AnyModel, BaggedModel};
use crate::stage::Stage;

/// The mean of a model a fold: each is trained without its fold, which it gets to [tune](TrainArgs::tune) by (to stop
/// early, say), unless there are other rows for that.
///
/// The predictions of each model for its own fold are honest predictions of all rows; see [`Bagged::train_out_of_fold`].
/// Folds are those of [`Dataset::fold`](super::Dataset::fold).
#[derive(Clone, Debug, Serialize)]
pub struct Bagged<T: Trainer> {
    #[serde(serialize_with = "crate::serialize_stage")]
    trainer: T,
    folds: usize,
}

/// The predictions of models for rows that they were not trained on, fold after fold.
#[derive(Clone, Debug, PartialEq)]
pub struct OutOfFold {
    /// `(n_rows, n_outputs)`.
    pub outputs: Array2<f64>,
    /// `(n_rows)`, see [`Table::labels`](super::Table::labels).
    pub labels: Array1<f64>,
    /// `(n_rows)`; without those of classes.
    pub weights: Option<Array1<f64>>,
    /// `(n_rows)`: the fold of each row.
    pub folds: Array1<usize>,
}

impl<T: Trainer> Bagged<T> {
    /// A bag of five folds.
    #[must_use]
    pub fn new(trainer: T) -> Self {
        Bagged { trainer, folds: 5 }
    }

    /// The number of folds, and so of models: at least 2.
    #[must_use]
    pub fn folds(mut self, n: usize) -> Self {
        self.folds = n;
        self
    }

    /// Trains, and keeps what the models predict for the rows that they were not trained on: to choose between trainers,
    /// or to train another model on.
    ///
    /// # Errors
    /// Those of the trainer within and of [`Dataset::fold`](super::Dataset::fold).
    pub fn train_out_of_fold(&self, args: &TrainArgs) -> Result<(Trained<BaggedModel>, OutOfFold)> {
        let previous = args.warm_start_by_name::<BaggedModel>();
        let (mut models, mut scored) = (Vec::new(), Vec::new());
        let mut warnings = Vec::new();
        for fold in 0..self.folds {
            args.cancellation().check()?;
            let parts = args.train().fold(fold, self.folds)?;
            let mut own = args.clone().with_train(parts.train);
            if own.tune().is_none() {
                own = own.with_tune(parts.held_out.clone());
            }
            if let Some((bag, names)) = previous
                && let Some(model) = bag.models().get(fold)
            {
                own = own.with_warm_start_of(Arc::new(model.clone()), names);
            }
            let trained = self.trainer.train(&own)?;
            trained.refuse_other_transform(&own, self.name())?;
            let (model, record) = trained.into_parts();
            let model = AnyModel::new(model);
            scored.push(Scored::of(&model, &parts.held_out)?);
            models.push(model);
            warnings.extend(record.warnings);
            warnings.extend(record.threshold.map(threshold_left_out));
            args.progress().advance(fold as u64 + 1, self.folds as u64);
        }
        let trained = Trained::new(BaggedModel::new(models)?);
        let trained = warnings.into_iter().fold(trained, Trained::with_warning);
        Ok((trained, OutOfFold::of(&scored)?))
    }
}

impl OutOfFold {
    fn of(scored: &[Scored]) -> Result<Self> {
        let odd = |_| Error::internal("folds of different shapes");
        let outputs: Vec<_> = scored.iter().map(|fold| fold.outputs.view()).collect();
        let labels: Vec<_> = scored.iter().map(|fold| fold.labels.view()).collect();
        let weights: Option<Vec<_>> = scored
            .iter()
            .map(|fold| fold.weights.as_ref().map(|weights| weights.view()))
            .collect();
        let weights = weights.map(|weights| concatenate(Axis(0), &weights));
        let folds = scored.iter().enumerate();
        Ok(OutOfFold {
            outputs: concatenate(Axis(0), &outputs).map_err(odd)?,
            labels: concatenate(Axis(0), &labels).map_err(odd)?,
            weights: weights.transpose().map_err(odd)?,
            folds: folds
                .flat_map(|(number, fold)| std::iter::repeat_n(number, fold.labels.len()))
                .collect(),
        })
    }
}

impl<T: Trainer> Stage for Bagged<T> {
    fn name(&self) -> &str {
        "bagged"
    }

    fn check(&self) -> Result<()> {
        if self.folds < 2 {
            return Err(Error::config(format!(
                "`folds` is {}, must be at least 2",
                self.folds
            )));
        }
        self.trainer.check()
    }
}

impl<T: Trainer> Trainer for Bagged<T> {
    type Model = BaggedModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<BaggedModel>> {
        Ok(self.train_out_of_fold(args)?.0)
    }

    fn capabilities(&self) -> Capabilities {
        self.trainer.capabilities()
    }
}
