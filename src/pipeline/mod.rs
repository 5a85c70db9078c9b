//! The four pipelines, composed.
//!
//! [`Pipeline::builder`] takes the four stages in any order. It builds only when all four are set and agree on the type of
//! the model; otherwise the compile error names the missing call. `build()` checks values at run time, such as ranges.
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
//! # A service that retrains its model
//!
//! [`InProcess`](crate::serving::InProcess) serves within this process: open its endpoint once, for the routes of the
//! application; it follows every deployment. `examples/retrain.rs` is the whole service.
//!
//! ```no_run
//! use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
//! use fourfold::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Flight {
//!     hour: i64,
//!     carrier: String,
//! }
//!
//! /// The probability by the version that is serving.
//! async fn predict_late(
//!     State(flights): State<Endpoint>,
//!     Json(flight): Json<Flight>,
//! ) -> Result<Json<f64>, (StatusCode, String)> {
//!     let answer = (flights.predictor()).and_then(|now| now.typed()?.predict(&flight));
//!     let failed = |error: Error| (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}"));
//!     answer.map(Json).map_err(failed)
//! }
//!
//! /// Trains on a month of flights and deploys the model, unless it is worse than the serving one.
//! async fn retrain(server: &InProcess, month: u32) -> fourfold::Result<Outcome<Endpoint>> {
//!     let flights = format!("examples/data/flights/2013-{month:02}.parquet");
//!     let late = Label::at_least("arr_delay", 15.0).named("late");
//!     let features = Transform::new().one_hot("hour").one_hot("carrier");
//!     let pipeline = Pipeline::builder("late-flights")
//!         .data(FileSource::parquet(flights).label(late).transform(features))
//!         .train(LogisticRegression::default())
//!         .evaluate(Thresholds::new().no_worse_than_baseline("auc", 0.02))
//!         .serve(server.clone());
//!     pipeline.build()?.run().await
//! }
//!
//! # async fn service() -> fourfold::Result<()> {
//! let server = InProcess::at("models").keep_newest(3);
//! let flights = server.open("late-flights").await?;
//! let app: Router = Router::new().route("/late", post(predict_late)).with_state(flights);
//! # let _ = app;
//! # retrain(&server, 1).await.map(drop)
//! # }
//! ```
//!
//! Architecture invariant: the four pipelines never import each other; only this module knows all of them. Held by
//! `tests/it/tidy.rs`.

mod builder;
mod compose;
mod datasets;
mod explain;
mod facts;
mod limits;
mod on_record;
mod optimization;
mod preparing;
mod record;
mod requirements;
mod scoring;
mod session;
mod shown;
mod stages;
mod tasks;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

pub use self::builder::{NoData, NoEvaluation, NoServing, NoTraining, PipelineBuilder};
pub use self::compose::{
    HasData, HasEvaluation, HasServing, HasTraining, IntoData, IntoEvaluation, IntoServing,
    IntoTraining, ModelOf,
};
pub use self::datasets::dataset;
use self::limits::Limits;
pub use self::limits::Retry;
pub use self::record::{RunRecord, Setup};
pub use self::requirements::{MistakeCosts, Requirements};
pub use self::scoring::score;
use self::session::Session;
use crate::blessing::{Candidate, Serving};
use crate::cancellation::Cancellation;
use crate::data::{DataPipeline, DataSource, PreparedData, TRAIN, TUNE};
use crate::engine::Engine;
use crate::error::{Error, Result, near_names, shortened, task_panic_text};
use crate::evaluation::{EvaluationPipeline, Validator};
use crate::model::{Loaders, ReferenceStatistics, Servable};
use crate::progress::{Progress, Step};
use crate::runs::{Root, Run, RunLabels, TrialLog};
use crate::serving::{Server, ServingPipeline};
use crate::training::{Dataset, TrainArgs, Trainer, TrainingPipeline, TrainingRecord, WarmStart};
use crate::transform::FittedPlan;
use crate::warning::Warning;

/// Data, training, evaluation and serving composed; built by [`Pipeline::builder`].
#[derive(Clone, Debug)]
pub struct Pipeline<S, T, V, R> {
    name: String,
    data: Arc<DataPipeline<S>>,
    training: Arc<TrainingPipeline<T>>,
    evaluation: Arc<EvaluationPipeline<V>>,
    serving: Arc<ServingPipeline<R>>,
    root: Option<Root>,
    cache: bool,
    labels: RunLabels,
    limits: Limits,
    engine: Option<Engine>,
    progress: Progress,
    loaders: Loaders,
    cancellation: Cancellation,
}

/// The runtime for applications without one.
fn blocking_runtime() -> Result<&'static tokio::runtime::Runtime> {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    if tokio::runtime::Handle::try_current().is_ok() {
        return Err(Error::config(
            "`run_blocking` was called from an async task; call `run().await` there",
        ));
    }
    Ok(match RUNTIME.get() {
        Some(runtime) => runtime,
        None => {
            let fresh = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(|error| Error::io("starting a runtime", error))?;
            RUNTIME.get_or_init(|| fresh)
        }
    })
}

