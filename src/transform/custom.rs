//! Operations of your own.
//!
//! Implement [`CustomOperation`], use it by [`Transform::custom`](super::Transform::custom). A saved transform has
//! it under its name, with its own JSON; whoever loads it says which code the name means, through [`Operations`]
//! (and [`Loaders::with_operation`](crate::model::Loaders::with_operation) for models that are served).
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch};
//! use arrow::datatypes::Float64Type;
//! use fourfold::accumulate::Accumulate;
//! use fourfold::transform::{CustomOperation, FittedTransform, Operations, Transform};
//! use serde::{Deserialize, Serialize};
//!
//! /// A number as its share of the largest training value, plus a constant.
//! #[derive(Clone, Debug, Serialize, Deserialize)]
//! struct ShareOfMax {
//!     plus: f64,
//! }
//!
//! /// The largest value.
//! #[derive(Clone, Debug, Default, Serialize, Deserialize)]
//! struct Max(f64);
//!
//! impl Accumulate for Max {
//!     fn update(&mut self, batch: &RecordBatch) -> fourfold::Result<()> {
//!         let column = batch.column(0).as_primitive::<Float64Type>();
//!         self.0 = column.iter().flatten().fold(self.0, f64::max);
//!         Ok(())
//!     }
//!
//!     fn merge(&mut self, other: Self) -> fourfold::Result<()> {
//!         self.0 = self.0.max(other.0);
//!         Ok(())
//!     }
//! }
//!
//! /// What it is once fitted; also its JSON.
//! #[derive(Debug, Serialize, Deserialize)]
//! struct Share {
//!     max: f64,
//!     plus: f64,
//! }
//!
//! impl CustomOperation for ShareOfMax {
//!     const NAME: &'static str = "acme.share_of_max.v1";
//!     type Learned = Max;
//!     type Fitted = Share;
//!
//!     fn learner(&self) -> Max {
//!         Max::default()
//!     }
//!
//!     fn fit(&self, Max(max): Max) -> fourfold::Result<Share> {
//!         Ok(Share { max, plus: self.plus })
//!     }
//!
//!     fn apply(fitted: &Share, inputs: &[ArrayRef]) -> fourfold::Result<Vec<ArrayRef>> {
//!         let numbers = inputs[0].as_primitive::<Float64Type>();
//!         let shares: Float64Array = numbers.unary(|x| x / fitted.max + fitted.plus);
//!         Ok(vec![Arc::new(shares)])
//!     }
//! }
//!
//! let fare: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, 4.0]));
//! let rows = RecordBatch::try_from_iter([("fare", fare)])?;
//! let transform = Transform::new().custom(["fare"], ["share"], ShareOfMax { plus: 1.0 });
//! let fitted = transform.fit(std::slice::from_ref(&rows))?;
//! assert_eq!(fitted.apply(&rows)?.column(0).to_vec(), [1.25, 1.5, 2.0]);
//!
//! let saved = serde_json::to_string(&fitted).unwrap();
//! let loaded: FittedTransform = serde_json::from_str(&saved).unwrap();
//! let loaded = loaded.with_operations(&Operations::new().with::<ShareOfMax>())?;
//! assert_eq!(loaded.apply(&rows)?, fitted.apply(&rows)?);
//! # Ok::<(), fourfold::Error>(())
//! ```

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use super::learn::{Learn, Rows, learner_of};
use super::ops::FittedCustom;
use crate::accumulate::Accumulate;
use crate::error::{Error, ErrorKind, Result};

/// An operation of your own: what is configured. See the [module](self) for a whole one.
///
/// Columns come in the physical Arrow type of their [`FieldType`](crate::schema::FieldType): `Boolean`, `Int64`,
/// `Float64`, `Utf8`, `Date32`, `Timestamp(µs, "UTC")`, or `List` of them; numbers and text that a step has made are
/// `Float64` and `Utf8`. They may hold NULL and NaN, and no row at all.
pub trait CustomOperation:
    Clone + fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The name with a version: `<owner>.<operation>.v<n>`. Whatever is saved under a name must load in all later builds.
    const NAME: &'static str;

    /// Whether its learner sees the label, as the last column after the inputs.
    const NEEDS_LABEL: bool = false;

    /// The learner of the training rows; [`Nothing`] saves the pass over them.
    type Learned: Accumulate;

    /// The fitted operation; its serialized form is saved.
    type Fitted: fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Checks the configured values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with the value and the allowed range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The learner before it has seen a row. Its batches have the inputs as columns, in order.
    fn learner(&self) -> Self::Learned;

    /// The fitted operation.
    ///
    /// # Errors
    /// If nothing could be learned.
    fn fit(&self, learned: Self::Learned) -> Result<Self::Fitted>;

    /// The outputs of rows: as many arrays as the step has outputs, each as long as the inputs, of any type that a
    /// raw column may have. Rows must not influence each other; a batch may be cut anywhere.
    ///
    /// # Errors
    /// If the inputs are not what it takes.
    fn apply(fitted: &Self::Fitted, inputs: &[ArrayRef]) -> Result<Vec<ArrayRef>>;
}

