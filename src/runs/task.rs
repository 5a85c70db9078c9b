//! Tasks: executions before they run.

use serde_json::Value;

use super::inputs::UsedFile;
use super::{ArtifactId, Execution};
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::stage::Stage;

/// A stage with everything that its outputs depend on.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// The stage of the pipeline.
    pub(crate) stage: &'static str,
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) configuration: Value,
    pub(crate) seed: Option<u64>,
    pub(crate) snapshot: Option<Fingerprint>,
    pub(crate) files: Vec<UsedFile>,
    pub(crate) inputs: Vec<ArtifactId>,
    /// The serving model, for stages that depend on it.
    pub(crate) serving: Option<String>,
}

impl Task {
    /// The task of a stage that users implement.
    pub(crate) fn of_stage<S: Stage + ?Sized>(stage: &'static str, of: &S) -> Result<Self> {
        let configuration = of
            .configuration()
            .map_err(|error| error.in_stage(of.name()))?;
        Ok(Task::new(stage, of.name(), of.version(), configuration))
    }

    pub(crate) fn new(stage: &'static str, name: &str, version: u32, configuration: Value) -> Self {
        Task {
            stage,
            name: name.to_owned(),
            version,
            configuration,
            seed: None,
            snapshot: None,
            files: Vec::new(),
            inputs: Vec::new(),
            serving: None,
        }
    }

    pub(crate) fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    pub(crate) fn inputs<'a>(mut self, inputs: impl IntoIterator<Item = &'a ArtifactId>) -> Self {
        self.inputs.extend(inputs.into_iter().cloned());
        self
    }

    pub(crate) fn snapshot(mut self, snapshot: Fingerprint, files: Vec<UsedFile>) -> Self {
        self.snapshot = Some(snapshot);
        self.files = files;
        self
    }

    pub(crate) fn serving(mut self, serving: String) -> Self {
        self.serving = Some(serving);
        self
    }

    /// The key of everything but the serving model.
    pub(crate) fn key(&self) -> Result<Fingerprint> {
        Fingerprint::of(&(
            (self.stage, &self.name, self.version, self.seed),
            &self.configuration,
            &self.snapshot,
            &self.inputs,
        ))
    }

    /// The difference from an execution of the same stage, in words; `None` if only the serving model may differ.
    pub(super) fn difference(&self, other: &Execution) -> Option<String> {
        if self.name != other.name {
            return Some(format!("it is `{}`, it was `{}`", self.name, other.name));
        }
        if self.version != other.version {
            return Some(format!(
                "`{}` is of version {}, it was {}",
                self.name, self.version, other.version
            ));
        }
        if self.snapshot != other.snapshot {
            return Some(self.other_files(other));
        }
        if self.seed != other.seed {
            let seed = |seed: Option<u64>| seed.map_or("none".to_owned(), |seed| seed.to_string());
            return Some(format!(
                "the seed is {}, it was {}",
                seed(self.seed),
                seed(other.seed)
            ));
        }
        if let Some(path) = changed_path(&self.configuration, &other.configuration) {
            return Some(format!("{path} of its configuration has changed"));
        }
        let of_kind = |kind: &str| other.inputs.iter().find(|input| input.kind() == kind);
        let changed = self.inputs.iter();
        let mut changed = changed.filter(|input| of_kind(input.kind()) != Some(input));
        changed
            .next()
            .map(|input| format!("its input `{}` has changed", input.kind()))
    }

    /// The difference of the files from those of an earlier execution.
    fn other_files(&self, other: &Execution) -> String {
        let was = |file: &UsedFile| other.files.iter().find(|was| was.path == file.path);
        let changed = self
            .files
            .iter()
            .find(|file| was(file).is_some_and(|was| was.digest != file.digest));
        let new = self.files.iter().find(|file| was(file).is_none());
        let gone = other
            .files
            .iter()
            .find(|was| !self.files.iter().any(|file| file.path == was.path));
        match (changed, new, gone) {
            (Some(file), _, _) => format!("the content of `{}` has changed", file.path),
            (None, Some(file), _) => format!("`{}` is new", file.path),
            (None, None, Some(file)) => format!("`{}` was removed", file.path),
            (None, None, None) => "the content of the source has changed".to_owned(),
        }
    }
}

/// The first path at which two values differ: `` `trainer.max_depth` ``.
pub(super) fn changed_path(one: &Value, other: &Value) -> Option<String> {
    fn walk(one: &Value, other: &Value, path: &mut Vec<String>) -> bool {
        match (one, other) {
            (one, other) if one == other => false,
            (Value::Object(one), Value::Object(other)) => {
                for key in one.keys().chain(other.keys()) {
                    let null = Value::Null;
                    let (a, b) = (
                        one.get(key).unwrap_or(&null),
                        other.get(key).unwrap_or(&null),
                    );
                    if a != b {
                        path.push(key.clone());
                        walk(a, b, path);
                        return true;
                    }
                }
                true
            }
            (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
                if let Some(at) = (0..one.len()).find(|at| one[*at] != other[*at]) {
                    path.push(at.to_string());
                    walk(&one[at], &other[at], path);
                }
                true
            }
            _ => true,
        }
    }
    let mut path = Vec::new();
    walk(one, other, &mut path).then(|| match path.is_empty() {
        true => "value".to_owned(),
        false => format!("`{}`", path.join(".")),
    })
}
