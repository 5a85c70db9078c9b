//! Loading the record of a run from a root.

use serde_json::json;

use super::RunRecord;
use super::facts::TrainFacts;
use crate::blessing::Verdict;
use crate::data::DataFacts;
use crate::error::{Error, Result};
use crate::evaluation::Findings;
use crate::progress::Step;
use crate::runs::{Artifact, ArtifactId, Execution, Root, Run};

impl RunRecord {
    /// Loads the record of a run, by its id or a unique prefix, from the artifacts that it made or reused. The effects that the
    /// validator was [likely to detect](RunRecord::detectable) are not stored, except in the messages of its checks.
    ///
    /// # Errors
    /// As [`Root::run`]; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it has no verdict, or if an artifact was
    /// collected; [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if an artifact was changed.
    pub fn load(root: &Root, run: &str) -> Result<Self> {
        let run = root.run(run)?;
        let executions = root.executions_in(&run)?;
        let artifacts: Vec<ArtifactId> = (run.stages.iter().rev())
            .flat_map(|stage| stage.outputs.iter().cloned())
            .collect();
        let data = DataFacts::load(root, &prepared(&run)?)?;
        let trained: TrainFacts = get(root, &run, &artifacts)?;
        let findings: Findings = get(root, &run, &artifacts)?;
        let verdict: Verdict = get(root, &run, &artifacts)?;
        let mut record = RunRecord::new(&run.pipeline, data, trained);
        record.judged(findings, verdict, Vec::new());
        record.id = Some(run.id.clone());
        record.reused = run.reused().map(str::to_owned).collect();
        record.ran = run.ran().map(str::to_owned).collect();
        record.card = run.card.clone();
        record.measured = match executions.get("evaluate") {
            // The measurements belong to the run that evaluated.
            Some(execution) if execution.run != run.id => {
                root.run(&execution.run).ok().and_then(|of| of.measured)
            }
            _ => run.measured.clone(),
        };
        record.setup.ended = run.ended();
        record.setup.crate_version = run.environment.crate_version.clone();
        if let Some(Execution {
            name,
            configuration,
            ..
        }) = executions.get("train")
        {
            record.setup.trainer = json!({"name": name, "configuration": configuration});
        }
        record.timings_s = Step::ALL.into_iter().map(|step| (step, 0.0)).collect();
        for (stage, execution) in &executions {
            let step = match stage.as_str() {
                "extract" => Step::Read,
                "prepare" => Step::Analyse,
                "train" => Step::Train,
                _ => Step::Evaluate,
            };
            // Reused stages took their time in another run.
            if execution.run == run.id {
                *record.timings_s.entry(step).or_default() += execution.seconds;
            }
        }
        Ok(record)
    }
}

/// The outputs of the `prepare` stage of a run.
fn prepared(run: &Run) -> Result<Vec<ArtifactId>> {
    let mut stages = run.stages.iter().rev();
    let found = stages.find(|stage| stage.stage == "prepare");
    let found = found.ok_or_else(|| came_to_none(run, "prepared data"))?;
    Ok(found.outputs.clone())
}

fn get<A: Artifact>(root: &Root, run: &Run, artifacts: &[ArtifactId]) -> Result<A> {
    let found = artifacts.iter().find(|id| id.kind() == A::KIND);
    root.get(found.ok_or_else(|| came_to_none(run, A::KIND))?)
}

fn came_to_none(run: &Run, what: &str) -> Error {
    let why = run
        .error
        .as_ref()
        .map_or_else(String::new, |error| format!(": {error}"));
    Error::not_found(format!(
        "run `{}` is {} and has no {what}{why}",
        run.id, run.state
    ))
}