/// The learner of an operation that has nothing to learn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Nothing;

impl Accumulate for Nothing {
    fn update(&mut self, _batch: &RecordBatch) -> Result<()> {
        Ok(())
    }

    fn merge(&mut self, _other: Self) -> Result<()> {
        Ok(())
    }
}

/// A registry of custom operations by name. It is explicit: nothing registers itself before `main`.
#[derive(Clone, Default)]
pub struct Operations(BTreeMap<String, Entry>);

/// The readers of the two forms of an operation.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    name: &'static str,
    configured: fn(&Json) -> Result<Arc<dyn Configured>>,
    fitted: fn(&Json) -> Result<Arc<dyn Fitted>>,
}

impl Operations {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Operations::default()
    }

    /// Adds an operation; one of the same name is replaced.
    #[must_use]
    pub fn with<O: CustomOperation>(mut self) -> Self {
        self.add(Entry::of::<O>());
        self
    }

    /// Adds all operations of another registry.
    #[must_use]
    pub fn with_all(mut self, others: &Operations) -> Self {
        others.0.values().for_each(|entry| self.add(*entry));
        self
    }

    /// The names that are known, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn add(&mut self, entry: Entry) {
        self.0.insert(entry.name.to_owned(), entry);
    }

    fn entry(&self, name: &str) -> Result<Entry> {
        self.0.get(name).copied().ok_or_else(|| {
            let known: Vec<&str> = self.names().collect();
            let known = match known.len() {
                0 => "none is".to_owned(),
                _ => format!("registered are {}", known.join(", ")),
            };
            Error::new(
                ErrorKind::Unsupported,
                format!(
                    "operation `{name}` is not registered; {known}; register it with `Operations::with`"
                ),
            )
        })
    }

    pub(super) fn configured(&self, name: &str, json: &Json) -> Result<Arc<dyn Configured>> {
        (self.entry(name)?.configured)(json)
    }

    pub(super) fn fitted(&self, name: &str, json: &Json) -> Result<(Arc<dyn Fitted>, Entry)> {
        let entry = self.entry(name)?;
        Ok(((entry.fitted)(json)?, entry))
    }
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Entry {
    fn of<O: CustomOperation>() -> Self {
        Entry {
            name: O::NAME,
            configured: |json| Ok(Arc::new(read::<O, O>(json)?)),
            fitted: |json| Ok(Arc::new(FittedCode::<O>(read::<O, O::Fitted>(json)?))),
        }
    }
}

fn read<O: CustomOperation, T: DeserializeOwned>(json: &Json) -> Result<T> {
    T::deserialize(json).map_err(|error| {
        let text = format!("the operation `{}` cannot be read from its JSON", O::NAME);
        Error::corrupt(text).with_source(error)
    })
}

/// A configured operation of any type.
pub(super) trait Configured: fmt::Debug + Send + Sync {
    fn check(&self) -> Result<()>;
    fn needs_label(&self) -> bool;
    fn learner(&self) -> Option<CustomLearner>;
    fn fit(&self, learned: Option<&CustomLearner>) -> Result<FittedCustom>;
    /// The reader.
    fn entry(&self) -> Entry;
}

impl<O: CustomOperation> Configured for O {
    fn check(&self) -> Result<()> {
        CustomOperation::check(self)?;
        serde_json::to_value(self).map_err(|error| cannot_be_saved::<O>(&error))?;
        Ok(())
    }

    fn needs_label(&self) -> bool {
        O::NEEDS_LABEL
    }

    fn learner(&self) -> Option<CustomLearner> {
        let learns = TypeId::of::<O::Learned>() != TypeId::of::<Nothing>();
        learns.then(|| CustomLearner(State::Live(Box::new(CustomOperation::learner(self)))))
    }

