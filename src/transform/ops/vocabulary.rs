//! Values as their ids in a vocabulary; and one feature a term.

use serde::{Deserialize, Serialize};

use super::terms::{KnownTerms, Terms, UNKNOWN};
use super::{Apply, FittedOp, Operation, only};
use crate::error::{Error, Result};
use crate::transform::Transform;
use crate::transform::learn::Learner;
use crate::transform::value::{List, NO_CATEGORY, Value};

/// The id of each value in a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToIds {
    /// The terms of the vocabulary.
    #[serde(flatten)]
    pub terms: Terms,
    /// The id of all other values where there are no buckets for them.
    #[serde(default = "minus_one")]
    pub default_id: i64,
}

/// One feature for each term of a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneHotTerms {
    /// The terms of the vocabulary.
    #[serde(flatten)]
    pub terms: Terms,
}

fn minus_one() -> i64 {
    -1
}

impl Transform {
    /// Replaces text, whole numbers or booleans, or each item of lists of them, by the id in a vocabulary of the
    /// training values: 0 is the first term, see [`Terms`]. Any other value has the id of its bucket, or -1 if there
    /// are no buckets. The ids are whole numbers for later steps, and a feature as they are.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, RecordBatch, StringArray};
    /// # use fourfold::transform::Transform;
    /// # use fourfold::transform::ops::Terms;
    /// let carrier: ArrayRef = Arc::new(StringArray::from(vec!["UA", "AA", "UA", "EV"]));
    /// let rows = RecordBatch::try_from_iter([("carrier", carrier)])?;
    /// let fitted = Transform::new()
    ///     .vocabulary("carrier", Terms::all().min_count(2))
    ///     .fit(std::slice::from_ref(&rows))?;
    /// assert_eq!(fitted.apply(&rows)?.column(0).to_vec(), [0.0, -1.0, 0.0, -1.0]);
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    #[must_use]
    pub fn vocabulary(self, column: impl Into<String>, terms: Terms) -> Self {
        self.vocabulary_or(column, terms, minus_one())
    }

    /// As [`Transform::vocabulary`] with another id for values that are not in it.
    #[must_use]
    pub fn vocabulary_or(self, column: impl Into<String>, terms: Terms, default_id: i64) -> Self {
        self.step(column, ToIds { terms, default_id })
    }

    /// As [`Transform::one_hot`] with a chosen vocabulary: one feature for each term, and one for each
    /// bucket of all other values. Without buckets they are all zeros.
    #[must_use]
    pub fn one_hot_of(self, column: impl Into<String>, terms: Terms) -> Self {
        self.step(column, OneHotTerms { terms })
    }
}

impl Operation for ToIds {
    fn check(&self) -> Result<()> {
        const MOST: i64 = 1 << 24;
        if !(-MOST..=MOST).contains(&self.default_id) {
            return Err(Error::config(format!(
                "the default id of vocabulary is {}, must be {} to {MOST}",
                self.default_id, -MOST
            )));
        }
        self.terms.check()
    }

    fn needs_label(&self) -> bool {
        self.terms.needs_label()
    }

    fn learner(&self) -> Option<Learner> {
        Some(self.terms.learner())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let terms = self.terms.known(self.terms.choose(learned)?);
        let default_id = self.default_id;
        Ok(Ids { terms, default_id }.into())
    }
}

impl Operation for OneHotTerms {
    fn check(&self) -> Result<()> {
        self.terms.check()
    }

    fn needs_label(&self) -> bool {
        self.terms.needs_label()
    }

    fn learner(&self) -> Option<Learner> {
        Some(self.terms.learner())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let terms = self.terms.known(self.terms.features(learned)?);
        Ok(TermFeatures { terms }.into())
    }
}

/// The id of each value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ids {
    /// The vocabulary.
    #[serde(flatten)]
    pub terms: KnownTerms,
    /// The id of values that are in no bucket.
    pub default_id: i64,
}

impl Apply for Ids {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let numbers = |value: &Value| -> Result<Value> {
            let ids = self.terms.ids(&value.tokens()?);
            let numbers = ids.iter().map(|id| match *id {
                NO_CATEGORY => None,
                UNKNOWN => Some(self.default_id as f64),
                id => Some(f64::from(id)),
            });
            Ok(Value::Numbers(numbers.collect()))
        };
        Ok(match only(inputs)? {
            Value::List(list) => Value::List(Box::new(List {
                offsets: list.offsets.clone(),
                nulls: list.nulls.clone(),
                items: numbers(&list.items)?,
            })),
            value => numbers(value)?,
        })
    }
}

/// One feature for each term.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TermFeatures {
    /// The terms.
    #[serde(flatten)]
    pub terms: KnownTerms,
}

impl Apply for TermFeatures {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let mut ids = self.terms.ids(&only(inputs)?.tokens()?);
        let unknown = ids.iter_mut().filter(|id| **id == UNKNOWN);
        unknown.for_each(|id| *id = NO_CATEGORY);
        let width = self.terms.n_ids();
        Ok(Value::Categories { ids, width })
    }

    fn feature_names(&self, column: &str) -> Vec<String> {
        self.terms.feature_names(column)
    }
}
