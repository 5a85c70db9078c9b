//! Runs with their executions, in memory.

use std::collections::BTreeMap;

use super::record::{Execution, Run};
use super::{ArtifactId, Root};
use crate::error::Result;

/// All that is on record.
pub(super) struct History {
    pub(super) runs: Vec<Run>,
    executions: Vec<Execution>,
    by_id: BTreeMap<String, usize>,
    /// Those that made each artifact, in the order of time.
    makers: BTreeMap<ArtifactId, Vec<usize>>,
}

impl Root {
    pub(super) fn history(&self) -> Result<History> {
        let (runs, executions) = (self.runs()?, self.executions()?);
        let mut by_id = BTreeMap::new();
        let mut makers: BTreeMap<ArtifactId, Vec<usize>> = BTreeMap::new();
        for (at, execution) in executions.iter().enumerate() {
            by_id.insert(execution.id.clone(), at);
            for output in made(execution) {
                makers.entry(output.clone()).or_default().push(at);
            }
        }
        Ok(History {
            runs,
            executions,
            by_id,
            makers,
        })
    }
}

/// What an execution made; not what only passed through.
fn made(execution: &Execution) -> impl Iterator<Item = &ArtifactId> {
    let inputs = &execution.inputs;
    let outputs = execution.outputs.iter();
    outputs.filter(move |output| !inputs.contains(output))
}

impl History {
    pub(super) fn executions(&self) -> &[Execution] {
        &self.executions
    }

    /// The executions of a run in their order, those that it reused too; of a run that was killed, those that it came to.
    pub(super) fn of_run<'h>(&'h self, run: &'h Run) -> Vec<&'h Execution> {
        let noted = run.stages.iter();
        let noted = noted.filter_map(|stage| self.by_id.get(&stage.execution));
        let mut found: Vec<usize> = noted.copied().collect();
        for (at, execution) in self.executions.iter().enumerate() {
            if execution.run == run.id && !found.contains(&at) {
                found.push(at);
            }
        }
        found.sort_unstable();
        found.into_iter().map(|at| &self.executions[at]).collect()
    }

    /// The execution that made an artifact, for one that used it. Equal content may be made of different things: what the
    /// run of that one made or reused counts.
    pub(super) fn maker(&self, id: &ArtifactId, used_by: Option<&Execution>) -> Option<&Execution> {
        let makers = self.makers.get(id)?;
        let makers = || makers.iter().map(|at| &self.executions[*at]);
        let run = used_by.and_then(|user| self.runs.iter().find(|run| run.id == user.run));
        let in_run = run.and_then(|run| {
            let of_run = self.of_run(run);
            makers().find(|maker| of_run.iter().any(|other| other.id == maker.id))
        });
        let before =
            |maker: &&Execution| used_by.is_none_or(|user| maker.started_ms <= user.started_ms);
        in_run
            .or_else(|| makers().rfind(before))
            .or_else(|| makers().next())
    }
}
