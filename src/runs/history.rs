//! Runs with their executions, in memory.

use std::collections::HashMap;

use super::record::{Execution, Run};
use super::{ArtifactId, Root};
use crate::error::Result;

/// All records, read once. For many queries, use it instead of the [`Root`].
#[derive(Clone, Debug)]
pub struct History {
    runs: Vec<Run>,
    executions: Vec<Execution>,
    by_id: HashMap<String, usize>,
    /// The indexes of runs, by their ids.
    by_run: HashMap<String, usize>,
    /// The executions of each run, without reused ones.
    made_by: Vec<Vec<usize>>,
    /// The executions that made each artifact, oldest first.
    makers: HashMap<ArtifactId, Vec<usize>>,
}

impl Root {
    /// Reads all records.
    ///
    /// # Errors
    /// As [`Root::runs`].
    pub fn history(&self) -> Result<History> {
        let (runs, executions) = (self.runs()?, self.executions()?);
        let ids = runs.iter().enumerate();
        let by_run: HashMap<String, usize> = ids.map(|(at, run)| (run.id.clone(), at)).collect();
        let mut by_id = HashMap::with_capacity(executions.len());
        let mut made_by = vec![Vec::new(); runs.len()];
        let mut makers: HashMap<ArtifactId, Vec<usize>> = HashMap::new();
        for (at, execution) in executions.iter().enumerate() {
            by_id.insert(execution.id.clone(), at);
            if let Some(run) = by_run.get(&execution.run) {
                made_by[*run].push(at);
            }
            for output in made(execution) {
                makers.entry(output.clone()).or_default().push(at);
            }
        }
        Ok(History {
            runs,
            executions,
            by_id,
            by_run,
            made_by,
            makers,
        })
    }
}

/// The outputs of an execution that are not also its inputs.
fn made(execution: &Execution) -> impl Iterator<Item = &ArtifactId> {
    let inputs = &execution.inputs;
    let outputs = execution.outputs.iter();
    outputs.filter(move |output| !inputs.contains(output))
}

impl History {
    /// All runs, oldest first.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// All executions, oldest first.
    #[must_use]
    pub fn executions(&self) -> &[Execution] {
        &self.executions
    }

    /// The executions of a run in their order, including reused ones; for a killed run, those that had ended.
    pub(super) fn of_run<'h>(&'h self, run: &Run) -> Vec<&'h Execution> {
        let noted = run.stages.iter();
        let noted = noted.filter_map(|stage| self.by_id.get(&stage.execution));
        let mut found: Vec<usize> = noted.copied().collect();
        let own = self.by_run.get(&run.id).map(|at| &self.made_by[*at]);
        found.extend(own.into_iter().flatten());
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|at| &self.executions[at]).collect()
    }

    /// The execution that made an artifact, as seen from one that used it. Equal content may have several makers: the one in
    /// the run of the user comes first.
    pub(super) fn maker(&self, id: &ArtifactId, used_by: Option<&Execution>) -> Option<&Execution> {
        let makers = self.makers.get(id)?;
        let makers = || makers.iter().map(|at| &self.executions[*at]);
        let run = used_by.and_then(|user| self.by_run.get(&user.run));
        let in_run = run.and_then(|at| {
            let of_run = self.of_run(&self.runs[*at]);
            makers().find(|maker| of_run.iter().any(|other| other.id == maker.id))
        });
        let before =
            |maker: &&Execution| used_by.is_none_or(|user| maker.started_ms <= user.started_ms);
        in_run
            .or_else(|| makers().rfind(before))
            .or_else(|| makers().next())
    }
}
