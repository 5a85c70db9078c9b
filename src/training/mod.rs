//! The training pipeline: examples in, model out.
//!
//! A [`Trainer`] is the stage a user implements; [`TrainingPipeline`] runs one. A trainer gets [`TrainArgs`]: rows as
//! [`Dataset`]s (features behind the fitted transform, and labels, as a matrix or batch by batch), a seed, and what it
//! may use. It gives a [`Trained`] model. Anyone can make [`TrainArgs`], so a trainer may call another: bagging,
//! calibration and cross-validation are trainers around trainers.
//!
//! # Writing your own trainer
//!
//! ```
//! use fourfold::model::ConstantModel;
//! use fourfold::training::{TrainArgs, Trained, Trainer};
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
//!     fn train(&self, args: &TrainArgs) -> Result<Trained<ConstantModel>> {
//!         let (mut sum, mut n) = (0.0, 0.0);
//!         for batch in args.train().batches() {
//!             let batch = batch?;
//!             sum += batch.labels().sum();
//!             n += batch.labels().len() as f64;
//!         }
//!         Ok(ConstantModel::new(args.train().n_features(), vec![sum / n]).into())
//!     }
//! }
//! ```
//!
//! # Progress, stopping, warm start and what is no configuration
//!
//! A trainer that iterates says how far it is by [`TrainArgs::progress`]: who
//! [observes](crate::pipeline::PipelineBuilder::observe) the run hears of it as
//! [`Event::Advanced`](crate::progress::Event::Advanced). Between iterations it looks at [`TrainArgs::cancellation`]. To start
//! from the model that serves, it says so by [`Trainer::capabilities`], without which none is loaded, and asks for it by its
//! type. Of those here linear models do so by themselves, for they end at the same weights but sooner, and boosting if
//! [`GradientBoosting::continue_serving`] is set. The stage's fields are its configuration, which fingerprints and reports are made of: `#[serde(skip)]` keeps a channel, a handle or a
//! secret out.
//!
//! ```
//! use std::sync::mpsc::Sender;
//!
//! use fourfold::model::{LinearModel, Link};
//! use fourfold::ndarray::{Array1, Array2};
//! use fourfold::training::{Capabilities, TrainArgs, Trained, Trainer, WarmStart};
//! use fourfold::{Result, Stage};
//! use serde::Serialize;
//!
//! /// The intercept alone, step by step.
//! #[derive(Serialize)]
//! struct Descent {
//!     rounds: u64,
//!     #[serde(skip)]
//!     losses: Option<Sender<f64>>,
//! }
//!
//! impl Stage for Descent {
//!     fn name(&self) -> &str {
//!         "descent"
//!     }
//! }
//!
//! impl Trainer for Descent {
//!     type Model = LinearModel;
//!
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::new().warm_start(WarmStart::SameFeatures)
//!     }
//!
//!     fn train(&self, args: &TrainArgs) -> Result<Trained<LinearModel>> {
//!         let before = args.warm_start::<LinearModel>();
//!         let mut intercept = before.map_or(0.0, |model| model.intercepts()[0]);
//!         let mut trained_for = 0;
//!         for round in 0..self.rounds {
//!             args.cancellation().check()?;
//!             let (mut residuals, mut n) = (0.0, 0.0);
//!             for batch in args.train().batches() {
//!                 let batch = batch?;
//!                 residuals += batch.labels().mapv(|label| label - intercept).sum();
//!                 n += batch.labels().len() as f64;
//!             }
//!             intercept += residuals / n / 2.0;
//!             if let Some(losses) = &self.losses {
//!                 // Nobody need listen.
//!                 let _ = losses.send(residuals / n);
//!             }
//!             trained_for = round + 1;
//!             args.progress().advance(trained_for, self.rounds);
//!         }
//!         let weights = Array2::zeros((1, args.train().n_features()));
//!         let model = LinearModel::new(Link::Identity, &weights, &Array1::from_elem(1, intercept))?;
//!         Ok(Trained::new(model).with_best_iteration(trained_for))
//!     }
//! }
//! # let stage = Descent { rounds: 3, losses: Some(std::sync::mpsc::channel().0) };
//! # assert_eq!(stage.configuration()?.to_string(), r#"{"rounds":3}"#);
//! # Ok::<(), fourfold::Error>(())
//! ```
//!
//! # Trainers here
//!
//! | trainer | tasks | model |
//! | --- | --- | --- |
//! | [`GradientBoosting`] | all | [`ForestModel`](crate::model::ForestModel) |
//! | [`RandomForest`] | all | [`ForestModel`](crate::model::ForestModel) |
//! | [`LogisticRegression`] | classes | [`LinearModel`](crate::model::LinearModel) |
//! | [`LinearRegression`] | regression | [`LinearModel`](crate::model::LinearModel) |
//! | [`GeneralizedLinear`] | regression of counts and amounts | [`LinearModel`](crate::model::LinearModel) |
//! | [`StreamingLogistic`] | classes | [`LinearModel`](crate::model::LinearModel) |
//! | [`Linear`] | all | the one of the two above that fits the task |
//! | [`DecisionTree`] | all | [`ForestModel`](crate::model::ForestModel) |
//! | `Linfa` (feature `linfa`) | that of the estimator | `LinfaModel`: any estimator of linfa |
//! | [`Constant`] | all | [`ConstantModel`](crate::model::ConstantModel) |
//!
//! # Memory
//!
//! | trainer | rows | takes, for `n` rows of `d` columns and `f` features of the matrix |
//! | --- | --- | --- |
//! | [`LinearRegression`] | streams, one pass | `8 * f²` bytes, some times at once as long as that is at most 256 MB; of more than 4,096 features it holds the rows |
//! | [`StreamingLogistic`] | streams, a pass an epoch | 24 bytes a feature and output, and a batch |
//! | [`Constant`] | streams, one pass | a batch |
//! | [`LogisticRegression`], [`GeneralizedLinear`] | holds all | `n * (8 d + 48)` while they are read, half of it then |
//! | [`GradientBoosting`] | holds all | `n * (10 d + 64 + 8 * outputs)`, and up to 256 MB of histograms |
//! | [`RandomForest`], [`DecisionTree`] | holds all | `n * (10 d + 64)`, and the trees: 60 bytes a leaf |
//! | `Linfa` | holds all, dense | `n * f` floats, and what the estimator takes |
//!
//! Those that hold all rows estimate what they take first, and refuse what is beyond the [engine's
//! limit](crate::engine::Engine::with_memory_limit), where it has one. Trainers around a trainer take what it takes.
//!
//! Around any of them, or a trainer of your own:
//!
//! | trainer | tasks | what it adds |
//! | --- | --- | --- |
//! | [`Calibrated`] | classes | probabilities that mean what they say |
//! | [`Thresholded`] | two classes | the decision threshold that costs least |
//! | [`Conformal`] | regression | intervals that hold the label as often as they say |
//! | [`ConformalSets`] | classes | sets of classes that hold the label as often as they say |
//! | [`Bagged`] | all | the mean of a model a fold, and predictions out of fold |
//! | [`ByRows`] | all | one trainer for few rows, another for many |
//! | [`Explained`] | all | permutation importances of the raw columns |
//!
//! `examples/extend.rs` shows such a trainer and a test of it alone.