/// The stages of a pipeline in order.
const STAGES: [&str; 6] = [
    "extract", "prepare", "train", "evaluate", "verdict", "deploy",
];

/// The outcome of a run. A rejected model is a value, not an error.
#[derive(Debug)]
#[must_use = "a rejected model is not an error: match on the outcome"]
pub enum Outcome<E> {
    /// The model was blessed and deployed.
    Deployed {
        /// The endpoint of the model.
        endpoint: E,
        /// The record of the run.
        run: Box<RunRecord>,
    },
    /// The model was not good enough. The model that was serving keeps serving.
    Rejected {
        /// The record of the run; `run.verdict` has the reasons.
        run: Box<RunRecord>,
    },
}

impl<E> Outcome<E> {
    /// The record of the run.
    #[must_use]
    pub fn run(&self) -> &RunRecord {
        match self {
            Outcome::Deployed { run, .. } | Outcome::Rejected { run } => run,
        }
    }

    /// Returns true if the model was deployed.
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
    /// Starts a pipeline. Its model has the same name: letters, digits, `_`, `-` and `.`.
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

    /// The pipeline with another source for one run, which gets a tag.
    pub(crate) fn over(&self, source: S, tag: (&str, String)) -> Self {
        let mut labels = self.labels.clone();
        labels.tags.insert(tag.0.to_owned(), tag.1);
        Pipeline {
            name: self.name.clone(),
            data: Arc::new(self.data.over(source)),
            training: Arc::clone(&self.training),
            evaluation: Arc::clone(&self.evaluation),
            serving: Arc::clone(&self.serving),
            root: self.root.clone(),
            cache: self.cache,
            labels,
            limits: self.limits.clone(),
            engine: self.engine.clone(),
            progress: self.progress.clone(),
            loaders: self.loaders.clone(),
            cancellation: self.cancellation.clone(),
        }
    }

    pub(crate) fn data(&self) -> &DataPipeline<S> {
        &self.data
    }

    pub(crate) fn root(&self) -> Option<&Root> {
        self.root.as_ref()
    }

