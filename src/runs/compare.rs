//! The differences between two runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{Execution, Run};
use super::{Root, UsedFile};
use crate::error::Result;
use crate::metrics::MetricValue;

/// The differences between two runs, `before` and `after`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Comparison {
    /// Configurations, seeds, names and versions of stages.
    pub configuration: Vec<Difference>,
    /// Input files, by their digests.
    pub files: Vec<Difference>,
    /// The kinds of artifacts that differ.
    pub artifacts: Vec<String>,
    /// Metrics over all rows of the `eval` split.
    pub metrics: Vec<MetricChange>,
}

/// A value that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Difference {
    /// Its path: `train.max_depth`, or that of a file.
    pub path: String,
    /// The value of the first run; NULL if it has none.
    pub before: Value,
    /// The value of the second run; NULL if it has none.
    pub after: Value,
}

/// A metric of two runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetricChange {
    /// The name.
    pub name: String,
    /// The metric of the first run.
    pub before: Option<MetricValue>,
    /// The metric of the second run.
    pub after: Option<MetricValue>,
    /// The second minus the first, with the interval of the paired difference. It needs runs that were evaluated on the same
    /// rows, predictions that still exist, and a metric whose difference has an interval.
    pub paired: Option<MetricValue>,
}

impl Root {
    /// Compares two runs, by their ids or the beginnings of them.
    ///
    /// # Errors
    /// As [`Root::run`].
    pub fn compare(&self, before: &str, after: &str) -> Result<Comparison> {
        let (before, after) = (self.run(before)?, self.run(after)?);
        let (one, other) = (self.executions_in(&before)?, self.executions_in(&after)?);
        let mut comparison = Comparison::default();
        let stages: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        for stage in stages {
            let describe = |of: Option<&Execution>| {
                of.map_or(Value::Null, |of| {
                    let mut all = serde_json::json!({
                        "name": of.name, "version": of.version, "configuration": of.configuration,
                    });
                    if let Some(seed) = of.seed {
                        all["seed"] = seed.into();
                    }
                    all
                })
            };
            let (a, b) = (one.get(stage), other.get(stage));
            walk(
                stage,
                &describe(a),
                &describe(b),
                &mut comparison.configuration,
            );
            let none: &[UsedFile] = &[];
            let files = |of: Option<&'_ Execution>| -> BTreeMap<String, String> {
                let files = of.map_or(none, |of| &of.files).iter();
                files
                    .map(|file| (file.path.clone(), file.digest.to_string()))
                    .collect()
            };
            let (a, b) = (files(a), files(b));
            let paths: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for path in paths
                .into_iter()
                .filter(|path| a.get(*path) != b.get(*path))
            {
                let of = |files: &BTreeMap<String, String>| {
                    files
                        .get(path)
                        .map_or(Value::Null, |digest| digest.as_str().into())
                };
                comparison.files.push(Difference {
                    path: path.clone(),
                    before: of(&a),
                    after: of(&b),
                });
            }
        }
        let kinds = super::KINDS
            .iter()
            .filter(|kind| before.output(kind) != after.output(kind));
        comparison.artifacts = kinds.map(|kind| (*kind).to_owned()).collect();
        let paired = super::paired::changes(self, &before, &after)?;
        let names: BTreeSet<&String> = before.metrics.keys().chain(after.metrics.keys()).collect();
        for name in names {
            comparison.metrics.push(MetricChange {
                name: name.clone(),
                before: before.metrics.get(name).copied(),
                after: after.metrics.get(name).copied(),
                paired: paired.get(name).copied(),
            });
        }
        Ok(comparison)
    }

    /// The executions of a run by stage, including reused ones.
    pub(crate) fn executions_in(&self, run: &Run) -> Result<BTreeMap<String, Execution>> {
        let mut found = BTreeMap::new();
        for stage in &run.stages {
            let executions = self.executions_of(&stage.key)?.into_iter();
            let mut own = executions.filter(|execution| execution.id == stage.execution);
            if let Some(execution) = own.next() {
                found.insert(stage.stage.clone(), execution);
            }
        }
        Ok(found)
    }
}

/// Collects the leaves at which two values differ.
fn walk(path: &str, one: &Value, other: &Value, found: &mut Vec<Difference>) {
    match (one, other) {
        (one, other) if one == other => {}
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| {
                    map.get(key).cloned().unwrap_or(Value::Null)
                };
                let below = match key.as_str() {
                    "configuration" => path.to_owned(),
                    key => format!("{path}.{key}"),
                };
                walk(&below, &of(a), &of(b), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                walk(&format!("{path}.{at}"), a, b, found);
            }
        }
        _ => found.push(Difference {
            path: path.to_owned(),
            before: one.clone(),
            after: other.clone(),
        }),
    }
}
