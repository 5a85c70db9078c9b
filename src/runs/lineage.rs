//! Lineage: from a model back to its files, and from a file forward to the models that serve.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::history::History;
use super::record::{Execution, Run};
use super::{ArtifactId, Root, UsedFile};
use crate::clock::rfc3339;
use crate::error::{Error, Result, near_names, shortened};

/// The lineage of an artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lineage {
    /// The artifact.
    pub of: ArtifactId,
    /// The executions that led to it, oldest first.
    pub steps: Vec<Execution>,
    /// The runs that made or reused it, oldest first.
    pub runs: Vec<String>,
    /// The periods in which it served.
    pub serving: Vec<ServingPeriod>,
}

impl Lineage {
    /// The input files of these executions.
    pub fn files(&self) -> impl Iterator<Item = &UsedFile> {
        self.steps.iter().flat_map(|step| &step.files)
    }
}

/// A period in which a version of a model was deployed, according to the records of this root. Times are milliseconds since
/// 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServingPeriod {
    /// The name of the pipeline, and of its model.
    pub pipeline: String,
    /// The model.
    pub model: ArtifactId,
    /// The version that the server gave it.
    pub version: Option<u64>,
    /// The run that deployed it.
    pub run: String,
    /// The beginning.
    pub from_ms: u64,
    /// The end; `None` if the model still serves.
    pub until_ms: Option<u64>,
}

impl ServingPeriod {
    /// The beginning, in UTC: `2026-11-27T16:05:12Z`.
    #[must_use]
    pub fn from(&self) -> String {
        rfc3339(self.from_ms)
    }

    /// The end, in UTC; `None` if the model still serves.
    #[must_use]
    pub fn until(&self) -> Option<String> {
        self.until_ms.map(rfc3339)
    }
}

/// Everything that was made from a file or an artifact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Affected {
    /// The artifacts made from it, directly or indirectly, sorted.
    pub artifacts: Vec<ArtifactId>,
    /// The runs that made or used any of them, oldest first.
    pub runs: Vec<String>,
    /// The periods in which models among them served.
    pub serving: Vec<ServingPeriod>,
    /// The models to roll back to: for each pipeline whose serving model is affected, the last deployed one that is not.
    pub roll_back_to: Vec<ServingPeriod>,
}

impl History {
    /// The lineage of an artifact: the model of a run, by the id of the run; a deployed model, by its name (`late`, the newest)
    /// or its name and version (`late:3`); or any artifact (`model/3f2a..`, or the first digits of its digest).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if nothing, or more than one thing, matches.
    pub fn lineage(&self, what: &str) -> Result<Lineage> {
        let history = self;
        let of = find(what, history)?;
        let mut steps: Vec<&Execution> = Vec::new();
        let mut open: Vec<(&ArtifactId, Option<&Execution>)> = vec![(&of, None)];
        while let Some((id, user)) = open.pop() {
            let Some(maker) = history.maker(id, user) else {
                continue;
            };
            if !steps.iter().any(|step| step.id == maker.id) {
                open.extend(maker.inputs.iter().map(|input| (input, Some(maker))));
                steps.push(maker);
            }
        }
        steps.sort_by(|a, b| (a.started_ms, &a.id).cmp(&(b.started_ms, &b.id)));
        Ok(Lineage {
            steps: steps.into_iter().cloned().collect(),
            runs: history
                .runs()
                .iter()
                .filter(|run| uses(history, run, &of))
                .map(|run| run.id.clone())
                .collect(),
            serving: periods(history.runs())
                .into_iter()
                .filter(|period| period.model == of)
                .collect(),
            of,
        })
    }

    /// Everything that was made from an input file, by its path or the digest of its content, or from an artifact.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if no execution used it.
    pub fn affected(&self, what: &str) -> Result<Affected> {
        let history = self;
        let whole = std::fs::canonicalize(what).ok();
        let is_file = |file: &UsedFile| {
            let path = Path::new(&file.path);
            file.path == what
                || whole.as_deref() == Some(path)
                || (is_digits(what) && file.digest.as_str().starts_with(what))
        };
        let used = |execution: &Execution| execution.files.iter().any(is_file);
        let start = match history.executions().iter().any(used) {
            true => None,
            false => Some(find(what, history)?),
        };
        let (mut affected, mut runs) = (BTreeSet::new(), Vec::new());
        // Run by run: in another run, equal content may have been made from something else.
        for run in history.runs() {
            let mut of_run: BTreeSet<&ArtifactId> = BTreeSet::new();
            for execution in history.of_run(run) {
                let is_start = match &start {
                    None => used(execution),
                    Some(id) => {
                        let ids = execution.outputs.iter().chain(&execution.inputs);
                        of_run.extend(ids.filter(|other| *other == id));
                        false
                    }
                };
                if is_start || execution.inputs.iter().any(|input| of_run.contains(input)) {
                    of_run.extend(&execution.outputs);
                }
            }
            if !of_run.is_empty() {
                runs.push(run.id.clone());
                affected.extend(of_run);
            }
        }
        let periods = periods(history.runs());
        let is_bad = |period: &&ServingPeriod| affected.contains(&period.model);
        let serving: Vec<ServingPeriod> = periods.iter().filter(is_bad).cloned().collect();
        let now_bad = serving.iter().filter(|period| period.until_ms.is_none());
        let roll_back_to = now_bad.filter_map(|bad| {
            let mut others = periods.iter().rev();
            others.find(|other| other.pipeline == bad.pipeline && !affected.contains(&other.model))
        });
        Ok(Affected {
            roll_back_to: roll_back_to.cloned().collect(),
            runs,
            serving,
            artifacts: affected.into_iter().cloned().collect(),
        })
    }
}

