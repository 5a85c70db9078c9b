//! Which trainers may be tried, and with which parameters.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Domain;
use crate::error::{Error, Result, near_names};
use crate::features::Takes;
use crate::training::{
    AnyTrainer, Constant, DecisionTree, GradientBoosting, Linear, LinearRegression,
    LogisticRegression, RandomForest, StreamingLogistic, Trainer,
};
use crate::transform::TransformChoice;

/// Builds a trainer of a configuration.
type Build = Arc<dyn Fn(Value) -> Result<AnyTrainer> + Send + Sync>;

/// What a search chooses from: one trainer or several (architecture), each with ranges of its parameters
/// (hyperparameters), behind one transform or several (representation).
///
/// A parameter is a field of the trainer's configuration: what is not named stays as it was given.
///
/// ```
/// use fourfold::search::Space;
/// use fourfold::training::{GradientBoosting, LogisticRegression};
///
/// let space = Space::of(GradientBoosting::default().rounds(300).patience(20))
///     .log("learning_rate", 0.02, 0.3)
///     .integer_log("max_leaves", 4, 128)
///     .or(Space::of(LogisticRegression::default()).log("alpha", 0.01, 100.0));
/// assert!(space.check().is_ok());
///
/// let error = Space::of(LogisticRegression::default()).log("alhpa", 0.01, 100.0).check().unwrap_err();
/// assert_eq!(error.to_string(), "`logistic_regression` has no parameter `alhpa`; did you mean `alpha`?");
/// ```
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Space {
    pub(super) alternatives: Vec<Alternative>,
}

/// One trainer with what may vary.
#[derive(Clone, Serialize)]
pub(super) struct Alternative {
    pub(super) name: String,
    base: Value,
    pub(super) parameters: Vec<Parameter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transform: Option<TransformChoice>,
    #[serde(skip)]
    pub(super) takes: Takes,
    #[serde(skip)]
    build: Build,
}

impl fmt::Debug for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alternative")
            .field("name", &self.name)
            .field("base", &self.base)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

/// A parameter of a trainer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) domain: Domain,
    /// Another parameter of this alternative, and the values of it that this one matters for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) when: Option<(String, Vec<Value>)>,
}

/// A place in a space: an alternative, and a number from 0 to 1 for each of its parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) alternative: usize,
    pub(super) places: Vec<f64>,
}

impl Space {
    /// One trainer, nothing of which varies yet.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is configured where it is passed"
    )]
    pub fn of<T: Trainer + Clone + Serialize + DeserializeOwned>(trainer: T) -> Self {
        let build = |configuration: Value| {
            let trainer: T = serde_json::from_value(configuration).map_err(|error| {
                Error::config("a configuration that is none of the trainer").with_source(error)
            })?;
            Ok(trainer.erase())
        };
        Space {
            alternatives: vec![Alternative {
                name: trainer.name().to_owned(),
                base: serde_json::to_value(&trainer).unwrap_or(Value::Null),
                parameters: Vec::new(),
                transform: None,
                takes: trainer.capabilities().takes,
                build: Arc::new(build),
            }],
        }
    }

    /// The alternatives of both.
    #[must_use]
    pub fn or(mut self, other: Space) -> Self {
        self.alternatives.extend(other.alternatives);
        self
    }

    /// A number from `low` to `high`.
    #[must_use]
    pub fn float(self, name: &str, low: f64, high: f64) -> Self {
        let log = false;
        self.parameter(name, Domain::Float { low, high, log })
    }

    /// A number from `low` to `high` by its order of magnitude.
    #[must_use]
    pub fn log(self, name: &str, low: f64, high: f64) -> Self {
        let log = true;
        self.parameter(name, Domain::Float { low, high, log })
    }

    /// A whole number from `low` to `high`.
    #[must_use]
    pub fn integer(self, name: &str, low: i64, high: i64) -> Self {
        let log = false;
        self.parameter(name, Domain::Integer { low, high, log })
    }

    /// A whole number from `low` to `high` by its order of magnitude.
    #[must_use]
    pub fn integer_log(self, name: &str, low: i64, high: i64) -> Self {
        let log = true;
        self.parameter(name, Domain::Integer { low, high, log })
    }

    /// One of these values.
    #[must_use]
    pub fn choice<V: Into<Value>>(self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        self.parameter(name, Domain::Choice(values))
    }

    /// A parameter of the last trainer; one of the same name is replaced.
    #[must_use]
    pub fn parameter(mut self, name: &str, domain: Domain) -> Self {
        if let Some(last) = self.alternatives.last_mut() {
            last.parameters.retain(|known| known.name != name);
            last.parameters.push(Parameter {
                name: name.to_owned(),
                domain,
                when: None,
            });
        }
        self
    }

    /// Says that the last parameter matters only where another one, that was named before it, has one of these values:
    /// elsewhere it stays as the trainer has it.
    #[must_use]
    pub fn when<V: Into<Value>>(
        mut self,
        other: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let last = self.alternatives.last_mut();
        if let Some(parameter) = last.and_then(|last| last.parameters.last_mut()) {
            let values = values.into_iter().map(Into::into).collect();
            parameter.when = Some((other.to_owned(), values));
        }
        self
    }

    /// The same trainers behind each of these transforms, with names for the record, instead of the pipeline's.
    #[must_use]
    pub fn behind<C: Into<TransformChoice>>(
        self,
        transforms: impl IntoIterator<Item = (&'static str, C)>,
    ) -> Self {
        let mut alternatives = Vec::new();
        for (name, transform) in transforms {
            let transform = transform.into();
            alternatives.extend(self.alternatives.iter().map(|alternative| Alternative {
                name: format!("{} behind {name}", alternative.name),
                transform: Some(transform.clone()),
                ..alternative.clone()
            }));
        }
        Space { alternatives }
    }

    /// Checks that each trainer has the parameters, and takes the values at the ends of their ranges.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming trainer, parameter and value.
    pub fn check(&self) -> Result<()> {
        if self.alternatives.is_empty() {
            return Err(Error::config("a space of no trainer"));
        }
        self.alternatives.iter().try_for_each(Alternative::check)
    }

    pub(super) fn alternative(&self, point: &Point) -> &Alternative {
        &self.alternatives[point.alternative]
    }
}