mod accumulating;
mod any;
mod args;
mod auto;
mod bagged;
mod batches;
mod by_rows;
mod calibrated;
mod capabilities;
mod conformal;
mod conformal_sets;
mod constant;
mod dataset;
mod decision_tree;
mod folds;
mod generalized_linear;
mod gradient_boosting;
mod hold_out;
mod importance;
mod linear_regression;
mod linear_rows;
#[cfg(feature = "linfa")]
mod linfa;
mod logistic_regression;
mod margins;
mod matrix;
mod memory;
mod random;
mod random_forest;
mod scored;
mod streaming_logistic;
mod table;
mod thresholded;
mod trained;
mod trees;

use serde::{Serialize, Serializer};

pub use self::accumulating::AccumulateFeatures;
pub use self::any::AnyTrainer;
use self::any::Erased;
pub use self::args::TrainArgs;
pub use self::auto::Linear;
pub use self::bagged::{Bagged, OutOfFold};
pub use self::batches::BatchOptions;
pub use self::by_rows::ByRows;
pub(crate) use self::calibrated::sigmoid;
pub use self::calibrated::{Calibrated, CalibrationMethod};
pub use self::capabilities::{Capabilities, WarmStart};
pub use self::conformal::Conformal;
pub use self::conformal_sets::ConformalSets;
pub use self::constant::Constant;
pub use self::dataset::Dataset;
pub use self::decision_tree::DecisionTree;
pub use self::generalized_linear::GeneralizedLinear;
pub use self::gradient_boosting::{GradientBoosting, RegressionLoss};
pub use self::hold_out::{HoldOut, HoldOutBy};
pub use self::importance::Explained;
pub use self::linear_regression::LinearRegression;
#[cfg(feature = "linfa")]
pub use self::linfa::Linfa;
pub use self::logistic_regression::LogisticRegression;
pub use self::matrix::Matrix;
pub(crate) use self::memory::SharedMemory;
pub(crate) use self::random::Random;
pub use self::random_forest::RandomForest;
pub(crate) use self::scored::Scored;
pub use self::streaming_logistic::StreamingLogistic;
pub use self::table::Table;
pub use self::thresholded::Thresholded;
pub(crate) use self::thresholded::{Costs, cheapest};
pub use self::trained::{
    CurvePoint, ExplainedRow, Importance, IntoTrained, Trained, TrainingRecord, Trial,
};
use crate::error::{Error, Result};
pub use crate::features::Direction;
use crate::model::{Model, Predict};
use crate::progress::{Progress, Step};
use crate::stage::{Stage, StageFn, serialize_stage};

