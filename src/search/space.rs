//! Search spaces: trainers, ranges of their parameters, transforms.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Domain;
use crate::error::{Error, Result, near_names};
use crate::features::Takes;
use crate::training::{AnyTrainer, Trainer};
use crate::transform::TransformChoice;

/// Builds a trainer of a configuration.
type Build = Arc<dyn Fn(Value) -> Result<AnyTrainer> + Send + Sync>;

/// A search space: one trainer or several (architecture), each with ranges of its parameters (hyperparameters), behind one
/// transform or several (representation).
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

/// One trainer with its varying parameters.
#[derive(Clone, Serialize)]
pub(super) struct Alternative {
    pub(super) name: String,
    pub(super) base: Value,
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
    /// One trainer, without varying parameters yet.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is configured where it is passed"
    )]
    pub fn of<T: Trainer + Clone + Serialize + DeserializeOwned>(trainer: T) -> Self {
        let build = |configuration: Value| {
            let trainer: T = serde_json::from_value(configuration).map_err(|error| {
                Error::config("the configuration does not fit the trainer").with_source(error)
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

    /// A number from `low` to `high`, log-uniform.
    #[must_use]
    pub fn log(self, name: &str, low: f64, high: f64) -> Self {
        let log = true;
        self.parameter(name, Domain::Float { low, high, log })
    }

    /// An integer from `low` to `high`.
    #[must_use]
    pub fn integer(self, name: &str, low: i64, high: i64) -> Self {
        let log = false;
        self.parameter(name, Domain::Integer { low, high, log })
    }

    /// An integer from `low` to `high`, log-uniform.
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

    /// Makes the last parameter conditional: it is searched only where another one, named before it, has one of these
    /// values. Elsewhere it stays as the trainer has it.
    ///
    /// ```
    /// use fourfold::search::Space;
    /// use fourfold::training::RandomForest;
    ///
    /// // Trees of random cuts have no use for small leaves here.
    /// let space = Space::of(RandomForest::default())
    ///     .choice("random_cuts", [true, false])
    ///     .integer_log("min_rows_leaf", 1, 50)
    ///     .when("random_cuts", [false]);
    /// assert!(space.check().is_ok());
    /// ```
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
    ///
    /// ```
    /// use fourfold::search::Space;
    /// use fourfold::training::GradientBoosting;
    /// use fourfold::transform::Transform;
    ///
    /// let space = Space::of(GradientBoosting::default()).behind([
    ///     ("distance", Transform::new().z_score("distance")),
    ///     ("distance and carrier", Transform::new().z_score("distance").one_hot("carrier")),
    /// ]);
    /// assert!(space.check().is_ok());
    /// ```
    #[must_use]
    pub fn behind<N: Into<String>, C: Into<TransformChoice>>(
        self,
        transforms: impl IntoIterator<Item = (N, C)>,
    ) -> Self {
        let mut alternatives = Vec::new();
        for (name, transform) in transforms {
            let (name, transform) = (name.into(), transform.into());
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
            return Err(Error::config("the search space has no trainer"));
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
                "the configuration of `{}` is not a JSON object, so its parameters cannot be searched",
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
                    "parameter `{name}` depends on `{other}`, which must be a parameter before it"
                )));
            }
        }
        for end in [0.0, 1.0] {
            self.trainer(&vec![end; self.parameters.len()])?.check()?;
        }
        Ok(())
    }

    /// The parameters that are active at a place, and the configuration there.
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

    /// Returns true if the trainer has a parameter.
    pub(super) fn has(&self, name: &str) -> bool {
        self.base.get(name).is_some()
    }
}
