//! The four pipelines, composed.
//!
//! [`Pipeline::builder`] takes the four stages in any order. It builds only when all four are there and agree on
//! the type of the model; what is missing or does not fit is a compile error that says which call is missing.
//! What can only be known at run time (values out of range) is checked by `build()`.
//!
//! ```
//! use fourfold::prelude::*;
//!
//! let pipeline = Pipeline::builder("flights")
//!     .data(FileSource::parquet("flights/").label(Label::at_least("arr_delay", 15.0).named("late")))
//!     .train(LogisticRegression::default())
//!     .evaluate(Thresholds::new().at_least("auc", 0.65))
//!     .serve(ModelRepository::at("models"))
//!     .build()?;
//! # let _ = pipeline;
//! # Ok::<(), Error>(())
//! ```
//!
//! Architecture invariant: the four pipelines never import each other; only this module knows all of them. Held by
//! `tests/it/tidy.rs`.

mod builder;
mod compose;
mod datasets;
mod optimization;
mod record;
mod scoring;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub use self::builder::{NoData, NoEvaluation, NoServing, NoTraining, PipelineBuilder};
pub use self::compose::{
    HasData, HasEvaluation, HasServing, HasTraining, IntoData, IntoEvaluation, IntoServing,
    IntoTraining, ModelOf,
};
pub use self::datasets::dataset;
pub use self::record::{RunRecord, Setup};
pub use self::scoring::score;
use crate::blessing::Candidate;
use crate::cancellation::Cancellation;
use crate::data::{DataPipeline, DataSource, EVAL, PreparedData, TEST, TRAIN, TUNE};
use crate::engine::Engine;
use crate::error::{Error, Result, task_panic_text};
use crate::evaluation::{Evaluated, EvaluationPipeline, Validator};
use crate::model::{Loaders, ReferenceStatistics, Servable};
use crate::progress::{Progress, Step};
use crate::serving::{Server, Serving, ServingPipeline};
use crate::store::Scratch;
use crate::training::{Dataset, TrainArgs, Trainer, TrainingPipeline, TrainingRecord};
use crate::transform::FittedPlan;
use crate::warning::Warning;

/// Data, training, evaluation and serving as one; made by [`Pipeline::builder`].
#[derive(Clone, Debug)]
pub struct Pipeline<S, T, V, R> {
    name: String,
    data: Arc<DataPipeline<S>>,
    training: Arc<TrainingPipeline<T>>,
    evaluation: Arc<EvaluationPipeline<V>>,
    serving: Arc<ServingPipeline<R>>,
    root: Option<PathBuf>,
    engine: Option<Engine>,
    progress: Progress,
    loaders: Loaders,
    cancellation: Cancellation,
}

/// How a run has ended. A rejected model is a value, not an error.
#[derive(Debug)]
#[must_use = "a rejected model is no error: look which it is"]
pub enum Outcome<E> {
    /// The model was blessed and is deployed.
    Deployed {
        /// What it is reached by.
        endpoint: E,
        /// What happened.
        run: Box<RunRecord>,
    },
    /// The model was not good enough. What served before goes on serving.
    Rejected {
        /// What happened; `run.verdict` says why.
        run: Box<RunRecord>,
    },
}

impl<E> Outcome<E> {
    /// What happened.
    #[must_use]
    pub fn run(&self) -> &RunRecord {
        match self {
            Outcome::Deployed { run, .. } | Outcome::Rejected { run } => run,
        }
    }

    /// Whether the model was deployed.
    #[must_use]
    pub fn is_deployed(&self) -> bool {
        matches!(self, Outcome::Deployed { .. })
    }

    /// The endpoint, if the model was deployed.
    #[must_use]
    pub fn endpoint(self) -> Option<E> {
        match self {
            Outcome::Deployed { endpoint, .. } => Some(endpoint),
            Outcome::Rejected { .. } => None,
        }
    }
}

