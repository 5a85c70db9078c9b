//! The parts that trainers around a trainer share: its model, rows to tune by, and the model's outputs for them.

use std::sync::Arc;

use ndarray::{Array1, Array2};

use super::calibrated::ScoredRow;
use super::{Dataset, TrainArgs, Trained, Trainer, TrainingRecord};
use crate::error::{Error, Result};
use crate::model::{AnyModel, Model, Predict};
use crate::transform::FittedPlan;
use crate::warning::Warning;

impl TrainArgs {
    /// With rows to tune by: those that are there, or a share held out of the rows to train on.
    pub(super) fn with_rows_to_tune(&self, fraction: f64) -> Result<TrainArgs> {
        if self.tune().is_some() {
            return Ok(self.clone());
        }
        let parts = self.train().hold_out(fraction)?;
        Ok(self
            .clone()
            .with_train(parts.train)
            .with_tune(parts.held_out))
    }

    pub(super) fn rows_to_tune(&self) -> Result<&Dataset> {
        self.tune()
            .ok_or_else(|| Error::internal("there are no rows to tune by"))
    }

    /// The same with the rows to tune by behind the transform that a model was trained behind, where that is another one.
    pub(super) fn behind_that_of<M>(self, trained: &Trained<M>) -> TrainArgs {
        match (trained.fitted(), self.tune().cloned()) {
            (Some(fitted), Some(tune)) => self.with_tune(tune.with_transform(fitted.clone())),
            _ => self,
        }
    }

    /// With the model within the model to start from, for the trainer within a trainer.
    pub(super) fn warm_start_within<M: Model>(self, within: fn(&M) -> &AnyModel) -> TrainArgs {
        let previous = self.warm_start_by_name::<M>();
        match previous.map(|(model, names)| (within(model).clone(), names.to_vec())) {
            Some((model, names)) => self.with_warm_start_of(Arc::new(model), names),
            None => self,
        }
    }
}

/// The model of the trainer within a trainer, and the rows that it was trained and will be measured on.
pub(super) struct Inner {
    pub(super) model: AnyModel,
    /// With rows to tune by.
    pub(super) args: TrainArgs,
    /// The transform that the model was trained behind, where it is another one.
    fitted: Option<FittedPlan>,
    record: TrainingRecord,
}

impl Inner {
    /// Trains `trainer`, starting from the model within a previous model of type `M`. Where there are no rows to tune by, a
    /// share of the rows is held out.
    pub(super) fn train<T: Trainer, M: Model>(
        trainer: &T,
        args: &TrainArgs,
        hold_out: f64,
        within: fn(&M) -> &AnyModel,
    ) -> Result<Self> {
        let args = args.with_rows_to_tune(hold_out)?;
        let trained = trainer.train(&args.clone().warm_start_within(within))?;
        args.cancellation().check()?;
        let fitted = trained.fitted().cloned();
        let (model, record) = trained.into_parts();
        Ok(Inner {
            model: AnyModel::new(model),
            args,
            fitted,
            record,
        })
    }

    /// The rows to tune by behind the transform of the model.
    pub(super) fn rows_to_tune(&self) -> Result<Dataset> {
        let rows = self.args.rows_to_tune()?.clone();
        Ok(match &self.fitted {
            Some(fitted) => rows.with_transform(fitted.clone()),
            None => rows,
        })
    }

    /// Returns true if the model has another transform than the rows.
    pub(super) fn has_own_transform(&self) -> bool {
        let ours = self.args.train().transform();
        let own = self.fitted.as_ref();
        own.is_some_and(|fitted| !Arc::ptr_eq(fitted.transform(), ours))
    }

    /// A model around this one, with its record and more warnings.
    pub(super) fn finish<M>(self, model: M, warnings: Vec<Warning>) -> Trained<M> {
        let trained = Trained::new(model)
            .with_record(self.record)
            .with_fitted(self.fitted);
        warnings.into_iter().fold(trained, Trained::with_warning)
    }
}

/// A model's outputs `(n_rows, n_outputs)` for the rows of a dataset, with their labels and weights. Weights of classes
/// are left out: the rows count as they do where the model will be used.
pub(crate) struct Scored {
    pub(crate) outputs: Array2<f64>,
    pub(crate) labels: Array1<f64>,
    pub(crate) weights: Option<Array1<f64>>,
}

impl Scored {
    pub(crate) fn of(model: &dyn Predict, rows: &Dataset) -> Result<Self> {
        let rows = rows
            .clone()
            .weighted(rows.weighting().clone().without_classes());
        let table = rows.table(model.takes())?;
        Ok(Scored {
            outputs: model.predict(table.features())?,
            labels: table.labels().to_owned(),
            weights: table.weights().map(|weights| weights.to_owned()),
        })
    }

    pub(super) fn weight(&self, row: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| weights[row])
    }

    /// The rows by the probability of an output, which speaks for a class.
    pub(crate) fn rows_of(&self, output: usize, class: usize) -> Vec<ScoredRow> {
        let rows = self.outputs.column(output).into_iter().zip(&self.labels);
        rows.enumerate()
            .map(|(row, (probability, label))| ScoredRow {
                probability: *probability,
                hit: f64::from(u8::from(*label == class as f64)),
                weight: self.weight(row),
            })
            .collect()
    }
}
