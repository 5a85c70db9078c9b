//! What all stages of a run share: the engine, the record, and whether a stage is run at all.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Pipeline, STAGES};
use crate::blessing::Serving;
use crate::data::DataSource;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::Validator;
use crate::model::{Loaders, Servable};
use crate::progress::Progress;
use crate::runs::{Ended, Execution, OpenRun, Outputs, Task};
use crate::serving::Server;
use crate::training::Trainer;

/// A run under way.
pub(super) struct Session<'p, S, T, V, R> {
    pub(super) pipeline: &'p Pipeline<S, T, V, R>,
    pub(super) engine: Engine,
    pub(super) progress: Progress,
    /// The record, if the pipeline has a root.
    pub(super) kept: Option<Arc<OpenRun>>,
    /// Without a record, the stages that ran.
    ran: Mutex<Vec<String>>,
    /// The one stage that may run; those before it must be on record, and those behind it end the run.
    only: Option<&'static str>,
    is_done: AtomicBool,
    /// The stage that has failed, and how often in a row.
    failed: Mutex<Option<(&'static str, u32)>>,
}

/// Does what waits for a disk, or computes for long, off the async threads.
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

    /// Whether the run has ended because the one stage is done that was to run.
    pub(super) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Relaxed)
    }

    /// Puts the end on record.
    pub(super) async fn close(&self, failed: Option<&Error>) -> Result<()> {
        let Some(run) = self.kept.clone() else {
            return Ok(());
        };
        let ended = failed.map(Ended::of);
        blocking(move || run.end(ended)).await
    }

    /// Comes to a stage: not if the run was told to stop, or has done the one that was to run.
    fn reach(&self, stage: &str) -> Result<()> {
        self.pipeline.cancellation.check()?;
        let place = |stage: &str| STAGES.iter().position(|known| *known == stage);
        if self.only.is_some_and(|only| place(only) < place(stage)) {
            self.is_done.store(true, Ordering::Relaxed);
            return Err(Error::internal("what was to run is done"));
        }
        Ok(())
    }

    /// The execution on record whose outputs are used, if there is one.
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

    /// Runs a stage and puts it on record, however it ends.
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
                    "stage `{only}` needs what `{}` makes of the present data and configuration, which is not on \
                     record; run that first",
                    task.stage
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
        // Why the stage failed counts for more than that this could not be noted.
        let made = ended?;
        recorded.map(|()| made)
    }

    /// What a stage does, in the time that it may take; and whether it failed.
    pub(super) async fn within_limits<O>(
        &self,
        stage: &'static str,
        work: impl Future<Output = Result<O>> + Send,
    ) -> Result<O> {
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
            // Others are run again on the way to the one that has failed.
            (Ok(_), failed) => failed,
            (Err(_), Some((last, times))) if last == stage => Some((stage, times + 1)),
            (Err(_), _) => Some((stage, 1)),
        };
        ended
    }

    /// After which time the run begins again from the stage that has failed; `None` if it does not.
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

    /// Notes stages that ran without a record.
    pub(super) fn note(&self, stages: &[&str]) {
        let mut ran = self.ran.lock().unwrap_or_else(PoisonError::into_inner);
        ran.extend(stages.iter().map(|stage| (*stage).to_owned()));
    }

    /// The id of the run, the stages that were reused, and those that ran.
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

    /// Those of the model's own type, of what the transform needs, and of the application.
    pub(crate) fn all_loaders(&self) -> Loaders {
        Loaders::default()
            .with::<T::Model>()
            .with_operations(&self.data.operations())
            .with_all(&self.loaders)
    }

    /// The model that is serving, or that of the directory to compare with.
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

/// What a model that is serving is on record as.
pub(super) fn identity(serving: &Result<Serving>) -> String {
    match serving {
        Ok(Serving::None) => "none".to_owned(),
        Ok(Serving::Unknown) => "unknown".to_owned(),
        Ok(Serving::Model(servable)) => servable.identity(),
        Err(error) => format!("unusable: {error}"),
    }
}
