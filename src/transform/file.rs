//! Transforms as files.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Transform;
use super::ops::{Named, Op};
use super::step::Step;
use crate::error::{Error, Result, near_names};
use crate::written;

/// The stored form of a [`Transform`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    steps: Vec<Step>,
}

impl TryFrom<Document> for Transform {
    type Error = Error;

    fn try_from(mut document: Document) -> Result<Self> {
        for step in &mut document.steps {
            if step.inputs.is_empty()
                && let Some(Ok(inputs)) = step.op.operation().own_inputs()
            {
                step.inputs = inputs;
            }
            // `check` reports errors of a step that knows its inputs.
            if step.op.operation().own_inputs().is_none() {
                step.check_columns()?;
            }
        }
        Ok(Transform {
            steps: document.steps,
        })
    }
}

impl Transform {
    /// Loads a transform from a file: JSON if its name ends in `.json`, TOML if in `.toml`. The
    /// [module](super) has an example of every operation.
    ///
    /// ```
    /// use fourfold::transform::Transform;
    ///
    /// let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    /// std::fs::write(&file, r#"
    ///     [[steps]]
    ///     op = "z_score"
    ///     input = "distance"
    ///
    ///     [[steps]]
    ///     op = "one_hot"
    ///     input = "carrier"
    ///     max_categories = 100
    /// "#).unwrap();
    /// let loaded = Transform::load(&file)?;
    /// assert_eq!(loaded, Transform::new().z_score("distance").one_hot("carrier"));
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) or [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot
    /// be read; [`ErrorKind::Config`](crate::ErrorKind::Config) if it is of another format, not well formed, or has
    /// an operation that is not there, with the near ones; and as [`Transform::check`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::not_found(format!("there is no transform file {}", path.display()))
            }
            _ => Error::io(format_args!("read {}", path.display()), error),
        })?;
        let format = path.extension().and_then(std::ffi::OsStr::to_str);
        let read = match format {
            Some("json") => written::from_json(&text),
            Some("toml") => written::from_toml(&text),
            _ => Err(Error::config(
                "the name of a transform file must end in `.json` or `.toml`",
            )),
        };
        let loaded = read.and_then(Transform::from_json);
        loaded.map_err(|error| {
            Error::new(
                error.kind(),
                format!("{}: {}", path.display(), error.message()),
            )
        })
    }

    /// As [`Transform::load`], of what a file holds.
    pub(crate) fn from_json(json: Json) -> Result<Self> {
        written::check_choices(&json, &["fill"])?;
        let steps = json.get("steps").and_then(Json::as_array);
        for (number, step) in steps.into_iter().flatten().enumerate() {
            let op = step.get("op").and_then(Json::as_str).ok_or_else(|| {
                Error::config(format!(
                    "step {number} has no `op`, the name of its operation"
                ))
            })?;
            let names = Op::names();
            if !names.iter().any(|name| name == op) {
                return Err(Error::config(format!(
                    "step {number}: there is no operation `{op}`{}",
                    near_names(op, names.iter().map(String::as_str))
                )));
            }
            let failed = |error: &dyn std::fmt::Display| {
                Error::config(format!("step {number}, {op}: {error}"))
            };
            let parsed: Step =
                serde_json::from_value(step.clone()).map_err(|error| failed(&error))?;
            if let Some(key) = unknown_key(step, &parsed) {
                return Err(failed(&format_args!("unknown field `{key}`")));
            }
        }
        let transform: Transform =
            serde_json::from_value(json).map_err(|error| Error::config(error.to_string()))?;
        transform.check()?;
        Ok(transform)
    }
}

/// A key of a step that its operation does not read. Operations are read through `flatten`, where serde passes over
/// other keys: one that may have any value, with the same result, is not read.
fn unknown_key<'a>(step: &'a Json, parsed: &Step) -> Option<&'a String> {
    let keys = step.as_object()?.keys();
    keys.filter(|key| *key != "op").find(|key| {
        let mut other = step.clone();
        other[key.as_str()] = serde_json::json!({"": []});
        serde_json::from_value::<Step>(other).is_ok_and(|other| other == *parsed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATIONS: &str = include_str!("operations.json");

    #[test]
    fn every_operation_has_an_example_that_loads() {
        let json: Json = serde_json::from_str(OPERATIONS).unwrap();
        let shown: Vec<&str> = json["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["op"].as_str().unwrap())
            .collect();
        for name in Op::names() {
            assert!(
                shown.contains(&name.as_str()),
                "no example of `{name}` in operations.json"
            );
        }
        let transform: Transform = serde_json::from_str(OPERATIONS).unwrap();
        assert_eq!(transform.steps().len(), shown.len());
        let again: Transform =
            serde_json::from_str(&serde_json::to_string(&transform).unwrap()).unwrap();
        assert_eq!(again, transform);
    }

    fn load(name: &str, text: &str) -> std::result::Result<Transform, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let before = format!("{}: ", path.display());
        Transform::load(&path)
            .map_err(|error| error.message().trim_start_matches(&before).to_owned())
    }

    #[test]
    fn toml_and_json_say_the_same() {
        let toml = "[[steps]]\nop = \"pca\"\ninputs = [\"a\", \"b\"]\noutputs = [\"p\"]\nn_components = 1\n\
                    [[steps]]\nop = \"clip_values\"\ninput = \"p\"\nlow = -3\nhigh = 3\n";
        let json = r#"{"steps": [
            {"op": "pca", "inputs": ["a", "b"], "outputs": ["p"], "n_components": 1},
            {"op": "clip_values", "input": "p", "low": -3, "high": 3}
        ]}"#;
        let loaded = load("t.toml", toml).unwrap();
        assert_eq!(loaded, load("t.json", json).unwrap());
        assert_eq!(loaded.inputs(), ["a", "b"]);
    }

    #[test]
    fn what_is_wrong_with_a_file() {
        let cases = [
            (
                "t.yaml",
                "",
                "the name of a transform file must end in `.json` or `.toml`",
            ),
            (
                "t.json",
                r#"{"steps": [{"op": "z_score", "input": "a"}, {"op": "z_scor", "input": "a"}]}"#,
                "step 1: there is no operation `z_scor`; did you mean `z_score`?",
            ),
            (
                "t.json",
                r#"{"steps": [{"input": "a"}]}"#,
                "step 0 has no `op`, the name of its operation",
            ),
            (
                "t.toml",
                "[[steps]]\nop = \"bucketize\"\ninput = \"a\"\n",
                "step 0, bucketize: missing field `n_buckets`",
            ),
            (
                "t.json",
                r#"{"steps": [{"op": "z_score"}]}"#,
                "step 0, z_score: a transform step without columns",
            ),
            (
                "t.json",
                r#"{"steps": [{"op": "z_score", "output": "a"}]}"#,
                "a transform step of 0 inputs and 1 outputs, must have at least one of each",
            ),
            (
                "t.json",
                r#"{"steps": [{"op": "clip_values", "input": "a", "low": 3, "high": 1}]}"#,
                "transform of `a`: clip_values to 3 and 1, must be finite and low <= high",
            ),
            (
                "t.json",
                r#"{"step": []}"#,
                "unknown field `step`, expected `steps`",
            ),
        ];
        for (name, text, expected) in cases {
            assert_eq!(load(name, text).unwrap_err(), expected);
        }
        let missing = Transform::load("no/such.json").unwrap_err();
        assert_eq!(missing.message(), "there is no transform file no/such.json");
    }
}
