//! The typed builder.

use std::sync::Arc;
use std::time::Duration;

use super::Pipeline;
use super::compose::{
    HasData, HasEvaluation, HasServing, HasTraining, IntoData, IntoEvaluation, IntoServing,
    IntoTraining, ModelOf,
};
use super::limits::{Limits, Retry};
use crate::blessing::Verdict;
use crate::cancellation::Cancellation;
use crate::data::{DataPipeline, DataSource};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::evaluation::{EvalArgs, EvaluationPipeline, Validator};
use crate::model::Loaders;
use crate::progress::{Event, Progress};
use crate::runs::{ModelCard, Root, RunLabels};
use crate::serving::{Server, ServingPipeline};
use crate::stage::{Stage, StageFn};
use crate::training::{IntoTrained, TrainArgs, Trainer, TrainingPipeline};

/// No data yet.
#[derive(Clone, Copy, Debug)]
pub struct NoData;

/// No trainer yet.
#[derive(Clone, Copy, Debug)]
pub struct NoTraining;

/// No validator yet.
#[derive(Clone, Copy, Debug)]
pub struct NoEvaluation;

/// No server yet.
#[derive(Clone, Copy, Debug)]
pub struct NoServing;

/// A builder whose types say which stages are set. See [the module](crate::pipeline).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `.build()`"]
pub struct PipelineBuilder<D, T, V, R> {
    data: D,
    training: T,
    evaluation: V,
    serving: R,
    settings: Settings,
}

impl PipelineBuilder<NoData, NoTraining, NoEvaluation, NoServing> {
    pub(super) fn new(name: String) -> Self {
        PipelineBuilder {
            data: NoData,
            training: NoTraining,
            evaluation: NoEvaluation,
            serving: NoServing,
            settings: Settings {
                name,
                root: None,
                cache: true,
                labels: RunLabels::default(),
                limits: Limits::default(),
                engine: None,
                progress: Progress::default(),
                loaders: Loaders::default(),
                cancellation: Cancellation::new(),
            },
        }
    }
}

/// The options that do not depend on the types of the stages.
#[derive(Clone, Debug)]
struct Settings {
    name: String,
    root: Option<Root>,
    cache: bool,
    labels: RunLabels,
    limits: Limits,
    engine: Option<Engine>,
    progress: Progress,
    loaders: Loaders,
    cancellation: Cancellation,
}

impl<D, T, V, R> PipelineBuilder<D, T, V, R> {
    /// Sets the data pipeline; `source.label("column")` makes one of a source.
    pub fn data<N: IntoData>(self, data: N) -> PipelineBuilder<DataPipeline<N::Source>, T, V, R> {
        PipelineBuilder {
            data: data.into_data(),
            training: self.training,
            evaluation: self.evaluation,
            serving: self.serving,
            settings: self.settings,
        }
    }

    /// Sets the trainer, or the [`TrainingPipeline`].
    pub fn train<N: IntoTraining>(
        self,
        training: N,
    ) -> PipelineBuilder<D, TrainingPipeline<N::Trainer>, V, R> {
        PipelineBuilder {
            data: self.data,
            training: training.into_training(),
            evaluation: self.evaluation,
            serving: self.serving,
            settings: self.settings,
        }
    }

    /// Sets a closure as the trainer, with a name and a version. It returns a model, or a
    /// [`Trained`](crate::training::Trained) one.
    ///
    /// ```
    /// use fourfold::model::ConstantModel;
    /// use fourfold::prelude::*;
    ///
    /// let builder = Pipeline::builder("half").train_with("half", 1, |args: &TrainArgs| {
    ///     Ok(ConstantModel::new(args.train().n_features(), vec![0.5]))
    /// });
    /// # let _ = builder;
    /// ```
    pub fn train_with<F, N>(
        self,
        name: impl Into<String>,
        version: u32,
        train: F,
    ) -> PipelineBuilder<D, TrainingPipeline<StageFn<F, N>>, V, R>
    where
        F: Fn(&TrainArgs) -> Result<N> + Send + Sync + 'static,
        N: IntoTrained + 'static,
    {
        let trainer = StageFn::new(name, version, train);
        PipelineBuilder {
            data: self.data,
            training: TrainingPipeline::new(trainer),
            evaluation: self.evaluation,
            serving: self.serving,
            settings: self.settings,
        }
    }

    /// Sets the validator, or the [`EvaluationPipeline`].
    pub fn evaluate<N: IntoEvaluation>(
        self,
        evaluation: N,
    ) -> PipelineBuilder<D, T, EvaluationPipeline<N::Validator>, R> {
        PipelineBuilder {
            data: self.data,
            training: self.training,
            evaluation: evaluation.into_evaluation(),
            serving: self.serving,
            settings: self.settings,
        }
    }

    /// Sets a closure as the validator, with a name and a version; call it after `.train(..)`, which sets the model's type.
    pub fn validate_with<F>(
        self,
        name: impl Into<String>,
        version: u32,
        validate: F,
    ) -> PipelineBuilder<D, T, EvaluationPipeline<StageFn<F, ModelOf<T>>>, R>
    where
        T: HasTraining,
        F: Fn(EvalArgs<'_, ModelOf<T>>) -> Result<Verdict> + Send + Sync + 'static,
    {
        let validator = StageFn::new(name, version, validate);
        PipelineBuilder {
            data: self.data,
            training: self.training,
            evaluation: EvaluationPipeline::new(validator),
            serving: self.serving,
            settings: self.settings,
        }
    }

    /// Sets the server, or the [`ServingPipeline`].
    pub fn serve<N: IntoServing>(
        self,
        serving: N,
    ) -> PipelineBuilder<D, T, V, ServingPipeline<N::Server>> {
        PipelineBuilder {
            data: self.data,
            training: self.training,
            evaluation: self.evaluation,
            serving: serving.into_serving(),
            settings: self.settings,
        }
    }

    /// Sets the directory that stores the outputs and records of runs: see [`runs`](crate::runs). The next run executes only
    /// stages whose inputs have changed. Without a root, nothing is stored, and examples live in a temporary directory during
    /// the run.
    pub fn root(mut self, dir: impl Into<Root>) -> Self {
        self.settings.root = Some(dir.into());
        self
    }

    /// Sets whether recorded outputs in the [root](PipelineBuilder::root) are reused, which is the default. Otherwise every
    /// stage runs, and is recorded.
    pub fn cache(mut self, cache: bool) -> Self {
        self.settings.cache = cache;
        self
    }

    /// Adds a tag to each run.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.labels.tags.insert(name.into(), value.into());
        self
    }

