//! Runs in progress: they look up records and write their own.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::record::{Deployed, Environment, Execution, Measured, Run, StageOfRun, State};
use super::{ArtifactId, ModelCard, Root, Task};
use crate::clock::rfc3339;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::Fingerprint;
use crate::metrics::Metrics;

/// Labels that an application gives its runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunLabels {
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) notes: Vec<String>,
    pub(crate) card: ModelCard,
    pub(crate) code_version: Option<String>,
}

/// The outputs of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outputs(pub(crate) Vec<ArtifactId>);

impl Outputs {
    /// The output of a kind.
    pub(crate) fn get(&self, kind: &str) -> Result<&ArtifactId> {
        let mut outputs = self.0.iter();
        let found = outputs.find(|output| output.kind() == kind);
        found.ok_or_else(|| Error::internal(format!("an execution has no output `{kind}`")))
    }
}

/// A run in progress. While it exists, no artifacts are collected, and the lock on its record shows that its process is alive.
/// If it is dropped before its end, the run is recorded as cancelled.
#[derive(Debug)]
pub(crate) struct OpenRun {
    root: Root,
    /// Whether recorded outputs are used.
    reuse: bool,
    environment: Environment,
    began: Instant,
    /// The number of restarts of the run.
    attempt: AtomicU32,
    run: Mutex<Run>,
    /// Shared with other runs, exclusive to collections; `None` if the file system has no locks.
    _root_lock: Option<File>,
    /// The locked record of the run.
    own_lock: Mutex<Option<File>>,
}

/// The lock file: runs share the lock, collections hold it alone.
pub(super) const LOCK: &str = "lock";

