//! The records of a run in its root.

use crate::error::Result;
use crate::runs::{Comparison, Execution, Root, Run, ServingPeriod, State};

/// The number of runs of a pipeline that are shown.
const HISTORY: usize = 60;

/// The records of a run.
pub(super) struct Kept {
    pub(super) root: String,
    pub(super) run: Run,
    /// Its executions in the order of the stages, including reused ones of earlier runs.
    pub(super) executions: Vec<Execution>,
    /// The newest runs of the pipeline up to this one, the oldest first.
    pub(super) history: Vec<Run>,
    pub(super) serving: Vec<ServingPeriod>,
    /// The size of the model.
    pub(super) n_bytes: Option<u64>,
    pub(super) since: Option<Since>,
}

/// The differences from the previous run.
pub(super) struct Since {
    pub(super) before: String,
    pub(super) found: Comparison,
}

impl Kept {
    pub(super) fn of(root: &Root, id: &str) -> Result<Self> {
        let run = root.run(id)?;
        let mut by_stage = root.executions_in(&run)?;
        let executions = run
            .stages
            .iter()
            .filter_map(|stage| by_stage.remove(&stage.stage));
        let executions = executions.collect();
        let mut history = root.runs()?;
        history.retain(|other| other.pipeline == run.pipeline && other.id <= run.id);
        history.drain(..history.len().saturating_sub(HISTORY));
        let before = history.iter().rev();
        let before = before.filter(|other| other.id != run.id && other.state == State::Done);
        let mut before = before.filter(|other| other.output("model").is_some());
        let since = match before.next() {
            Some(before) => Some(Since {
                before: before.id.clone(),
                found: root.compare(&before.id, &run.id)?,
            }),
            None => None,
        };
        let model = run.output("model").map(|model| root.dir_of(model));
        let n_bytes = model.filter(|dir| dir.is_dir());
        Ok(Kept {
            root: root.path().display().to_string(),
            serving: root.serving_periods(&run.pipeline)?,
            n_bytes: n_bytes.map(|dir| crate::store::n_bytes(&dir)),
            executions,
            history,
            since,
            run,
        })
    }
}