impl Root {
    /// As [`History::lineage`].
    ///
    /// # Errors
    /// As [`History::lineage`] and [`Root::runs`].
    pub fn lineage(&self, what: &str) -> Result<Lineage> {
        self.history()?.lineage(what)
    }

    /// As [`History::affected`].
    ///
    /// # Errors
    /// As [`History::affected`] and [`Root::runs`].
    pub fn affected(&self, what: &str) -> Result<Affected> {
        self.history()?.affected(what)
    }

    /// The periods in which models of a pipeline served, oldest first.
    ///
    /// # Errors
    /// As [`Root::runs`].
    pub fn serving_periods(&self, pipeline: &str) -> Result<Vec<ServingPeriod>> {
        let mut periods = periods(&self.runs()?);
        periods.retain(|period| period.pipeline == pipeline);
        Ok(periods)
    }

    /// The newest run of a pipeline whose model was blessed.
    ///
    /// # Errors
    /// As [`Root::runs`].
    pub fn latest_blessed(&self, pipeline: &str) -> Result<Option<Run>> {
        let mut runs = self.runs()?.into_iter().rev();
        Ok(runs.find(|run| run.pipeline == pipeline && is_blessed(run)))
    }
}

pub(super) fn is_blessed(run: &Run) -> bool {
    run.verdict.as_deref() == Some("blessed")
}

/// Returns true if a run made or reused an artifact.
fn uses(history: &History, run: &Run, id: &ArtifactId) -> bool {
    let mut executions = history.of_run(run).into_iter();
    executions.any(|execution| execution.outputs.contains(id))
}

/// The serving periods of all pipelines, oldest first.
pub(super) fn periods(runs: &[Run]) -> Vec<ServingPeriod> {
    let mut periods: Vec<ServingPeriod> = Vec::new();
    for run in runs {
        let Some(deployed) = run.deployed.as_ref().filter(|deployed| !deployed.already) else {
            continue;
        };
        let mut earlier = periods.iter_mut().rev();
        if let Some(last) = earlier.find(|last| last.pipeline == run.pipeline) {
            last.until_ms = Some(deployed.at_ms);
        }
        periods.push(ServingPeriod {
            pipeline: run.pipeline.clone(),
            model: deployed.model.clone(),
            version: deployed.version,
            run: run.id.clone(),
            from_ms: deployed.at_ms,
            until_ms: None,
        });
    }
    periods
}

fn is_digits(text: &str) -> bool {
    text.len() >= 6 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The artifact that a string refers to.
fn find(what: &str, history: &History) -> Result<ArtifactId> {
    let runs = history.runs();
    if let Ok(id) = what.parse::<ArtifactId>() {
        return Ok(id);
    }
    let model = |run: &Run| {
        let model = run.output("model").cloned();
        model.ok_or_else(|| Error::not_found(format!("run `{}` made no model", run.id)))
    };
    if let Some(run) = runs.iter().find(|run| run.id == what) {
        return model(run);
    }
    let (name, version) = match what.rsplit_once(':') {
        Some((name, version)) => (name, version.parse::<u64>().ok()),
        None => (what, None),
    };
    let asked_for = |period: &&ServingPeriod| {
        period.pipeline == name && (version.is_none() || period.version == version)
    };
    if let Some(period) = periods(runs).iter().rev().find(asked_for) {
        return Ok(period.model.clone());
    }
    let digits = what.rsplit_once('/').map_or(what, |(_, digits)| digits);
    let kind = what.split_once('/').map(|(kind, _)| kind);
    let mut found: BTreeSet<&ArtifactId> = BTreeSet::new();
    if is_digits(digits) {
        let made = history
            .executions()
            .iter()
            .flat_map(|execution| &execution.outputs);
        found.extend(made.filter(|id| {
            id.digest().as_str().starts_with(digits) && kind.is_none_or(|kind| kind == id.kind())
        }));
    }
    let runs_like = runs.iter().filter(|run| run.id.starts_with(what));
    match (found.len(), runs_like.collect::<Vec<_>>().as_slice()) {
        (1, _) => found.into_iter().next().cloned(),
        (0, [run]) => return model(run),
        _ => None,
    }
    .ok_or_else(|| {
        let names: BTreeSet<&str> = runs.iter().map(|run| run.pipeline.as_str()).collect();
        Error::not_found(format!(
            "`{}` does not name a single run, artifact or deployed model of this root{}",
            shortened(what),
            near_names(what, names)
        ))
    })
}
