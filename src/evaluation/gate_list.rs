//! Lists of gates from a file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Approval, Fair, NoEvidenceOfHarm, ProveNoWorse, RubberStamp, Thresholds, Validator};
use crate::error::{Error, Result, near_key, near_names};
use crate::model::Model;
use crate::written;

type Maker<M> = Arc<dyn Fn(Value) -> Result<Box<dyn Validator<M>>> + Send + Sync>;

/// The code of the gates that a file names: an explicit registry, as [`Loaders`](crate::model::Loaders) are.
///
/// The default knows `thresholds`, `prove_no_worse`, `no_evidence_of_harm`, `fair`, `approval` and `rubber_stamp`; [`Gates::with`]
/// adds yours. A file is a list,
/// in TOML or JSON, that a product manager can own:
///
/// ```
/// use fourfold::evaluation::Gates;
/// use fourfold::model::LinearModel;
///
/// let gates = Gates::<LinearModel>::default().from_toml(r#"
///     [[gates]]
///     gate = "thresholds"
///     thresholds = [{ metric = "auc", at_least = 0.7 }]
///
///     [[gates]]
///     gate = "prove_no_worse"
///     metric = "auc"
///     margin = 0.01
/// "#)?;
/// assert_eq!(gates.len(), 2); // a `Vec` of validators is a validator
/// # Ok::<(), fourfold::Error>(())
/// ```
pub struct Gates<M> {
    makers: BTreeMap<String, Maker<M>>,
}

impl<M> Clone for Gates<M> {
    fn clone(&self) -> Self {
        Gates {
            makers: self.makers.clone(),
        }
    }
}

impl<M> fmt::Debug for Gates<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.makers.keys()).finish()
    }
}

impl<M: Model> Default for Gates<M> {
    fn default() -> Self {
        Gates {
            makers: BTreeMap::new(),
        }
        .with::<Thresholds>("thresholds")
        .with::<ProveNoWorse>("prove_no_worse")
        .with::<NoEvidenceOfHarm>("no_evidence_of_harm")
        .with::<Fair>("fair")
        .with::<Approval>("approval")
        .with::<RubberStamp>("rubber_stamp")
    }
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    gates: Vec<Map<String, Value>>,
}

impl<M: Model> Gates<M> {
    /// Adds a gate under a name; one of the same name is replaced. Mark it `#[serde(deny_unknown_fields)]`, so that what is
    /// misspelled in a file is an error.
    #[must_use]
    pub fn with<V: Validator<M> + DeserializeOwned>(mut self, name: impl Into<String>) -> Self {
        let make: Maker<M> = Arc::new(|configuration| {
            let gate: V = serde_json::from_value(configuration)
                .map_err(|error| Error::config(near_key(&error.to_string())))?;
            gate.check()?;
            Ok(Box::new(gate))
        });
        self.makers.insert(name.into(), make);
        self
    }

    /// Reads gates from a file, JSON or TOML by its extension.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it is not there;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the file, the gate and what is wrong with it.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Vec<Box<dyn Validator<M>>>> {
        let path = path.as_ref();
        self.made(written::load(path, "gates")?).map_err(|error| {
            let message = format!("`{}`: {}", path.display(), error.message());
            Error::new(error.kind(), message)
        })
    }

    /// Reads gates from TOML.
    ///
    /// # Errors
    /// As [`Gates::load`].
    pub fn from_toml(&self, text: &str) -> Result<Vec<Box<dyn Validator<M>>>> {
        self.made(written::from_toml(text)?)
    }

    /// Reads gates from JSON.
    ///
    /// # Errors
    /// As [`Gates::load`].
    pub fn from_json(&self, text: &str) -> Result<Vec<Box<dyn Validator<M>>>> {
        self.made(written::from_json(text)?)
    }

    fn made(&self, document: Document) -> Result<Vec<Box<dyn Validator<M>>>> {
        self.of(document.gates)
    }

    /// The gates of a list.
    pub(crate) fn of(&self, gates: Vec<Map<String, Value>>) -> Result<Vec<Box<dyn Validator<M>>>> {
        if gates.is_empty() {
            return Err(Error::config(
                "there is no gate, must be at least one; a `RubberStamp` blesses without any",
            ));
        }
        let gates = gates.into_iter().enumerate();
        gates
            .map(|(number, mut configuration)| {
                let Some(Value::String(name)) = configuration.remove("gate") else {
                    return Err(Error::config(format!(
                        "gate {number} has no `gate`, the name of its kind"
                    )));
                };
                let Some(make) = self.makers.get(&name) else {
                    let near = near_names(&name, self.makers.keys().map(String::as_str));
                    return Err(Error::config(format!(
                        "gate {number}: there is no gate `{name}`{near}"
                    )));
                };
                make(Value::Object(configuration)).map_err(|error| {
                    let message = format!("gate {number}, {name}: {}", error.message());
                    Error::new(error.kind(), message)
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LinearModel;
    use crate::stage::Stage;

    fn refused(toml: &str) -> String {
        let read = Gates::<LinearModel>::default().from_toml(toml);
        read.map(|gates| gates.len())
            .unwrap_err()
            .message()
            .to_owned()
    }

    #[test]
    fn what_is_wrong_with_a_list_is_named() {
        assert_eq!(
            refused("gates = []"),
            "there is no gate, must be at least one; a `RubberStamp` blesses without any"
        );
        assert_eq!(
            refused("[[gates]]\nmetric = \"auc\""),
            "gate 0 has no `gate`, the name of its kind"
        );
        assert_eq!(
            refused("[[gates]]\ngate = \"treshold\""),
            "gate 0: there is no gate `treshold`; did you mean `thresholds`?"
        );
        assert_eq!(
            refused("[[gates]]\ngate = \"prove_no_worse\"\nmetric = \"auc\"\nmargn = 0.1"),
            "gate 0, prove_no_worse: unknown field `margn`; did you mean `margin`?"
        );
        assert_eq!(
            refused("[[gates]]\ngate = \"prove_no_worse\"\nmetric = \"auc\"\nmargin = -1"),
            "gate 0, prove_no_worse: the margin of `auc` is -1, must be at least 0"
        );
    }

    #[test]
    fn a_gate_of_ones_own_is_as_good() {
        let json = r#"{"gates": [{"gate": "mine", "metric": "auc", "margin": 0.5}]}"#;
        let gates = Gates::<LinearModel>::default().with::<ProveNoWorse>("mine");
        let read = gates.from_json(json).unwrap();
        assert_eq!(read[0].name(), "prove_no_worse");
        assert!(Validator::<LinearModel>::needs(&read).is_compared());
    }
}
