//! Records of runs and executions.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::inputs::UsedFile;
use super::{ArtifactId, ModelCard};
use crate::clock::rfc3339;
use crate::fingerprint::Fingerprint;
use crate::metrics::Metrics;

/// The state of a run or an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It is in progress.
    Running,
    /// It finished. This includes runs that rejected their models.
    Done,
    /// It failed with an error.
    Failed,
    /// It was cancelled, or its future was dropped.
    Cancelled,
    /// Its process was killed. The next run uses what it had published.
    Killed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Running => "running",
            State::Done => "done",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Killed => "killed",
        })
    }
}

/// An execution of a stage, with its inputs and outputs. Times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Execution {
    /// The version of the record's format.
    pub format_version: u32,
    /// The id: that of the run, followed by the stage.
    pub id: String,
    /// The id of the run.
    pub run: String,
    /// The name of the pipeline.
    pub pipeline: String,
    /// The stage, such as `train`; `trial` for a trial of a search, which is part of `train`.
    pub stage: String,
    /// The name of the implementation, such as `gradient_boosting`.
    pub name: String,
    /// The [version](crate::Stage::version) of the implementation.
    pub version: u32,
    /// The [configuration](crate::Stage::configuration) of the implementation.
    pub configuration: Value,
    /// The seed, if the stage has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The fingerprint of the source's content, if the stage reads one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Fingerprint>,
    /// The files of the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<UsedFile>,
    /// The artifacts that it used.
    #[serde(default)]
    pub inputs: Vec<ArtifactId>,
    /// The serving model, for stages that depend on it: `none`, an artifact, or another description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<String>,
    /// The artifacts that it made.
    #[serde(default)]
    pub outputs: Vec<ArtifactId>,
    /// The result of an execution without artifacts: the value and the standard error of a trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// The fingerprint of everything that its outputs depend on, except [`Execution::serving`].
    pub key: Fingerprint,
    /// The final state.
    pub state: State,
    /// The reason of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The time at which it began.
    pub started_ms: u64,
    /// The duration in seconds.
    pub seconds: f64,
    /// The environment in which it ran.
    pub environment: Environment,
}

impl Execution {
    /// The version of the format that this build writes.
    pub const FORMAT_VERSION: u32 = 1;

    /// The output of a kind.
    #[must_use]
    pub fn output(&self, kind: &str) -> Option<&ArtifactId> {
        self.outputs.iter().find(|output| output.kind() == kind)
    }

    /// The time at which it began, in UTC: `2026-11-27T16:05:12Z`.
    #[must_use]
    pub fn started(&self) -> String {
        rfc3339(self.started_ms)
    }
}

/// The environment of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Environment {
    /// The host name of the machine.
    pub host: String,
    /// The operating system, such as `linux`.
    pub os: String,
    /// The processor architecture, such as `x86_64`. Results are bit-identical within one architecture.
    pub arch: String,
    /// The number of hardware threads.
    pub threads: usize,
    /// The version of this crate.
    pub crate_version: String,
    /// The version of the application, see
    /// [`code_version`](crate::pipeline::PipelineBuilder::code_version).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_version: Option<String>,
}

impl Environment {
    pub(super) fn here(code_version: Option<String>) -> Self {
        Environment {
            host: host(),
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            crate_version: env!("CARGO_PKG_VERSION").to_owned(),
            code_version,
        }
    }
}

fn host() -> String {
    #[cfg(target_os = "linux")]
    if let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        return name.trim().to_owned();
    }
    std::env::var("HOSTNAME")
        .or_else(|_| std::env::var("COMPUTERNAME"))
        .unwrap_or_default()
}

/// A stage of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StageOfRun {
    /// The stage, such as `train`.
    pub stage: String,
    /// The key of its execution.
    pub key: Fingerprint,
    /// The execution, of this run or of an earlier one.
    pub execution: String,
    /// Whether the execution is of an earlier run and was reused.
    pub reused: bool,
    /// The outputs of the execution.
    pub outputs: Vec<ArtifactId>,
}

