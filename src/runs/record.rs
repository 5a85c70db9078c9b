//! Records: what was done, from what, and how it ended.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clock::rfc3339;
use super::inputs::UsedFile;
use super::{ArtifactId, ModelCard};
use crate::fingerprint::Fingerprint;
use crate::metrics::Metrics;

/// How a run or an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It is under way.
    Running,
    /// It came to its end. A run that has rejected its model did.
    Done,
    /// It ended with an error.
    Failed,
    /// It was told to stop, or its future was dropped.
    Cancelled,
    /// Its process was killed. What it had published is used by the next run.
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

/// One execution of a stage: what it was made of, what it made. Times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Execution {
    /// The version of this format.
    pub format_version: u32,
    /// Its id: that of the run, and the stage.
    pub id: String,
    /// The run's id.
    pub run: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// Which stage of a pipeline it is, such as `train`; `trial` for a trial of a search, which is a part of `train`.
    pub stage: String,
    /// The name of what was run, such as `gradient_boosting`.
    pub name: String,
    /// Its [version](crate::Stage::version).
    pub version: u32,
    /// Its [configuration](crate::Stage::configuration).
    pub configuration: Value,
    /// The seed, of a stage that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What the content of the source was, of a stage that reads one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Fingerprint>,
    /// The files that the source was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<UsedFile>,
    /// What it was made of.
    #[serde(default)]
    pub inputs: Vec<ArtifactId>,
    /// The model that was serving, of a stage that looked at it: `none`, an artifact, or what else is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<String>,
    /// What it made.
    #[serde(default)]
    pub outputs: Vec<ArtifactId>,
    /// What it came to, of an execution that makes no artifact: of a trial of a search, its value and the standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Of all that its outputs depend on, but for [`Execution::serving`].
    pub key: Fingerprint,
    /// How it ended.
    pub state: State,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it began.
    pub started_ms: u64,
    /// How long it took.
    pub seconds: f64,
    /// Where it ran.
    pub environment: Environment,
}

impl Execution {
    /// The version of the format that this build writes.
    pub const FORMAT_VERSION: u32 = 1;

    /// What it made of a kind.
    #[must_use]
    pub fn output(&self, kind: &str) -> Option<&ArtifactId> {
        self.outputs.iter().find(|output| output.kind() == kind)
    }

    /// When it began, in UTC: `2026-11-27T16:05:12Z`.
    #[must_use]
    pub fn started(&self) -> String {
        rfc3339(self.started_ms)
    }
}

/// Where something ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Environment {
    /// The machine's name.
    pub host: String,
    /// The operating system, such as `linux`.
    pub os: String,
    /// The kind of processor, such as `x86_64`: equal bits are promised on one kind.
    pub arch: String,
    /// How many threads the machine runs at once.
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
    /// Which stage, such as `train`.
    pub stage: String,
    /// The key of its execution.
    pub key: Fingerprint,
    /// The execution, of this run or of an earlier one.
    pub execution: String,
    /// Whether it was of an earlier run, and not run again.
    pub reused: bool,
    /// What it made.
    pub outputs: Vec<ArtifactId>,
}

/// A model that a run has deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deployed {
    /// The model.
    pub model: ArtifactId,
    /// The version that the server gave it, if it counts versions.
    pub version: Option<u64>,
    /// When.
    pub at_ms: u64,
    /// Whether it served already, so that nothing was deployed anew.
    #[serde(default)]
    pub already: bool,
}

/// How a saved model did in the trial before its deployment, on the machine of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measured {
    /// How long loading took, in seconds.
    pub load_s: f64,
    /// How long half of the single rows of a burst took at most, in seconds.
    pub p50_s: f64,
    /// How long 99 of 100 of them took at most, in seconds.
    pub p99_s: f64,
    /// By how many bytes the process grew during the burst, where that can be told.
    pub memory_growth: Option<u64>,
    /// The bytes of the saved model.
    pub n_bytes: u64,
}

impl Measured {
    /// The times of loading, of half and of 99 of 100 of the single rows.
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

/// One run of a pipeline. Times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Run {
    /// The version of this format.
    pub format_version: u32,
    /// Its id, which begins with the time: ids of one root sort as they began.
    pub id: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// How it stands.
    pub state: State,
    /// When it began.
    pub started_ms: u64,
    /// How long it took.
    pub seconds: f64,
    /// Its stages as far as it came.
    pub stages: Vec<StageOfRun>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the validators said: `blessed` or `rejected`, with the reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// The candidate's metrics over all rows of the `eval` split.
    #[serde(default, skip_serializing_if = "Metrics::is_empty")]
    pub metrics: Metrics,
    /// What was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Deployed>,
    /// Tags that it was given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Notes that it was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What people say of its model.
    #[serde(default, skip_serializing_if = "ModelCard::is_empty")]
    pub card: ModelCard,
    /// How its model did in the trial, if the evaluation was not reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// Where it ran.
    pub environment: Environment,
    /// The process that ran it.
    pub process: u32,
}

impl Run {
    /// The version of the format that this build writes.
    pub const FORMAT_VERSION: u32 = 1;

    /// What a stage of a kind made in it, or in the run that it was reused from.
    #[must_use]
    pub fn output(&self, kind: &str) -> Option<&ArtifactId> {
        // A later stage has the last word: rows that were set aside make other examples.
        let mut outputs = self.stages.iter().rev().flat_map(|stage| &stage.outputs);
        outputs.find(|output| output.kind() == kind)
    }

    /// When it began, in UTC: `2026-11-27T16:05:12Z`.
    #[must_use]
    pub fn started(&self) -> String {
        rfc3339(self.started_ms)
    }

    /// When it ended, in UTC.
    pub(crate) fn ended(&self) -> String {
        rfc3339(self.started_ms.saturating_add((self.seconds * 1e3) as u64))
    }

    /// The names of the stages that were reused from earlier runs.
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
