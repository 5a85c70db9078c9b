//! The types that the builder accepts, and the stages that it requires.

use crate::data::{DataPipeline, DataSource};
use crate::evaluation::EvaluationPipeline;
use crate::serving::ServingPipeline;
use crate::stage::Stage;
use crate::training::{Trainer, TrainingPipeline};

/// A data pipeline: a source with a label.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no label: call `.label(..)` on it before `.data(..)`",
    label = "`.label(..)` is missing",
    note = "`.data(source.label(\"column\"))` says what is to be predicted; of a source of your own, too"
)]
pub trait IntoData {
    /// The source.
    type Source: DataSource;

    /// Converts into a data pipeline.
    fn into_data(self) -> DataPipeline<Self::Source>;
}

impl<S: DataSource> IntoData for DataPipeline<S> {
    type Source = S;

    fn into_data(self) -> DataPipeline<S> {
        self
    }
}

/// A trainer, or a training pipeline.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a trainer nor a training pipeline",
    label = "expected a `Trainer` or a `TrainingPipeline`",
    note = "implement `fourfold::training::Trainer` for it, or pass a closure to `.train_with(name, version, ..)`"
)]
pub trait IntoTraining {
    /// The trainer.
    type Trainer: Trainer;

    /// Converts into a training pipeline.
    fn into_training(self) -> TrainingPipeline<Self::Trainer>;
}

impl<T: Trainer> IntoTraining for T {
    type Trainer = T;

    fn into_training(self) -> TrainingPipeline<T> {
        TrainingPipeline::new(self)
    }
}

impl<T: Trainer> IntoTraining for TrainingPipeline<T> {
    type Trainer = T;

    fn into_training(self) -> TrainingPipeline<T> {
        self
    }
}

/// A validator, or an evaluation pipeline.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a validator nor an evaluation pipeline",
    label = "expected a `Validator` or an `EvaluationPipeline`",
    note = "implement `fourfold::evaluation::Validator` for it, or use `Thresholds`"
)]
pub trait IntoEvaluation {
    /// The validator.
    type Validator: Stage;

    /// Converts into an evaluation pipeline.
    fn into_evaluation(self) -> EvaluationPipeline<Self::Validator>;
}

impl<V: Stage> IntoEvaluation for V {
    type Validator = V;

    fn into_evaluation(self) -> EvaluationPipeline<V> {
        EvaluationPipeline::new(self)
    }
}

impl<V: Stage> IntoEvaluation for EvaluationPipeline<V> {
    type Validator = V;

    fn into_evaluation(self) -> EvaluationPipeline<V> {
        self
    }
}

/// A server, or a serving pipeline.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a server nor a serving pipeline",
    label = "expected a `Server` or a `ServingPipeline`",
    note = "implement `fourfold::serving::Server` for it, or use `ModelRepository` or `InProcess`"
)]
pub trait IntoServing {
    /// The server.
    type Server: Stage;

    /// Converts into a serving pipeline.
    fn into_serving(self) -> ServingPipeline<Self::Server>;
}

impl<R: Stage> IntoServing for R {
    type Server = R;

    fn into_serving(self) -> ServingPipeline<R> {
        ServingPipeline::new(self)
    }
}

impl<R: Stage> IntoServing for ServingPipeline<R> {
    type Server = R;

    fn into_serving(self) -> ServingPipeline<R> {
        self
    }
}

/// The data pipeline is set.
#[diagnostic::on_unimplemented(
    message = "the pipeline has no data: call `.data(..)` before `.build()`",
    label = "`.data(..)` is missing"
)]
pub trait HasData {
    /// The source.
    type Source: DataSource;

    /// The data pipeline.
    fn data(self) -> DataPipeline<Self::Source>;
}

impl<S: DataSource> HasData for DataPipeline<S> {
    type Source = S;

    fn data(self) -> DataPipeline<S> {
        self
    }
}

/// The training pipeline is set.
#[diagnostic::on_unimplemented(
    message = "the pipeline has no trainer: call `.train(..)` before `.build()`",
    label = "`.train(..)` is missing"
)]
pub trait HasTraining {
    /// The trainer.
    type Trainer: Trainer;

    /// The training pipeline.
    fn training(self) -> TrainingPipeline<Self::Trainer>;
}

impl<T: Trainer> HasTraining for TrainingPipeline<T> {
    type Trainer = T;

    fn training(self) -> TrainingPipeline<T> {
        self
    }
}

/// The evaluation pipeline is set.
#[diagnostic::on_unimplemented(
    message = "the pipeline has no validator: call `.evaluate(..)` before `.build()`",
    label = "`.evaluate(..)` is missing"
)]
pub trait HasEvaluation {
    /// The validator.
    type Validator: Stage;

    /// The evaluation pipeline.
    fn evaluation(self) -> EvaluationPipeline<Self::Validator>;
}

impl<V: Stage> HasEvaluation for EvaluationPipeline<V> {
    type Validator = V;

    fn evaluation(self) -> EvaluationPipeline<V> {
        self
    }
}

/// The serving pipeline is set.
#[diagnostic::on_unimplemented(
    message = "the pipeline has no server: call `.serve(..)` before `.build()`",
    label = "`.serve(..)` is missing"
)]
pub trait HasServing {
    /// The server.
    type Server: Stage;

    /// The serving pipeline.
    fn serving(self) -> ServingPipeline<Self::Server>;
}

impl<R: Stage> HasServing for ServingPipeline<R> {
    type Server = R;

    fn serving(self) -> ServingPipeline<R> {
        self
    }
}

/// The type of the model that a pipeline's trainer makes.
pub type ModelOf<T> = <<T as HasTraining>::Trainer as Trainer>::Model;
