//! Sessions: the engine, the record and the limits that all stages of a run share.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Pipeline, STAGES};
use crate::blessing::Serving;
use crate::cancellation::Cancellation;
use crate::data::DataSource;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::Validator;
use crate::model::{Loaders, Servable};
use crate::progress::Progress;
use crate::runs::{Ended, Execution, OpenRun, Outputs, Task};
use crate::serving::Server;
use crate::training::Trainer;

/// The stages that a cancelled run drops at once. The others run code of applications, which gets the token and is waited for.
const DROPPED: [&str; 3] = ["extract", "prepare", "evaluate"];

/// The interval at which a run checks whether it was cancelled.
const CHECK: Duration = Duration::from_millis(50);

/// The time after which a stage that ignores its cancellation is named in the log.
const PATIENCE: Duration = Duration::from_secs(1);

/// A run in progress.
pub(super) struct Session<'p, S, T, V, R> {
    pub(super) pipeline: &'p Pipeline<S, T, V, R>,
    pub(super) engine: Engine,
    pub(super) progress: Progress,
    /// The open record, if the pipeline has a root.
    pub(super) kept: Option<Arc<OpenRun>>,
    /// The stages that ran, if there is no record.
    ran: Mutex<Vec<String>>,
    /// The only stage that may run: stages before it must be recorded, and the run ends after it.
    only: Option<&'static str>,
    is_done: AtomicBool,
    /// The failed stage, and how often it failed in a row.
    failed: Mutex<Option<(&'static str, u32)>>,
}

/// Runs blocking or long work outside the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("work on a disk panicked").with_source(error))?
}

impl<'p, S, T, V, R> Session<'p, S, T, V, R>
where
    S: DataSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    pub(super) async fn open(
        pipeline: &'p Pipeline<S, T, V, R>,
        only: Option<&'static str>,
    ) -> Result<Self> {
        let kept = match &pipeline.root {
            Some(root) => {
                let (root, name) = (root.clone(), pipeline.name.clone());
                let (labels, reuse) = (pipeline.labels.clone(), pipeline.cache);
                let begun = blocking(move || OpenRun::begin(&root, &name, &labels, reuse)).await?;
                Some(Arc::new(begun))
            }
            None => None,
        };
        Ok(Session {
            engine: pipeline.engine()?,
            progress: pipeline.progress.fresh(),
            pipeline,
            kept,
            ran: Mutex::default(),
            only,
            is_done: AtomicBool::new(false),
            failed: Mutex::default(),
        })
    }

    /// Returns true if the run has ended because its only stage is done.
    pub(super) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Relaxed)
    }

    /// Records the end.
    pub(super) async fn close(&self, failed: Option<&Error>) -> Result<()> {
        let Some(run) = self.kept.clone() else {
            return Ok(());
        };
        let ended = failed.map(Ended::of);
        blocking(move || run.end(ended)).await
    }

    /// Enters a stage, unless the run was cancelled or its only stage is done.
    fn reach(&self, stage: &str) -> Result<()> {
        self.pipeline
            .cancellation
            .check()
            .map_err(|error| error.in_stage(stage))?;
        let place = |stage: &str| STAGES.iter().position(|known| *known == stage);
        if self.only.is_some_and(|only| place(only) < place(stage)) {
            self.is_done.store(true, Ordering::Relaxed);
            return Err(Error::internal("the only stage is done"));
        }
        Ok(())
    }

    /// The recorded execution whose outputs are reused, if there is one.
    pub(super) async fn known(
        &self,
        run: &Arc<OpenRun>,
        task: &Task,
        uses: impl Fn(&Execution) -> bool,
    ) -> Result<Option<Execution>> {
        self.reach(task.stage)?;
        let (run, task) = (Arc::clone(run), task.clone());
        let known = blocking(move || run.known(&task)).await?;
        Ok(known.into_iter().find(uses))
    }

    /// Runs a stage and records it, whether it succeeds or fails.
    pub(super) async fn execute<O>(
        &self,
        run: &Arc<OpenRun>,
        task: &Task,
        work: impl Future<Output = Result<(O, Outputs)>> + Send,
    ) -> Result<(O, Outputs)> {
        self.reach(task.stage)?;
        if let Some(only) = self.only.filter(|only| *only != task.stage) {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "stage `{only}` needs the output of `{}` for the current data and configuration, which is not \
                     recorded; run `{}` first",
                    task.stage, task.stage
                ),
            ));
        }
        let began = Instant::now();
        let ended = self.within_limits(task.stage, work).await;
        let noted = match &ended {
            Ok((_, outputs)) => Ok(outputs.clone()),
            Err(error) => Err(Ended::of(error)),
        };
        let (run, task, took) = (Arc::clone(run), task.clone(), began.elapsed());
        let recorded = blocking(move || run.executed(&task, &noted, took)).await;
        // The error of the stage takes precedence over that of recording it.
        let made = ended?;
        recorded.map(|()| made)
    }

    /// Runs the work of a stage within its time limit, and notes whether it failed.
    pub(super) async fn within_limits<O>(
        &self,
        stage: &'static str,
        work: impl Future<Output = Result<O>> + Send,
    ) -> Result<O> {
        let work = self.unless_cancelled(stage, work);
        let ended = match self.pipeline.limits.time_of(stage) {
            Some(limit) => match tokio::time::timeout(limit, work).await {
                Ok(ended) => ended,
                Err(_) => {
                    let message = format!("it took longer than its limit of {limit:?}");
                    Err(Error::new(ErrorKind::DeadlineExceeded, message).in_stage(stage))
                }
            },
            None => work.await,
        };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        *failed = match (&ended, *failed) {
            (Ok(_), Some((last, _))) if last == stage => None,
            // Earlier stages run again on the way to the failed one.
            (Ok(_), failed) => failed,
            (Err(_), Some((last, times))) if last == stage => Some((stage, times + 1)),
            (Err(_), _) => Some((stage, 1)),
        };
        ended
    }

    /// Runs the work of a stage. A cancelled run drops stages of this crate at once and waits for those of applications.
    pub(super) async fn unless_cancelled<O>(
        &self,
        stage: &'static str,
        work: impl Future<Output = Result<O>> + Send,
    ) -> Result<O> {
        let cancellation = &self.pipeline.cancellation;
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            ended = &mut work => return ended,
            () = cancelled(cancellation) => {}
        }
        if DROPPED.contains(&stage) {
            cancellation
                .check()
                .map_err(|error| error.in_stage(stage))?;
        }
        if let Ok(ended) = tokio::time::timeout(PATIENCE, &mut work).await {
            return ended;
        }
        tracing::warn!(
            pipeline = self.pipeline.name,
            stage,
            "the run was cancelled and waits for a stage that ignores it"
        );
        work.await
    }

    /// The wait before the run is retried from the failed stage; `None` if it is not.
    pub(super) fn again_after(&self, error: &Error) -> Option<Duration> {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (stage, times) = failed?;
        let wait = self.pipeline.limits.wait(stage, times, error)?;
        match &self.kept {
            Some(run) => run.again(),
            None => self
                .ran
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clear(),
        }
        Some(wait)
    }

    /// Notes stages that ran, if there is no record.
    pub(super) fn note(&self, stages: &[&str]) {
        let mut ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        ran.extend(stages.iter().map(|stage| (*stage).to_owned()));
    }

    /// The id of the run, the reused stages, and those that ran.
    pub(super) fn stages(&self) -> (Option<String>, Vec<String>, Vec<String>) {
        match &self.kept {
            Some(run) => {
                let (reused, ran) = run.stages();
                (Some(run.id()), reused, ran)
            }
            None => {
                let ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
                (None, Vec::new(), ran.clone())
            }
        }
    }
}