impl OpenRun {
    /// Records the beginning of a run.
    pub(crate) fn begin(
        root: &Root,
        pipeline: &str,
        labels: &RunLabels,
        reuse: bool,
    ) -> Result<Self> {
        root.create()?;
        let root_lock = open_lock(root).and_then(|lock| lock.lock_shared().map(|()| lock));
        let environment = Environment::here(labels.code_version.clone());
        let started_ms = match root.newest_run()? {
            // Runs are ordered by time, even if the clock went back.
            Some(newest) => root.clock().now_ms().max(root.run(&newest)?.started_ms + 1),
            None => root.clock().now_ms(),
        };
        let run = Run {
            format_version: Run::FORMAT_VERSION,
            id: new_id(started_ms)?,
            pipeline: pipeline.to_owned(),
            state: State::Running,
            started_ms,
            seconds: 0.0,
            stages: Vec::new(),
            error: None,
            verdict: None,
            metrics: Metrics::new(),
            deployed: None,
            tags: labels.tags.clone(),
            notes: labels.notes.clone(),
            card: labels.card.clone(),
            measured: None,
            environment: environment.clone(),
            process: std::process::id(),
        };
        root.write_run(&run)?;
        let own_lock = File::open(root.run_path(&run.id)).ok();
        let own_lock = own_lock.filter(|file| file.try_lock().is_ok());
        Ok(OpenRun {
            root: root.clone(),
            reuse,
            environment,
            began: Instant::now(),
            attempt: AtomicU32::new(0),
            run: Mutex::new(run),
            _root_lock: root_lock.ok(),
            own_lock: Mutex::new(own_lock),
        })
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    pub(crate) fn id(&self) -> String {
        self.locked().id.clone()
    }

    fn locked(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The recorded executions whose outputs may be used, newest first; none without the cache.
    pub(crate) fn known(&self, task: &Task) -> Result<Vec<Execution>> {
        match self.reuse {
            true => self.root.known(task),
            false => Ok(Vec::new()),
        }
    }

    /// Records that the outputs of an execution were reused.
    pub(crate) fn reused(&self, execution: &Execution) -> Outputs {
        self.locked().stages.push(StageOfRun {
            stage: execution.stage.clone(),
            key: execution.key.clone(),
            execution: execution.id.clone(),
            reused: true,
            outputs: execution.outputs.clone(),
        });
        Outputs(execution.outputs.clone())
    }

    /// Records an execution that succeeded or failed.
    pub(crate) fn executed(
        &self,
        task: &Task,
        ended: &Result<Outputs, Ended>,
        took: Duration,
    ) -> Result<()> {
        let mut run = self.locked();
        let id = match self.attempt.load(Ordering::Relaxed) {
            0 => format!("{}-{}", run.id, task.stage),
            again => format!("{}-{}-{}", run.id, task.stage, again + 1),
        };
        let mut execution = self.execution(&run, id, task, took)?;
        match ended {
            Ok(outputs) => execution.outputs.clone_from(&outputs.0),
            Err(ended) => execution.failed(ended.clone()),
        }
        self.root.write_execution(&execution)?;
        run.stages.push(StageOfRun {
            stage: execution.stage,
            key: execution.key,
            execution: execution.id,
            reused: false,
            outputs: execution.outputs,
        });
        Ok(())
    }

    /// Records a trial, which is not a stage of the run.
    pub(super) fn tried(
        &self,
        task: &Task,
        ended: Result<Value, Ended>,
        took: Duration,
    ) -> Result<()> {
        let mut execution = {
            let run = self.locked();
            let id = format!("{}-{}-{}", run.id, task.stage, task.key()?.short());
            self.execution(&run, id, task, took)?
        };
        match ended {
            Ok(result) => execution.result = Some(result),
            Err(ended) => execution.failed(ended),
        }
        self.root.write_execution(&execution)
    }

    /// An execution that succeeded just now.
    fn execution(&self, run: &Run, id: String, task: &Task, took: Duration) -> Result<Execution> {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or_default();
        let now = self.root.clock().now_ms().max(run.started_ms);
        Ok(Execution {
            format_version: Execution::FORMAT_VERSION,
            id,
            run: run.id.clone(),
            pipeline: run.pipeline.clone(),
            stage: task.stage.to_owned(),
            name: task.name.clone(),
            version: task.version,
            configuration: task.configuration.clone(),
            seed: task.seed,
            snapshot: task.snapshot.clone(),
            files: task.files.clone(),
            inputs: task.inputs.clone(),
            serving: task.serving.clone(),
            outputs: Vec::new(),
            result: None,
            key: task.key()?,
            state: State::Done,
            error: None,
            started_ms: now.saturating_sub(took_ms).max(run.started_ms),
            seconds: took.as_secs_f64(),
            environment: self.environment.clone(),
        })
    }

    /// Restarts the run from the recorded outputs.
    pub(crate) fn again(&self) {
        self.locked().stages.clear();
        self.attempt.fetch_add(1, Ordering::Relaxed);
    }

    /// Records the verdict and the metrics of the candidate.
    pub(crate) fn judged(&self, verdict: String, metrics: &Metrics) {
        let mut run = self.locked();
        run.verdict = Some(verdict);
        run.metrics = metrics.clone();
    }

    /// Records the measurements of the trial.
    pub(crate) fn measured(&self, measured: Option<Measured>) {
        self.locked().measured = measured;
    }

    /// Records the deployed model.
    pub(crate) fn deployed(&self, model: &ArtifactId, version: Option<u64>, already: bool) {
        let mut run = self.locked();
        let at_ms = self.root.clock().now_ms().max(run.started_ms);
        run.deployed = Some(Deployed {
            model: model.clone(),
            version,
            at_ms,
            already,
        });
    }

    /// The names of reused stages, and of those that ran.
    pub(crate) fn stages(&self) -> (Vec<String>, Vec<String>) {
        let run = self.locked();
        let owned = |name: &str| name.to_owned();
        (
            run.reused().map(owned).collect(),
            run.ran().map(owned).collect(),
        )
    }

    /// Records the end of the run.
    pub(crate) fn end(&self, ended: Option<Ended>) -> Result<()> {
        let state = ended.as_ref().map_or(State::Done, |ended| ended.state);
        self.close(state, ended.map(|ended| ended.error))
    }

    fn close(&self, state: State, error: Option<String>) -> Result<()> {
        let mut lock = self.own_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut run = self.locked();
        if run.state != State::Running {
            return Ok(());
        }
        run.state = state;
        run.error = error;
        run.seconds = self.began.elapsed().as_secs_f64();
        self.root.write_run(&run)?;
        *lock = None;
        if let Some(last) = run.stages.last() {
            // Compaction only saves time; after a failure, a later run does it.
            let _ = self.root.compact_if_many(&last.key);
        }
        Ok(())
    }
}

impl Drop for OpenRun {
    fn drop(&mut self) {
        // There is no caller to return an error to.
        let _ = self.close(State::Cancelled, None);
    }
}

/// The end of an execution without outputs.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    state: State,
    error: String,
}

impl Ended {
    pub(crate) fn of(error: &Error) -> Self {
        Ended {
            state: match error.kind() {
                ErrorKind::Cancelled => State::Cancelled,
                _ => State::Failed,
            },
            error: error.to_string(),
        }
    }
}

impl Execution {
    fn failed(&mut self, ended: Ended) {
        self.state = ended.state;
        self.error = Some(ended.error);
    }
}

impl Root {
    /// The successful executions of a key whose outputs all exist, newest first.
    pub(super) fn known(&self, task: &Task) -> Result<Vec<Execution>> {
        let mut known = self.executions_of(&task.key()?)?;
        known.retain(|execution| {
            let mut outputs = execution.outputs.iter();
            execution.state == State::Done && outputs.all(|output| self.dir_of(output).is_dir())
        });
        known.reverse();
        Ok(known)
    }
}

/// Opens the lock file.
pub(super) fn open_lock(root: &Root) -> std::io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(root.path().join(LOCK))
}

/// Returns true if the process of a run that is in progress according to its record still holds the lock.
/// Without locks, it is assumed to be alive.
pub(super) fn is_alive(record: &Path) -> bool {
    match File::open(record).map(|file| file.try_lock()) {
        Ok(Ok(())) => false,
        Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) => true,
        Err(_) => false,
    }
}

/// A unique id: `20261127T160512.345Z-1f00c2`.
fn new_id(started_ms: u64) -> Result<String> {
    let unique = Fingerprint::unique()?;
    let time = rfc3339(started_ms).replace(['-', ':'], "");
    Ok(format!(
        "{}.{:03}Z-{}",
        time.trim_end_matches('Z'),
        started_ms % 1_000,
        &unique.as_str()[..6]
    ))
}
