//! What came of what: from a model back to the files, from a file on to the models that serve.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::clock::rfc3339;
use super::history::History;
use super::record::{Execution, Run};
use super::{ArtifactId, Root, UsedFile};
use crate::error::{Error, Result, near_names, shortened};

/// How something came to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lineage {
    /// What it is the lineage of.
    pub of: ArtifactId,
    /// The executions that it came of, from the source on.
    pub steps: Vec<Execution>,
    /// The runs that made it or used it again, the oldest first.
    pub runs: Vec<String>,
    /// When it served.
    pub serving: Vec<ServingPeriod>,
}

impl Lineage {
    /// The files that it came of.
    pub fn files(&self) -> impl Iterator<Item = &UsedFile> {
        self.steps.iter().flat_map(|step| &step.files)
    }
}

/// From when until when a version of a model was deployed, as far as the records of this root tell. Times are milliseconds
/// since 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServingPeriod {
    /// The name of the pipeline, which is the model's.
    pub pipeline: String,
    /// The model.
    pub model: ArtifactId,
    /// The version that the server gave it.
    pub version: Option<u64>,
    /// The run that deployed it.
    pub run: String,
    /// From when on.
    pub from_ms: u64,
    /// Until when; `None` if it was not replaced yet.
    pub until_ms: Option<u64>,
}

impl ServingPeriod {
    /// From when on, in UTC: `2026-11-27T16:05:12Z`.
    #[must_use]
    pub fn from(&self) -> String {
        rfc3339(self.from_ms)
    }

    /// Until when, in UTC; `None` if it was not replaced yet.
    #[must_use]
    pub fn until(&self) -> Option<String> {
        self.until_ms.map(rfc3339)
    }
}

/// What came of a file or an artifact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Affected {
    /// The artifacts that were made of it, those that were made of these, and so on; sorted.
    pub artifacts: Vec<ArtifactId>,
    /// The runs that made or used any of them, the oldest first.
    pub runs: Vec<String>,
    /// When models among them served.
    pub serving: Vec<ServingPeriod>,
    /// For each pipeline whose present model is among them: the last deployed one that is not, to roll back to.
    pub roll_back_to: Vec<ServingPeriod>,
}

impl History {
    /// How an artifact came to be: of a run's model by the run's id, of a deployed model by its name (`late`, the newest) or
    /// name and version (`late:3`), or of any artifact (`model/3f2a..`, or the first digits of its digest).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such thing.
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

    /// What came of an input file, by its path or a digest of its content, or of an artifact.
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
        // Run by run: equal content may be made of other things in another.
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

    /// When which model of a pipeline was deployed, the oldest first.
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

/// Whether a run made an artifact, or reused it.
fn uses(history: &History, run: &Run, id: &ArtifactId) -> bool {
    let mut executions = history.of_run(run).into_iter();
    executions.any(|execution| execution.outputs.contains(id))
}

/// The periods of all pipelines, in the order in which they began.
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

/// The artifact that somebody means.
fn find(what: &str, history: &History) -> Result<ArtifactId> {
    let runs = history.runs();
    if let Ok(id) = what.parse::<ArtifactId>() {
        return Ok(id);
    }
    let model = |run: &Run| {
        let model = run.output("model").cloned();
        model.ok_or_else(|| Error::not_found(format!("run `{}` has come to no model", run.id)))
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
            "`{}` is no run, artifact or deployed model of this root, or more than one{}",
            shortened(what),
            near_names(what, names)
        ))
    })
}