impl<S, T, V, R> Pipeline<S, T, V, R>
where
    S: DataSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    pub(crate) fn engine(&self) -> Result<Engine> {
        match &self.engine {
            Some(engine) => Ok(engine.clone()),
            None => Engine::new(),
        }
    }

    /// The loaders of the model's type, of the transform's operations, and of the application.
    pub(crate) fn all_loaders(&self) -> Loaders {
        Loaders::default()
            .with::<T::Model>()
            .with_operations(&self.data.operations())
            .with_all(&self.loaders)
    }

    /// The baseline: the serving model, or the one in the configured directory.
    pub(super) async fn compared_with(&self, loaders: &Loaders) -> Result<Serving> {
        match self.evaluation.baseline_dir() {
            Some(dir) => {
                let (dir, loaders) = (dir.to_owned(), loaders.clone());
                let loaded = blocking(move || Servable::load(&dir, &loaders)).await?;
                Ok(Serving::Model(Arc::new(loaded)))
            }
            None => self.serving.server().serving(&self.name, loaders).await,
        }
    }
}

/// The identity by which the serving model is recorded.
pub(super) fn identity(serving: &Result<Serving>) -> String {
    match serving {
        Ok(Serving::None) => "none".to_owned(),
        Ok(Serving::Unknown) => "unknown".to_owned(),
        Ok(Serving::Model(servable)) => servable.identity(),
        Err(error) => format!("unusable: {error}"),
    }
}

/// Waits until a run is cancelled.
async fn cancelled(cancellation: &Cancellation) {
    while !cancellation.is_cancelled() {
        tokio::time::sleep(CHECK).await;
    }
}
