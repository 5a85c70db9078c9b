//! The trials of a search, as executions.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::open::{Ended, OpenRun};
use super::task::Task;
use crate::error::{Error, Result};

/// The records of the trials of a training, written as they end and found again by a search that resumes.
///
/// It belongs to the rows of that training: a training on other rows must not use it.
#[derive(Clone, Debug)]
pub(crate) struct TrialLog {
    run: Arc<OpenRun>,
    training: Task,
}

/// The stage that trials are executions of.
pub(super) const TRIAL: &str = "trial";

impl TrialLog {
    pub(crate) fn new(run: &Arc<OpenRun>, training: &Task) -> Self {
        TrialLog {
            run: Arc::clone(run),
            training: training.clone(),
        }
    }

    /// A trial as a task: its configuration, on the rows of the training.
    pub(crate) fn task(&self, name: &str, version: u32, configuration: &Value, seed: u64) -> Task {
        let configuration = json!({
            "trial": configuration,
            // The model that training starts from.
            "start": self.training.serving,
        });
        Task::new(TRIAL, name, version, configuration)
            .seed(seed)
            .inputs(&self.training.inputs)
    }

    /// The result of a trial that succeeded.
    pub(crate) fn known(&self, task: &Task) -> Result<Option<Value>> {
        let known = self.run.known(task)?;
        Ok(known.into_iter().find_map(|execution| execution.result))
    }

    /// Records a trial, whether it succeeded or failed.
    pub(crate) fn keep(
        &self,
        task: &Task,
        ended: Result<Value, &Error>,
        took: Duration,
    ) -> Result<()> {
        let ended = ended.map_err(Ended::of);
        self.run.tried(task, ended, took)
    }
}