    fn fit(&self, learned: Option<&CustomLearner>) -> Result<FittedCustom> {
        let learned = match learned {
            Some(CustomLearner(State::Live(learned))) => learned.as_any().downcast_ref().cloned(),
            Some(CustomLearner(State::Bytes(_))) => None,
            None => Some(CustomOperation::learner(self)),
        };
        let learned = learned.ok_or_else(|| {
            Error::internal(format!(
                "the operation `{}` has the learner of another operation",
                O::NAME
            ))
        })?;
        let fitted = CustomOperation::fit(self, learned)?;
        let json = serde_json::to_value(&fitted).map_err(|error| cannot_be_saved::<O>(&error))?;
        // The operation in use is the one that will be loaded.
        let entry = Entry::of::<O>();
        let code = (entry.fitted)(&json).map_err(|error| cannot_be_saved::<O>(&error))?;
        Ok(FittedCustom::new(O::NAME, json, code, entry))
    }

    fn entry(&self) -> Entry {
        Entry::of::<O>()
    }
}

fn cannot_be_saved<O: CustomOperation>(error: &dyn fmt::Display) -> Error {
    Error::config(format!(
        "the operation `{}` cannot be saved: {error}",
        O::NAME
    ))
}

/// A fitted operation of any type.
pub(super) trait Fitted: fmt::Debug + Send + Sync {
    fn apply(&self, inputs: &[ArrayRef]) -> Result<Vec<ArrayRef>>;
}

struct FittedCode<O: CustomOperation>(O::Fitted);

impl<O: CustomOperation> fmt::Debug for FittedCode<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<O: CustomOperation> Fitted for FittedCode<O> {
    fn apply(&self, inputs: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        O::apply(&self.0, inputs)
    }
}

/// The learner of a custom operation. In transit it is bytes, which only a live learner can merge.
#[derive(Clone, Debug)]
pub(super) struct CustomLearner(State);

#[derive(Debug)]
enum State {
    Live(Box<dyn LiveLearner>),
    Bytes(Vec<u8>),
}

trait LiveLearner: fmt::Debug + Send + Sync {
    fn update(&mut self, batch: &RecordBatch) -> Result<()>;
    fn merge_state(&mut self, state: &[u8]) -> Result<()>;
    fn state(&self) -> Result<Vec<u8>>;
    fn boxed(&self) -> Box<dyn LiveLearner>;
    fn as_any(&self) -> &dyn Any;
}

impl<A: Accumulate> LiveLearner for A {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        Accumulate::update(self, batch)
    }

    fn merge_state(&mut self, state: &[u8]) -> Result<()> {
        self.merge(A::from_state(state)?)
    }

    fn state(&self) -> Result<Vec<u8>> {
        Accumulate::state(self)
    }

    fn boxed(&self) -> Box<dyn LiveLearner> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Clone for State {
    fn clone(&self) -> Self {
        match self {
            State::Live(learner) => State::Live(learner.boxed()),
            State::Bytes(bytes) => State::Bytes(bytes.clone()),
        }
    }
}

/// Learners cannot be compared, so no two are equal.
impl PartialEq for CustomLearner {
    fn eq(&self, _other: &Self) -> bool {
        false
    }
}

impl CustomLearner {
    fn state(&self) -> Result<Vec<u8>> {
        match &self.0 {
            State::Live(learner) => learner.state(),
            State::Bytes(bytes) => Ok(bytes.clone()),
        }
    }
}

impl Learn for CustomLearner {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let State::Live(learner) = &mut self.0 else {
            return Err(Error::internal("a custom learner without its code"));
        };
        let columns = rows.inputs.iter().copied().chain(rows.label);
        let columns = columns
            .enumerate()
            .map(|(place, column)| Ok((place.to_string(), column.to_array()?)))
            .collect::<Result<Vec<_>>>()?;
        let columns = columns
            .into_iter()
            .map(|(name, column)| (name, column, true));
        learner.update(&RecordBatch::try_from_iter_with_nullable(columns)?)
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        match &mut self.0 {
            State::Live(learner) => learner.merge_state(&other.state()?),
            State::Bytes(_) => Err(Error::internal("a custom learner without its code")),
        }
    }

    learner_of!(CustomLearner);
}

impl Serialize for CustomLearner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let state = self.state().map_err(serde::ser::Error::custom)?;
        serializer.serialize_bytes(&state)
    }
}

impl<'de> Deserialize<'de> for CustomLearner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the state of a learner")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        let bytes = deserializer.deserialize_byte_buf(Bytes)?;
        Ok(CustomLearner(State::Bytes(bytes)))
    }
}