/// A model that a run deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deployed {
    /// The model.
    pub model: ArtifactId,
    /// The version assigned by the server, if it numbers versions.
    pub version: Option<u64>,
    /// The time of the deployment.
    pub at_ms: u64,
    /// Whether the model was serving already, so that nothing was deployed.
    #[serde(default)]
    pub already: bool,
}

/// Measurements of a saved model in the trial before its deployment, on the machine of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measured {
    /// The load time in seconds.
    pub load_s: f64,
    /// The median latency of single rows in a burst, in seconds.
    pub p50_s: f64,
    /// The 99th percentile of the latency of single rows, in seconds.
    pub p99_s: f64,
    /// The growth of the process's memory during the burst in bytes, where it can be measured.
    pub memory_growth: Option<u64>,
    /// The size of the saved model in bytes.
    pub n_bytes: u64,
}

impl Measured {
    /// From the load time, the median and the 99th percentile of the latency.
    pub(crate) fn new(times: [Duration; 3], memory_growth: Option<u64>, n_bytes: u64) -> Self {
        let [load_s, p50_s, p99_s] = times.map(|time| time.as_secs_f64());
        Measured {
            load_s,
            p50_s,
            p99_s,
            memory_growth,
            n_bytes,
        }
    }
}

/// A run of a pipeline. Times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Run {
    /// The version of the record's format.
    pub format_version: u32,
    /// The id, which begins with the time, so that the ids of a root sort by time.
    pub id: String,
    /// The name of the pipeline.
    pub pipeline: String,
    /// The state.
    pub state: State,
    /// The time at which it began.
    pub started_ms: u64,
    /// The duration in seconds.
    pub seconds: f64,
    /// The stages that it reached.
    pub stages: Vec<StageOfRun>,
    /// The reason of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The verdict of the validators: `blessed`, or `rejected` with the reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// The candidate's metrics over all rows of the `eval` split.
    #[serde(default, skip_serializing_if = "Metrics::is_empty")]
    pub metrics: Metrics,
    /// The model that it deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Deployed>,
    /// The tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The notes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The card of its model.
    #[serde(default, skip_serializing_if = "ModelCard::is_empty")]
    pub card: ModelCard,
    /// The measurements of the trial, if the evaluation was not reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// The environment in which it ran.
    pub environment: Environment,
    /// The id of the process that ran it.
    pub process: u32,
}

impl Run {
    /// The version of the format that this build writes.
    pub const FORMAT_VERSION: u32 = 1;

    /// The output of a kind, of this run or reused by it.
    #[must_use]
    pub fn output(&self, kind: &str) -> Option<&ArtifactId> {
        // The last stage wins: `prepare` makes other examples if it sets rows aside.
        let mut outputs = self.stages.iter().rev().flat_map(|stage| &stage.outputs);
        outputs.find(|output| output.kind() == kind)
    }

    /// The time at which it began, in UTC: `2026-11-27T16:05:12Z`.
    #[must_use]
    pub fn started(&self) -> String {
        rfc3339(self.started_ms)
    }

    /// The time at which it ended, in UTC.
    pub(crate) fn ended(&self) -> String {
        rfc3339(self.ended_ms())
    }

    pub(super) fn ended_ms(&self) -> u64 {
        self.started_ms.saturating_add((self.seconds * 1e3) as u64)
    }

    /// The names of the reused stages.
    pub fn reused(&self) -> impl Iterator<Item = &str> {
        let reused = self.stages.iter().filter(|stage| stage.reused);
        reused.map(|stage| stage.stage.as_str())
    }

    /// The names of the stages that ran.
    pub fn ran(&self) -> impl Iterator<Item = &str> {
        let ran = self.stages.iter().filter(|stage| !stage.reused);
        ran.map(|stage| stage.stage.as_str())
    }
}
