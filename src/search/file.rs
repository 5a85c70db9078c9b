//! Spaces as TOML or JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Domain, Space};
use crate::error::{Error, Result, near_names};
use crate::training::{
    Constant, DecisionTree, GeneralizedLinear, GradientBoosting, Linear, LinearRegression,
    LogisticRegression, RandomForest, StreamingLogistic, Trainer,
};
use crate::transform::{AutoTransform, Transform, TransformChoice};
use crate::written;

/// The trainers that files may name, each with its default configuration for what a file leaves out.
///
/// The default knows this crate's; [`Trainers::with`] adds yours.
#[derive(Clone)]
pub struct Trainers(BTreeMap<String, Space>);

impl Trainers {
    /// Adds a trainer by its stage's name; one of the same name is replaced.
    #[must_use]
    pub fn with<T: Trainer + Clone + Serialize + DeserializeOwned>(mut self, trainer: T) -> Self {
        self.0.insert(trainer.name().to_owned(), Space::of(trainer));
        self
    }
}

impl Default for Trainers {
    fn default() -> Self {
        Trainers(BTreeMap::new())
            .with(Constant)
            .with(DecisionTree::default())
            .with(GeneralizedLinear::gamma())
            .with(GeneralizedLinear::poisson())
            .with(GradientBoosting::default())
            .with(Linear::default())
            .with(LinearRegression::default())
            .with(LogisticRegression::default())
            .with(RandomForest::default())
            .with(StreamingLogistic::default())
    }
}