    /// Adds a note to each run.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.settings.labels.notes.push(note.into());
        self
    }

    /// Sets the model card, for the [reports](crate::report) of the runs.
    pub fn card(mut self, card: ModelCard) -> Self {
        self.settings.labels.card = card;
        self
    }

    /// Sets the version of the application, such as its commit, which is recorded with each run. It does not affect caching:
    /// when the code of a stage changes, raise its [`version`](crate::Stage::version).
    pub fn code_version(mut self, version: impl Into<String>) -> Self {
        self.settings.labels.code_version = Some(version.into());
        self
    }

    /// Retries a [stage](crate::runs), such as `extract`, after a transient failure:
    /// [`Io`](crate::ErrorKind::Io), [`Unavailable`](crate::ErrorKind::Unavailable),
    /// [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted) or
    /// [`DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded). With a [root](PipelineBuilder::root), the stages before it
    /// are not run again.
    pub fn retry(mut self, stage: impl Into<String>, retry: Retry) -> Self {
        self.settings.limits.retry(stage.into(), retry);
        self
    }

    /// Limits the time of a [stage](crate::runs), such as `train`, which fails with
    /// [`DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded) after it. Trainers of this crate stop then; code that ignores its
    /// cancellation continues in its thread, and its result is dropped.
    pub fn time_limit(mut self, stage: impl Into<String>, limit: Duration) -> Self {
        self.settings.limits.time(stage.into(), limit);
        self
    }

    /// Sets the engine that work over all rows runs on.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.settings.engine = Some(engine);
        self
    }

    /// Adds loaders of models that the types of the pipeline do not name: models within a model, and models that an earlier run
    /// deployed with another trainer. They load models for the trial before a deployment, the baseline, warm starts and
    /// servers.
    pub fn loaders(mut self, loaders: Loaders) -> Self {
        self.settings.loaders = loaders;
        self
    }

    /// Sets the token that cancels runs. A cancelled run ends with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) within a
    /// second in the stages of this crate. A trainer or validator of yours that ignores the token is waited for, and named in the
    /// log. Dropping the future of a run cancels its trainer, too.
    pub fn cancellation(mut self, cancellation: Cancellation) -> Self {
        self.settings.cancellation = cancellation;
        self
    }

    /// Sets a listener for the progress of runs. It is called from several threads and should return quickly.
    pub fn observe(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.settings.progress = Progress::to(listener);
        self
    }

    /// Builds the pipeline. It compiles when all four stages are set, and the validator and the server accept the trainer's
    /// model.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a stage is configured with an invalid value, naming the stage, the
    /// field, the value and the allowed range.
    pub fn build<S, N, J, E>(self) -> Result<Pipeline<S, N, J, E>>
    where
        D: HasData<Source = S>,
        T: HasTraining<Trainer = N>,
        V: HasEvaluation<Validator = J>,
        R: HasServing<Server = E>,
        S: DataSource,
        N: Trainer,
        V::Validator: Validator<ModelOf<T>>,
        R::Server: Server<ModelOf<T>>,
        J: Stage,
        E: Stage,
    {
        let settings = self.settings;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if settings.name.is_empty()
            || settings.name.starts_with('.')
            || !settings.name.bytes().all(plain)
        {
            return Err(Error::config(format!(
                "pipeline name `{}` must be of letters, digits, `_`, `-` and `.`, and not start with a dot",
                settings.name
            )));
        }
        let pipeline = Pipeline {
            name: settings.name,
            data: Arc::new(self.data.data()),
            training: Arc::new(self.training.training()),
            evaluation: Arc::new(self.evaluation.evaluation()),
            serving: Arc::new(self.serving.serving()),
            root: settings.root,
            cache: settings.cache,
            labels: settings.labels,
            limits: settings.limits,
            engine: settings.engine,
            progress: settings.progress,
            loaders: settings.loaders,
            cancellation: settings.cancellation,
        };
        pipeline
            .data
            .check()
            .map_err(|error| error.in_stage("data"))?;
        pipeline.training.check()?;
        pipeline.evaluation.check::<ModelOf<T>>()?;
        let trainer = pipeline.training.trainer();
        let kept = trainer.capabilities().directions;
        (pipeline.evaluation).check_directions(trainer.name(), &kept)?;
        pipeline.serving.check()?;
        pipeline.limits.check()?;
        let server = pipeline.serving.server();
        if pipeline.evaluation.asks_for_serving::<ModelOf<T>>()
            && !Server::<ModelOf<T>>::knows_serving(server)
        {
            return Err(Error::config(format!(
                "the candidate is to be compared with the model that is serving, and server `{}` cannot tell which that \
                 is; implement `Server::serving` and `knows_serving` for it, or set `EvaluationPipeline::baseline(dir)`",
                server.name()
            ))
            .in_stage("evaluate"));
        }
        Ok(pipeline)
    }
}