    pub(crate) fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }

    /// The server to deploy to.
    #[must_use]
    pub fn server(&self) -> &R {
        self.serving.server()
    }

    /// Runs the four pipelines one after the other. With a [root](PipelineBuilder::root), recorded outputs are reused where
    /// nothing has changed.
    ///
    /// # Errors
    /// Those of the stages, naming the stage; nothing half-written is left, and the serving model keeps serving. A model that
    /// is not good enough is not an error but [`Outcome::Rejected`].
    pub async fn run(&self) -> Result<Outcome<R::Endpoint>> {
        optimization::tell_once();
        let session = Session::open(self, None).await?;
        let outcome = self.run_until_done(&session).await;
        let closed = session.close(outcome.as_ref().err()).await;
        // The error of the run takes precedence over that of recording it.
        let outcome = outcome?;
        closed.map(|()| outcome)
    }

    /// Runs, and retries from the failed stage as often as its limits allow.
    async fn run_until_done(
        &self,
        session: &Session<'_, S, T, V, R>,
    ) -> Result<Outcome<R::Endpoint>> {
        loop {
            let error = match self.run_all(session).await {
                Err(error) if !session.is_done() => error,
                ended => return ended,
            };
            match session.again_after(&error) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            }
        }
    }

    async fn run_all(&self, session: &Session<'_, S, T, V, R>) -> Result<Outcome<R::Endpoint>> {
        // A server that cannot be deployed to fails before any work is done.
        self.serving.prepare::<T::Model>().await?;
        let mut data = session.data().await?;
        let mut trained = session.train(&mut data).await?;
        let (judged, already) = session.judge(&mut data, &mut trained).await?;
        let endpoint = session.deploy(&mut trained, &judged, already).await?;
        let mut run = RunRecord::new(&self.name, data.facts, trained.facts);
        run.warnings.splice(0..0, optimization::warning());
        let label = judged.findings.label.as_ref();
        let detectable = label.map(|label| {
            let evaluation = &self.evaluation;
            evaluation.detectable::<T::Model>(&run.target, label)
        });
        run.judged(
            judged.findings,
            judged.verdict,
            detectable.unwrap_or_default(),
        );
        run.setup = Setup::new(&self.data, &self.training)?;
        run.card = self.labels.card.clone();
        run.timed(&session.progress);
        (run.id, run.reused, run.ran) = session.stages();
        let run = Box::new(run);
        Ok(match endpoint {
            Some(endpoint) => Outcome::Deployed { endpoint, run },
            None => Outcome::Rejected { run },
        })
    }

    /// Runs one of the stages that [`runs`](crate::runs) names, from the outputs that the stages before it stored in the root,
    /// possibly in another process or on another day, as orchestrators do. If its own outputs are recorded, they are reused.
    ///
    /// # Errors
    /// As [`Pipeline::run`]; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if its inputs are not recorded, or the stage
    /// does not exist; [`ErrorKind::Config`](crate::ErrorKind::Config) if the pipeline has no root.
    pub async fn run_stage(&self, stage: &str) -> Result<Run> {
        let known = STAGES.iter().find(|known| **known == stage);
        let stage = known.copied().ok_or_else(|| {
            Error::not_found(format!(
                "there is no stage `{}`{}",
                shortened(stage),
                near_names(stage, STAGES)
            ))
        })?;
        let root = self.root.as_ref().ok_or_else(|| {
            Error::config("a pipeline without a root records nothing; call `.root(dir)`")
        })?;
        let session = Session::open(self, Some(stage)).await?;
        let ended = match self.run_until_done(&session).await {
            Ok(_) => Ok(()),
            Err(_) if session.is_done() => Ok(()),
            Err(error) => Err(error),
        };
        let closed = session.close(ended.as_ref().err()).await;
        ended?;
        closed?;
        let (root, id) = (root.clone(), session.stages().0.unwrap_or_default());
        session::blocking(move || root.run(&id)).await
    }

    /// As [`Pipeline::run`], for applications without a runtime. Its deployments keep serving after it returns: the runtime
    /// that it starts lives as long as the process.
    ///
    /// # Errors
    /// As [`Pipeline::run`]; [`ErrorKind::Config`](crate::ErrorKind::Config) if called from an async task: use `run().await`
    /// there.
    pub fn run_blocking(&self) -> Result<Outcome<R::Endpoint>> {
        blocking_runtime()?.block_on(self.run())
    }

    /// As [`Pipeline::run_stage`], for applications without a runtime.
    ///
    /// # Errors
    /// As [`Pipeline::run_stage`] and [`Pipeline::run_blocking`].
    pub fn run_stage_blocking(&self, stage: &str) -> Result<Run> {
        blocking_runtime()?.block_on(self.run_stage(stage))
    }

    /// The serving model to start from, if the trainer can use it; otherwise a warning with the reason.
    fn warm_start(
        &self,
        train: &Dataset,
        serving: Result<Serving>,
    ) -> (Option<Arc<Servable>>, Option<Warning>) {
        let skipped = |reason: String| {
            let message = format!("training starts anew: {reason}");
            Warning::new("train", "warm_start_skipped", message)
        };
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
                    && self.training.trainer().capabilities().warm_start
                        != Some(WarmStart::ByName) =>
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
        serving: Option<Result<Serving>>,
        engine: &Engine,
        progress: &Progress,
        trials: Option<TrialLog>,
    ) -> Result<(Candidate<T::Model>, TrainingRecord, FittedPlan)> {
        let step = progress.step(Step::Transform);
        let fitted = data
            .fit(self.training.trainer().capabilities().takes, engine)
            .await?;
        drop(step);
        let train = dataset(data, TRAIN, &fitted)?;
        let tune = data.splits().get(TUNE).filter(|tune| tune.n_rows() > 0);
        let tune = tune.map(|_| dataset(data, TUNE, &fitted)).transpose()?;
        // The loaders of the model's type, of the transform's operations, and of the application.
        let operations = train.transform().operations();
        let loaders = Loaders::default().with::<T::Model>();
        let loaders = loaders.with_operations(&operations).with_all(&self.loaders);
        let warm_start = serving.map(|serving| self.warm_start(&train, serving));
        let (warm_start, skipped) = warm_start.unwrap_or_default();
        let cancellation = self.cancellation.child();
        let mut args = TrainArgs::new(train)
            .with_tune(tune)
            .with_engine(engine.clone())
            .with_cancellation(cancellation.clone());
        if let Some(servable) = warm_start {
            let names = servable.transform().features().to_vec();
            args = args.with_warm_start_of(Arc::clone(servable.model()), names);
        }
        let args = args.with_trials(trials);
        let (training, progress) = (Arc::clone(&self.training), progress.clone());
        let _cancelled_with_this_future = cancellation.on_drop();
        let trained = tokio::task::spawn_blocking(move || training.run(args, &progress))
            .await
            .map_err(|error| {
                Error::model(format!("the trainer panicked{}", task_panic_text(error)))
                    .in_stage(self.training.trainer().name())
            })??;
        // The model of a cancelled trainer is not the one that its configuration stands for.
        let name = self.training.trainer().name();
        self.cancellation
            .check()
            .map_err(|error| error.in_stage(name))?;
        let fitted = trained.fitted().cloned().unwrap_or(fitted);
        let (model, mut record) = trained.into_parts();
        record.warnings.splice(0..0, skipped);
        let target = match record.threshold {
            Some(threshold) => data.target().clone().with_threshold(threshold),
            None => Ok(data.target().clone()),
        };
        let target = target.map_err(|error| error.in_stage(name))?;
        let details = RunRecord::lineage(data, &self.training)?;
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
