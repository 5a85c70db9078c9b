//! The training pipeline: examples in, model out.
//!
//! A [`Trainer`] is the stage a user implements; [`TrainingPipeline`] runs one. A trainer gets the `train` and
//! `eval` splits as [`Dataset`]s: features behind the fitted transform, and labels, as a matrix or batch by batch.
//!
//! # Writing your own trainer
//!
//! ```
//! use fourfold::model::ConstantModel;
//! use fourfold::training::{TrainArgs, Trainer};
//! use fourfold::{Result, Stage};
//! use serde::Serialize;
//!
//! /// Predicts the mean label.
//! #[derive(Serialize)]
//! struct Mean;
//!
//! impl Stage for Mean {
//!     fn name(&self) -> &str {
//!         "mean"
//!     }
//! }
//!
//! impl Trainer for Mean {
//!     type Model = ConstantModel;
//!
//!     fn train(&self, args: TrainArgs<'_, ConstantModel>) -> Result<ConstantModel> {
//!         let (mut sum, mut n) = (0.0, 0.0);
//!         for batch in args.train().batches() {
//!             let batch = batch?;
//!             sum += batch.labels().sum();
//!             n += batch.labels().len() as f64;
//!         }
//!         Ok(ConstantModel::new(args.train().n_features(), vec![sum / n]))
//!     }
//! }
//! ```
//!
//! # Trainers here
//!
//! | trainer | tasks | model |
//! | --- | --- | --- |
//! | [`LogisticRegression`] | classes | [`LinearModel`](crate::model::LinearModel) |
//! | [`LinearRegression`] | regression | [`LinearModel`](crate::model::LinearModel) |
//! | [`Linear`] | all | the one of the two above that fits the task |
//! | [`DecisionTree`] | classes | [`TreeModel`](crate::model::TreeModel) |
//! | [`Constant`] | all | [`ConstantModel`](crate::model::ConstantModel) |
//!
//! All but the last are adapters of linfa (feature `linfa`).

#[cfg(feature = "linfa")]
mod auto;
mod constant;
mod dataset;
#[cfg(feature = "linfa")]
mod decision_tree;
#[cfg(feature = "linfa")]
mod linear_regression;
#[cfg(feature = "linfa")]
mod logistic_regression;

use serde::Serialize;

#[cfg(feature = "linfa")]
pub use self::auto::Linear;
pub use self::constant::Constant;
pub use self::dataset::{Dataset, Matrix};
#[cfg(feature = "linfa")]
pub use self::decision_tree::DecisionTree;
#[cfg(feature = "linfa")]
pub use self::linear_regression::LinearRegression;
#[cfg(feature = "linfa")]
pub use self::logistic_regression::LogisticRegression;
use crate::error::{Error, Result};
use crate::model::{Model, Predict, Target};
use crate::progress::{Progress, Step};
use crate::stage::{Stage, StageFn};

/// Examples in, model out: the stage of the training pipeline that a user implements.
///
/// `train` is synchronous and runs off the async threads; it may take as long and as many threads as it likes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a trainer",
    label = "this is not a `Trainer`",
    note = "implement `fourfold::training::Trainer` for it, or pass a closure to `.train_with(name, version, ..)`"
)]
pub trait Trainer: Stage {
    /// The model that is made.
    type Model: Model;

    /// Trains on `args.train()`. Equal arguments must give equal models.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if no model comes of it;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the trainer does not do the task.
    fn train(&self, args: TrainArgs<'_, Self::Model>) -> Result<Self::Model>;
}

impl<F, M> Trainer for StageFn<F, M>
where
    F: Fn(TrainArgs<'_, M>) -> Result<M> + Send + Sync + 'static,
    M: Model,
{
    type Model = M;

    fn train(&self, args: TrainArgs<'_, M>) -> Result<M> {
        (self.call)(args)
    }
}

/// What a trainer is given.
#[derive(Clone, Copy, Debug)]
pub struct TrainArgs<'a, M> {
    train: &'a Dataset,
    eval: &'a Dataset,
    seed: u64,
    warm_start: Option<&'a M>,
    progress: &'a Progress,
}

impl<'a, M> TrainArgs<'a, M> {
    /// The rows to learn from.
    #[must_use]
    pub fn train(&self) -> &'a Dataset {
        self.train
    }

    /// Rows held out, to stop early or to choose with. The validators judge by them too.
    #[must_use]
    pub fn eval(&self) -> &'a Dataset {
        self.eval
    }

    /// What is predicted.
    #[must_use]
    pub fn target(&self) -> &'a Target {
        self.train.target()
    }

    /// Where all randomness must come from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The previous model, to start from, if there is one and the pipeline was told to.
    #[must_use]
    pub fn warm_start(&self) -> Option<&'a M> {
        self.warm_start
    }

    /// Where to report to.
    #[must_use]
    pub fn progress(&self) -> &'a Progress {
        self.progress
    }
}

/// The default training pipeline: one trainer, one seed.
#[derive(Clone, Debug, Serialize)]
pub struct TrainingPipeline<T> {
    trainer: T,
    seed: u64,
}

impl<T: Trainer> TrainingPipeline<T> {
    /// A pipeline of a trainer, with seed 0.
    #[must_use]
    pub fn new(trainer: T) -> Self {
        TrainingPipeline { trainer, seed: 0 }
    }

    /// Sets the seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The trainer.
    #[must_use]
    pub fn trainer(&self) -> &T {
        &self.trainer
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// As [`Stage::check`], naming the trainer.
    pub fn check(&self) -> Result<()> {
        self.trainer
            .check()
            .map_err(|error| error.in_stage(self.trainer.name()))
    }

    /// Trains.
    ///
    /// # Errors
    /// Those of the trainer, naming it; and [`ErrorKind::Model`](crate::ErrorKind::Model) if its model does not
    /// fit the features or the target.
    pub fn run(
        &self,
        train: &Dataset,
        eval: &Dataset,
        warm_start: Option<&T::Model>,
        progress: &Progress,
    ) -> Result<T::Model> {
        let _step = progress.step(Step::Train);
        let args = TrainArgs {
            train,
            eval,
            seed: self.seed,
            warm_start,
            progress,
        };
        let in_stage = |error: Error| error.in_stage(self.trainer.name());
        let model = self.trainer.train(args).map_err(in_stage)?;
        let shape = (model.n_features(), model.n_outputs());
        let wanted = (train.n_features(), train.target().n_outputs());
        if shape != wanted {
            return Err(in_stage(Error::model(format!(
                "the model takes {} features and has {} outputs, must be {} and {}",
                shape.0, shape.1, wanted.0, wanted.1
            ))));
        }
        Ok(model)
    }
}