impl Pipeline<(), (), (), ()> {
    /// Starts a pipeline. The name is also that of its model: letters, digits, `_`, `-` and `.`.
    pub fn builder(
        name: impl Into<String>,
    ) -> PipelineBuilder<NoData, NoTraining, NoEvaluation, NoServing> {
        PipelineBuilder::new(name.into())
    }
}

impl<S, T, V, R> Pipeline<S, T, V, R>
where
    S: DataSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server that is deployed to.
    #[must_use]
    pub fn server(&self) -> &R {
        self.serving.server()
    }

    /// Runs the four pipelines, one after the other.
    ///
    /// # Errors
    /// Those of the stages, naming the stage; nothing half-written is left, and what served before goes on
    /// serving. A model that is not good enough is no error but [`Outcome::Rejected`].
    pub async fn run(&self) -> Result<Outcome<R::Endpoint>> {
        optimization::tell_once();
        let progress = self.progress.fresh();
        let engine = match &self.engine {
            Some(engine) => engine.clone(),
            None => Engine::new()?,
        };
        // Without a root, examples live as long as the run.
        let scratch;
        let dir: &Path = match &self.root {
            Some(root) => &root.join("artifacts").join("examples"),
            None => {
                scratch = Scratch::new()?;
                scratch.path()
            }
        };
        // What would stop the run at its end is asked before its beginning.
        self.serving.prepare::<T::Model>().await?;
        let data = self.data.run(&engine, dir, &progress).await?;
        (self.evaluation).check_data::<T::Model>(data.target(), data.split(EVAL)?.schema())?;
        let (candidate, training, fitted) = self.train(&data, &engine, &progress).await?;
        let loaders = candidate.loaders().clone();
        let servable = Arc::clone(candidate.servable());
        let serving = self.serving.server().serving(&self.name, &loaders).await;
        let evaluated = Arc::clone(&self.evaluation)
            .run(candidate, data.split(EVAL)?, serving, &progress)
            .await?;
        let Evaluated {
            metrics,
            baseline,
            verdict,
            model,
        } = evaluated;
        let mut run = RunRecord::new(&self.name, &data, &servable);
        run.trained(&fitted, training);
        run.evaluated(metrics, &baseline, verdict);
        if let Some(test) = data.splits().get(TEST).filter(|test| test.n_rows() > 0) {
            let _step = progress.step(Step::Evaluate);
            run.tested(self.evaluation.score(servable, test).await);
        }
        let endpoint = match model {
            Ok(blessed) => {
                let _step = progress.step(Step::Deploy);
                Some(self.serving.run(blessed).await?)
            }
            Err(_rejected) => None,
        };
        run.setup = Setup::new(&self.data, self.training.trainer())?;
        run.timed(&progress);
        let run = Box::new(run);
        Ok(match endpoint {
            Some(endpoint) => Outcome::Deployed { endpoint, run },
            None => Outcome::Rejected { run },
        })
    }

    /// As [`Pipeline::run`], for applications without a runtime. What it has deployed goes on after it returns: the
    /// runtime that it starts lives as long as the process.
    ///
    /// # Errors
    /// As [`Pipeline::run`]; [`ErrorKind::Config`](crate::ErrorKind::Config) if called from an async task, where
    /// `run().await` belongs.
    pub fn run_blocking(&self) -> Result<Outcome<R::Endpoint>> {
        static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
        if tokio::runtime::Handle::try_current().is_ok() {
            return Err(Error::config(
                "`run_blocking` was called from an async task; call `run().await` there",
            ));
        }
        let runtime = match RUNTIME.get() {
            Some(runtime) => runtime,
            None => {
                let fresh = tokio::runtime::Builder::new_multi_thread()
                    .enable_all()
                    .build()
                    .map_err(|error| Error::io("starting a runtime", error))?;
                RUNTIME.get_or_init(|| fresh)
            }
        };
        runtime.block_on(self.run())
    }

    /// Asks for the serving model to start from, if the trainer can use one; and why it cannot be used.
    async fn warm_start(
        &self,
        train: &Dataset,
        loaders: &Loaders,
    ) -> (Option<Arc<Servable>>, Option<Warning>) {
        if !self.training.trainer().uses_warm_start() {
            return (None, None);
        }
        let skipped = |reason: String| {
            let message = format!("training starts anew: {reason}");
            Warning::new("train", "warm_start_skipped", message)
        };
        let serving = self.serving.server().serving(&self.name, loaders).await;
        match serving {
            Ok(Serving::None) => (None, None),
            Ok(Serving::Model(servable))
                if !servable.target().answers_as(train.target())
                    || servable.target().label() != train.target().label() =>
            {
                let reason = "the serving model has another target".to_owned();
                (None, Some(skipped(reason)))
            }
            Ok(Serving::Model(servable))
                if servable.transform().features() != train.feature_names()
                    && !self.training.trainer().starts_by_name() =>
            {
                let reason = "the serving model has other features".to_owned();
                (None, Some(skipped(reason)))
            }
            Ok(Serving::Model(servable)) => (Some(servable), None),
            Ok(Serving::Unknown) => {
                let reason = "the server does not say what is serving".to_owned();
                (None, Some(skipped(reason)))
            }
            Err(error) => (None, Some(skipped(format!("{error:#}")))),
        }
    }

    async fn train(
        &self,
        data: &PreparedData,
        engine: &Engine,
        progress: &Progress,
    ) -> Result<(Candidate<T::Model>, TrainingRecord, FittedPlan)> {
        let step = progress.step(Step::Transform);
        let fitted = data.fit(self.training.trainer().takes(), engine).await?;
        drop(step);
        let train = dataset(data, TRAIN, &fitted)?;
        let tune = data.splits().get(TUNE).filter(|tune| tune.n_rows() > 0);
        let tune = tune.map(|_| dataset(data, TUNE, &fitted)).transpose()?;
        // Those of the model's own type, of what the transform needs, and of the application.
        let operations = train.transform().operations();
        let loaders = Loaders::default().with::<T::Model>();
        let loaders = loaders.with_operations(&operations).with_all(&self.loaders);
        let (warm_start, skipped) = self.warm_start(&train, &loaders).await;
        let cancellation = self.cancellation.child();
        let mut args = TrainArgs::new(train)
            .with_tune(tune)
            .with_engine(engine.clone())
            .with_cancellation(cancellation.clone());
        if let Some(servable) = warm_start {
            let names = servable.transform().features().to_vec();
            args = args.with_warm_start_of(Arc::clone(servable.model()), names);
        }
        let (training, progress) = (Arc::clone(&self.training), progress.clone());
        let _cancelled_with_this_future = cancellation.on_drop();
        let trained = tokio::task::spawn_blocking(move || training.run(args, &progress))
            .await
            .map_err(|error| {
                Error::model(format!("the trainer panicked{}", task_panic_text(error)))
                    .in_stage(self.training.trainer().name())
            })??;
        let fitted = trained.fitted().cloned().unwrap_or(fitted);
        let (model, mut record) = trained.into_parts();
        record.warnings.splice(0..0, skipped);
        let target = match record.threshold {
            Some(threshold) => data.target().clone().with_threshold(threshold),
            None => Ok(data.target().clone()),
        };
        let target = target.map_err(|error| error.in_stage(self.training.trainer().name()))?;
        let details = RunRecord::lineage(data, self.training.trainer())?;
        let candidate = Candidate::new(
            &self.name,
            model,
            target,
            data.schema(),
            Arc::clone(fitted.transform()),
            details,
        )?
        .with_label(self.data.label_rule()?.clone())
        .with_loaders(&loaders);
        let candidate = match data.statistics().get(TRAIN) {
            Some(training) => {
                let reference = ReferenceStatistics::new().with_training(training.clone());
                candidate.with_reference(&reference)
            }
            None => candidate,
        };
        Ok((candidate, record, fitted))
    }
}
