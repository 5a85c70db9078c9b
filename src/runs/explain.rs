//! Plans of runs: for each stage, whether it would run, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::record::Execution;
use super::{Outputs, Root, Task};
use crate::error::Result;

/// The plan of a run; its `Display` form is a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The stages in their order.
    pub stages: Vec<StagePlan>,
}

/// The plan for a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StagePlan {
    /// The stage, such as `train`.
    pub stage: String,
    /// The name of its implementation, such as `gradient_boosting`.
    pub name: String,
    /// The decision whether it would run.
    pub planned: Planned,
    /// The reason.
    pub why: String,
    /// The duration of its last execution, in seconds.
    pub last_seconds: Option<f64>,
}

/// The decision whether a stage would run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Planned {
    /// Its recorded outputs are used.
    Reused,
    /// It runs.
    Runs,
    /// It runs, unless the output of the named stage is unchanged.
    RunsUnlessUnchanged(String),
}

impl Explanation {
    /// Adds a stage, and returns its expected outputs where they are known. There is no task while its inputs are unknown.
    pub(crate) fn add(
        &mut self,
        (stage, name): (&str, &str),
        task: Option<&Task>,
        on_record: OnRecord,
        uses: impl Fn(&Execution) -> bool,
    ) -> Option<Outputs> {
        let OnRecord { known, last } = on_record;
        let runs_before = self.first_to_run().map(str::to_owned);
        let found = known.into_iter().find(uses);
        let (planned, why, of) = match (found, runs_before) {
            (Some(found), None) => {
                let why = format!("made by {} on {}", found.run, found.started());
                (Planned::Reused, why, Some(found))
            }
            (Some(found), Some(before)) => {
                let why = format!(
                    "made by {}, if the output of `{before}` is unchanged",
                    found.run
                );
                (Planned::RunsUnlessUnchanged(before), why, Some(found))
            }
            (None, before) => {
                let why = match (task, &last, before) {
                    (Some(task), Some(last), _) => task.difference(last).unwrap_or_else(|| {
                        let was = last.state;
                        match was {
                            super::State::Done => {
                                "its outputs were removed, or another model is serving".to_owned()
                            }
                            _ => format!("its last execution was {was}"),
                        }
                    }),
                    (_, None, _) => "it has not run before".to_owned(),
                    (None, Some(_), Some(before)) => format!("it depends on `{before}`"),
                    (None, Some(_), None) => "its inputs are not known yet".to_owned(),
                };
                (Planned::Runs, why, last.clone())
            }
        };
        self.stages.push(StagePlan {
            stage: stage.to_owned(),
            name: name.to_owned(),
            planned,
            why,
            last_seconds: of.as_ref().or(last.as_ref()).map(|of| of.seconds),
        });
        of.map(|of| Outputs(of.outputs))
            .filter(|of| !of.0.is_empty())
    }

    /// The last stage that certainly runs.
    fn first_to_run(&self) -> Option<&str> {
        let mut stages = self.stages.iter().rev();
        let last = stages.find(|stage| stage.planned == Planned::Runs)?;
        Some(&last.stage)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stage in &self.stages {
            let planned = match &stage.planned {
                Planned::Reused => "is reused".to_owned(),
                Planned::Runs => "runs".to_owned(),
                Planned::RunsUnlessUnchanged(of) => format!("runs unless `{of}` is unchanged"),
            };
            let took = stage.last_seconds.map(|seconds| format!("{seconds:.2} s"));
            writeln!(
                f,
                "{:9} {:34} {:>9}  {}",
                stage.stage,
                planned,
                took.unwrap_or_default(),
                stage.why
            )?;
        }
        Ok(())
    }
}

/// The records of a stage.
#[derive(Debug, Default)]
pub(crate) struct OnRecord {
    /// The executions whose outputs may be used, newest first.
    known: Vec<Execution>,
    /// The last execution of the pipeline, whatever its inputs were.
    last: Option<Execution>,
}

impl Root {
    /// The records of a stage of a pipeline. Without a task, no outputs may be used.
    pub(crate) fn on_record(
        &self,
        pipeline: &str,
        stage: &str,
        task: Option<&Task>,
    ) -> Result<OnRecord> {
        Ok(OnRecord {
            known: task.map_or(Ok(Vec::new()), |task| self.known(task))?,
            last: self.last(pipeline, stage)?,
        })
    }

    /// The last execution of a stage that a run of the pipeline made or reused.
    pub(super) fn last(&self, pipeline: &str, stage: &str) -> Result<Option<Execution>> {
        for run in self.runs()?.into_iter().rev() {
            if run.pipeline != pipeline {
                continue;
            }
            let of_run = run.stages.iter().find(|of_run| of_run.stage == stage);
            if let Some(of_run) = of_run {
                let mut executions = self.executions_of(&of_run.key)?.into_iter();
                return Ok(executions.find(|execution| execution.id == of_run.execution));
            }
        }
        Ok(None)
    }
}
