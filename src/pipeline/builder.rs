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

/// A pipeline that is being put together; its types say what is there. See [the module](crate::pipeline).
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

/// What has no type to agree on.
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
    /// The data pipeline. Of a bare source, `source.label("column")` makes one.
    pub fn data<N: IntoData>(self, data: N) -> PipelineBuilder<DataPipeline<N::Source>, T, V, R> {
        PipelineBuilder {
            data: data.into_data(),
            training: self.training,
            evaluation: self.evaluation,
            serving: self.serving,
            settings: self.settings,
        }
    }

    /// The trainer, or a [`TrainingPipeline`].
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

    /// A closure as the trainer, with a name and a version. It returns a model, or a
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

    /// The validator, or an [`EvaluationPipeline`].
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

    /// A closure as the validator, with a name and a version; after `.train(..)`, which tells the model's type.
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

    /// The server, or a [`ServingPipeline`].
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

    /// A directory where all that runs make is kept, with a record of each: see [`runs`](crate::runs). The next run makes
    /// only what has to be made anew. Without one, nothing is kept, and examples live in a temporary directory as long as
    /// the run.
    pub fn root(mut self, dir: impl Into<Root>) -> Self {
        self.settings.root = Some(dir.into());
        self
    }

    /// Whether what is on record in the [root](PipelineBuilder::root) is used; it is unless told. Without, every stage
    /// runs, and is put on record.
    pub fn cache(mut self, cache: bool) -> Self {
        self.settings.cache = cache;
        self
    }

    /// Tags each run, for those who look for it later.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.labels.tags.insert(name.into(), value.into());
        self
    }

    /// Adds a note to each run.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.settings.labels.notes.push(note.into());
        self
    }

    /// What people say of the model, for the [reports](crate::report) of its runs.
    pub fn card(mut self, card: ModelCard) -> Self {
        self.settings.labels.card = card;
        self
    }

    /// The version of the application, such as its commit, which is put on record with each run. It changes no result: for
    /// code of yours that does, raise its [`version`](crate::Stage::version).
    pub fn code_version(mut self, version: impl Into<String>) -> Self {
        self.settings.labels.code_version = Some(version.into());
        self
    }

    /// Tries a [stage](crate::runs), such as `extract`, again when it fails for a reason that may pass:
    /// [`Io`](crate::ErrorKind::Io), [`Unavailable`](crate::ErrorKind::Unavailable),
    /// [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted) or
    /// [`DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded). With a [root](PipelineBuilder::root), the stages before it
    /// are not run again.
    pub fn retry(mut self, stage: impl Into<String>, retry: Retry) -> Self {
        self.settings.limits.retry(stage.into(), retry);
        self
    }

    /// Ends a [stage](crate::runs), such as `train`, with [`DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded) if it takes
    /// longer. A trainer of this crate stops then; what does not look at its cancellation goes on in its thread, unheard.
    pub fn time_limit(mut self, stage: impl Into<String>, limit: Duration) -> Self {
        self.settings.limits.time(stage.into(), limit);
        self
    }

    /// The engine that work over all rows runs on.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.settings.engine = Some(engine);
        self
    }

    /// The loaders of models that the pipeline does not know by its types: those within a model of models, and those
    /// that an earlier run, with another trainer, has deployed. The trial before a deployment, the baseline, the model
    /// that a trainer starts from and the servers load by them.
    pub fn loaders(mut self, loaders: Loaders) -> Self {
        self.settings.loaders = loaders;
        self
    }

    /// What tells runs to stop. A run that is told ends with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled)
    /// once its trainer looks; so does the trainer of a run whose future is dropped.
    pub fn cancellation(mut self, cancellation: Cancellation) -> Self {
        self.settings.cancellation = cancellation;
        self
    }

    /// Tells a listener how each run goes. It is called from several threads and should return soon.
    pub fn observe(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.settings.progress = Progress::to(listener);
        self
    }

    /// Builds the pipeline. It compiles when all four stages are there, and the validator and the server are those
    /// of the trainer's model.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a stage is configured with a value it does not take,
    /// naming the stage, the field, the value and the allowed range.
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