impl fmt::Debug for Trainers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A space as people write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    trainer: Vec<WrittenTrainer>,
    /// Transforms by name, in the order of their names.
    #[serde(default)]
    transforms: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct WrittenTrainer {
    name: String,
    #[serde(flatten)]
    parameters: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRange {
    range: Option<[Value; 2]>,
    choice: Option<Vec<Value>>,
    #[serde(default)]
    log: bool,
    #[serde(default)]
    when: Map<String, Value>,
}

impl WrittenRange {
    fn domain(&self) -> Option<Domain> {
        let log = self.log;
        match (&self.range, &self.choice) {
            (Some([low, high]), None) => Some(match (low.as_i64(), high.as_i64()) {
                (Some(low), Some(high)) => Domain::Integer { low, high, log },
                _ => Domain::Float {
                    low: low.as_f64()?,
                    high: high.as_f64()?,
                    log,
                },
            }),
            (None, Some(values)) if !log => Some(Domain::Choice(values.clone())),
            _ => None,
        }
    }
}

impl Space {
    /// Reads a space from TOML: a table for each trainer, with values that stay and ranges that are searched. A range
    /// may depend on another parameter that is named before it (`when`). Transforms, if there are any, are tables by
    /// name: one with `steps` as of [`Transform::load`], or with the limits of an [`AutoTransform`]; each trainer is then
    /// tried behind each of them.
    ///
    /// ```
    /// use fourfold::search::{Space, Trainers};
    ///
    /// let space = Space::from_toml(
    ///     r#"
    ///     [[trainer]]
    ///     name = "gradient_boosting"
    ///     rounds = 300
    ///     learning_rate = { range = [0.02, 0.3], log = true }
    ///     max_leaves = { range = [4, 128], log = true }
    ///
    ///     [[trainer]]
    ///     name = "random_forest"
    ///     random_cuts = { choice = [true, false] }
    ///     min_rows_leaf = { range = [1, 50], log = true, when = { random_cuts = false } }
    ///
    ///     [transforms.automatic]
    ///     max_values = 20
    ///
    ///     [transforms.distance]
    ///     steps = [{ op = "z_score", input = "distance" }]
    ///     "#,
    ///     &Trainers::default(),
    /// )?;
    /// assert!(space.check().is_ok());
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is no such TOML, naming the unknown key or value with the
    /// near names.
    pub fn from_toml(text: &str, trainers: &Trainers) -> Result<Self> {
        Space::of_value(written::from_toml(text)?, trainers)
    }

    /// Reads a space from JSON: `{"trainer": [{"name": .., ..}, ..], "transforms": {..}}`, as [`Space::from_toml`].
    ///
    /// # Errors
    /// As [`Space::from_toml`].
    pub fn from_json(text: &str, trainers: &Trainers) -> Result<Self> {
        Space::of_value(written::from_json(text)?, trainers)
    }

    /// Reads a space from a file: JSON if its name ends in `.json`, TOML if in `.toml`.
    ///
    /// # Errors
    /// As [`Space::from_toml`], naming the file; [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be read.
    pub fn load(path: impl AsRef<Path>, trainers: &Trainers) -> Result<Self> {
        let path = path.as_ref();
        let value = written::load(path, "a search space")?;
        Space::of_value(value, trainers).map_err(|error| {
            Error::new(
                error.kind(),
                format!("`{}`: {}", path.display(), error.message()),
            )
        })
    }

    pub(super) fn of_value(value: Value, trainers: &Trainers) -> Result<Self> {
        let written: Written = serde_json::from_value(value)
            .map_err(|error| Error::config(format!("a search space: {error}")))?;
        let mut alternatives = Vec::new();
        for trainer in written.trainer {
            let found = trainers.0.get(&trainer.name).ok_or_else(|| {
                let near = near_names(&trainer.name, trainers.0.keys().map(String::as_str));
                Error::config(format!("there is no trainer `{}`{near}", trainer.name))
            })?;
            let mut space = found.clone();
            for (name, value) in in_order(trainer.parameters) {
                space = space.read(&name, &value)?;
            }
            alternatives.extend(space.alternatives);
        }
        let mut space = Space { alternatives };
        if !written.transforms.is_empty() {
            let transforms = written.transforms.into_iter().map(|(name, value)| {
                let read = transform(value);
                let transform = read.map_err(|error| {
                    Error::config(format!("transform `{name}`: {}", error.message()))
                })?;
                Ok((name, transform))
            });
            space = space.behind(transforms.collect::<Result<Vec<_>>>()?);
        }
        space.check()?;
        Ok(space)
    }

    fn read(mut self, name: &str, value: &Value) -> Result<Self> {
        let is_range = |value: &Value| value.get("range").or(value.get("choice")).is_some();
        if !is_range(value) {
            for alternative in &mut self.alternatives {
                let near = match &alternative.base {
                    Value::Object(base) if !base.contains_key(name) => {
                        near_names(name, base.keys().map(String::as_str))
                    }
                    _ => {
                        alternative.base[name] = value.clone();
                        continue;
                    }
                };
                return Err(Error::config(format!(
                    "`{}` has no parameter `{name}`{near}",
                    alternative.name
                )));
            }
            return Ok(self);
        }
        let refuse = |error: Option<serde_json::Error>| {
            let refused = Error::config(format!(
                "parameter `{name}` is {value}, must have `range = [low, high]` (with `log = true` or without) or `choice = [..]`"
            ));
            match error {
                Some(error) => refused.with_source(error),
                None => refused,
            }
        };
        let range: WrittenRange =
            serde_json::from_value(value.clone()).map_err(|error| refuse(Some(error)))?;
        let domain = range.domain().ok_or_else(|| refuse(None))?;
        let mut space = self.parameter(name, domain);
        for (other, values) in range.when {
            let values = match values {
                Value::Array(values) => values,
                value => vec![value],
            };
            space = space.when(&other, values);
        }
        Ok(space)
    }
}

/// Parameters such that those which others depend on come before them: files have no order of their keys.
fn in_order(parameters: Map<String, Value>) -> Vec<(String, Value)> {
    let mut left: Vec<(String, Value)> = parameters.into_iter().collect();
    let mut ordered: Vec<(String, Value)> = Vec::new();
    while !left.is_empty() {
        let waits = |value: &Value| {
            let when = value.get("when").and_then(Value::as_object);
            when.is_some_and(|when| left.iter().any(|(name, _)| when.contains_key(name)))
        };
        // Parameters that depend on each other are refused by `check`.
        let at = left
            .iter()
            .position(|(_, value)| !waits(value))
            .unwrap_or(0);
        ordered.push(left.remove(at));
    }
    ordered
}

fn transform(value: Value) -> Result<TransformChoice> {
    if value.get("steps").is_some() {
        return Ok(Transform::from_json(value)?.into());
    }
    let limits = serde_json::to_value(AutoTransform::default()).unwrap_or_default();
    let known: Vec<&str> = limits.as_object().map_or_else(Vec::new, |limits| {
        limits.keys().map(String::as_str).collect()
    });
    let unknown = value
        .as_object()
        .and_then(|table| table.keys().find(|key| !known.contains(&key.as_str())));
    if let Some(key) = unknown {
        let near = near_names(key, known.iter().copied().chain(["steps"]));
        return Err(Error::config(format!("unknown field `{key}`{near}")));
    }
    let auto: AutoTransform =
        serde_json::from_value(value).map_err(|error| Error::config(error.to_string()))?;
    Ok(auto.into())
}