/// Examples in, model out: the stage of the training pipeline that a user implements.
///
/// `train` is synchronous and runs off the async threads; it may take as long as it likes. It can be a trait object:
/// see [`AnyTrainer`] for trainers of several kinds.
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
    fn train(&self, args: &TrainArgs) -> Result<Trained<Self::Model>>;

    /// The features that it takes, and its abilities; by default, a matrix of finite numbers and no more.
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }

    /// The trainer with the type of its model forgotten.
    fn erase(self) -> AnyTrainer
    where
        Self: Sized + Serialize,
    {
        Box::new(Erased(self))
    }
}

impl<F, T> Trainer for StageFn<F, T>
where
    F: Fn(&TrainArgs) -> Result<T> + Send + Sync + 'static,
    T: IntoTrained + 'static,
{
    type Model = T::Model;

    fn train(&self, args: &TrainArgs) -> Result<Trained<T::Model>> {
        (self.call)(args).map(T::into_trained)
    }
}

impl<M: Model> Serialize for dyn Trainer<Model = M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_stage(self, serializer)
    }
}

impl<T: Trainer + ?Sized> Trainer for Box<T>
where
    Box<T>: Serialize,
{
    type Model = T::Model;

    fn train(&self, args: &TrainArgs) -> Result<Trained<T::Model>> {
        (**self).train(args)
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }
}

/// The default training pipeline: one trainer, one seed.
#[derive(Clone, Debug, Serialize)]
pub struct TrainingPipeline<T> {
    trainer: T,
    seed: u64,
    #[serde(skip)]
    threads: usize,
}

impl<T: Trainer> TrainingPipeline<T> {
    /// A pipeline of a trainer, with seed 0, on all threads of the machine.
    #[must_use]
    pub fn new(trainer: T) -> Self {
        TrainingPipeline {
            trainer,
            seed: 0,
            threads: 0,
        }
    }

    /// Sets the seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The seed that was set.
    pub(crate) fn configured_seed(&self) -> u64 {
        self.seed
    }

    /// The most threads that the trainer may keep busy; 0, the default, is all that the machine has. The model does not
    /// depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
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

    /// Trains, with its own seed and threads. The model comes with the [transform](Trained::fitted) that it was trained
    /// behind.
    ///
    /// # Errors
    /// Those of the trainer, naming it; and [`ErrorKind::Model`](crate::ErrorKind::Model) if its model does not
    /// fit the features or the target.
    pub fn run(&self, args: TrainArgs, progress: &Progress) -> Result<Trained<T::Model>> {
        let step = progress.step(Step::Train);
        let args = args
            .with_seed(self.seed)
            .with_threads(self.threads)
            .with_progress(step.meter());
        let in_stage = |error: Error| error.in_stage(self.trainer.name());
        let mut trained = self.trainer.train(&args).map_err(in_stage)?;
        if trained.fitted().is_none() {
            trained = trained.behind(args.train());
        }
        let model = trained.model();
        let shape = (model.n_features(), model.n_outputs());
        let fitted = trained.fitted().unwrap_or(args.train().fitted());
        let n_features = fitted.transform().features().len();
        let wanted = (n_features, args.target().n_outputs());
        if shape != wanted {
            return Err(in_stage(Error::model(format!(
                "the model takes {} features and has {} outputs, must be {} and {}",
                shape.0, shape.1, wanted.0, wanted.1
            ))));
        }
        Ok(trained)
    }
}