impl Alternative {
    fn check(&self) -> Result<()> {
        let Value::Object(base) = &self.base else {
            return Err(Error::config(format!(
                "the configuration of `{}` is no JSON object, so none of its parameters can be searched",
                self.name
            )));
        };
        for (at, parameter) in self.parameters.iter().enumerate() {
            let name = &parameter.name;
            if !base.contains_key(name) {
                let near = near_names(name, base.keys().map(String::as_str));
                return Err(Error::config(format!(
                    "`{}` has no parameter `{name}`{near}",
                    self.name
                )));
            }
            parameter.domain.check(name)?;
            if let Some((other, _)) = &parameter.when
                && !self.parameters[..at]
                    .iter()
                    .any(|known| known.name == *other)
            {
                return Err(Error::config(format!(
                    "parameter `{name}` depends on `{other}`, which is not named before it"
                )));
            }
        }
        for end in [0.0, 1.0] {
            self.trainer(&vec![end; self.parameters.len()])?.check()?;
        }
        Ok(())
    }

    /// Which parameters matter at a place, and the configuration there.
    pub(super) fn configuration(&self, places: &[f64]) -> (Vec<bool>, BTreeMap<&str, Value>) {
        let mut values: BTreeMap<&str, Value> = BTreeMap::new();
        let mut active = Vec::new();
        for (parameter, place) in self.parameters.iter().zip(places) {
            let matters = parameter.when.as_ref().is_none_or(|(other, wanted)| {
                let value = values.get(other.as_str());
                value.is_some_and(|value| wanted.contains(value))
            });
            if matters {
                values.insert(&parameter.name, parameter.domain.value(*place));
            }
            active.push(matters);
        }
        (active, values)
    }

    /// The trainer at a place.
    pub(super) fn trainer(&self, places: &[f64]) -> Result<AnyTrainer> {
        let values = self.configuration(places).1;
        self.with(
            values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        )
    }

    /// The trainer with some values.
    pub(super) fn with(
        &self,
        values: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<AnyTrainer> {
        let mut configuration = match &self.base {
            Value::Object(base) => base.clone(),
            _ => Map::new(),
        };
        configuration.extend(values);
        (self.build)(Value::Object(configuration)).map_err(|error| error.in_stage(&self.name))
    }

    /// Whether the trainer has a parameter.
    pub(super) fn has(&self, name: &str) -> bool {
        self.base.get(name).is_some()
    }
}

/// The trainers that files may name, each with the configuration that it has where a file says nothing.
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
    /// Reads a space from TOML: a table a trainer, with values that stay and ranges that are searched.
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
    ///     "#,
    ///     &Trainers::default(),
    /// )?;
    /// assert!(space.check().is_ok());
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is no such TOML, naming what is not known with the near names.
    pub fn from_toml(text: &str, trainers: &Trainers) -> Result<Self> {
        let written: Written = toml::from_str(text)
            .map_err(|error| Error::config("a space that is no such TOML").with_source(error))?;
        Space::of_written(written, trainers)
    }

    /// Reads a space from JSON: `{"trainer": [{"name": .., ..}, ..]}`, as [`Space::from_toml`].
    ///
    /// # Errors
    /// As [`Space::from_toml`].
    pub fn from_json(text: &str, trainers: &Trainers) -> Result<Self> {
        let written: Written = serde_json::from_str(text)
            .map_err(|error| Error::config("a space that is no such JSON").with_source(error))?;
        Space::of_written(written, trainers)
    }

    fn of_written(written: Written, trainers: &Trainers) -> Result<Self> {
        let mut alternatives = Vec::new();
        for trainer in written.trainer {
            let found = trainers.0.get(&trainer.name).ok_or_else(|| {
                let near = near_names(&trainer.name, trainers.0.keys().map(String::as_str));
                Error::config(format!("there is no trainer `{}`{near}", trainer.name))
            })?;
            let mut space = found.clone();
            for (name, value) in trainer.parameters {
                space = space.read(&name, &value)?;
            }
            alternatives.extend(space.alternatives);
        }
        let space = Space { alternatives };
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
                "parameter `{name}` is {value}, must have `range = [low, high]`, perhaps with `log = true`, or `choice = [..]`"
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
