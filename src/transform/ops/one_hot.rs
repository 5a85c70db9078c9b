//! One feature per frequent value.

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, Vocabulary, only, size};
use crate::error::Result;
use crate::transform::Transform;
use crate::transform::learn::{Learner, Top};
use crate::transform::value::Value;

/// One feature per frequent value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneHot {
    /// The maximum number of values.
    pub max_categories: usize,
}

impl Transform {
    /// The default limit of categories of [`Transform::one_hot`] and [`Transform::multi_hot`].
    pub const MAX_CATEGORIES: usize = 100;

    /// One feature for each of the at most 100 most frequent values of text, whole numbers or booleans, and one
    /// for all others.
    #[must_use]
    pub fn one_hot(self, column: impl Into<String>) -> Self {
        self.one_hot_top(column, Self::MAX_CATEGORIES)
    }

    /// As [`Transform::one_hot`] with another limit.
    #[must_use]
    pub fn one_hot_top(self, column: impl Into<String>, max_categories: usize) -> Self {
        self.step(column, OneHot { max_categories })
    }
}

/// The learner of the `n` most frequent values.
pub(super) fn counter(n: usize) -> Learner {
    Top::new(n.saturating_mul(10).max(1_024)).into()
}

/// The `n` most frequent values.
pub(super) fn most_frequent(learned: &Learner, n: usize) -> Result<Vocabulary> {
    let top = learned.get::<Top>()?.top(n);
    let values: Vec<String> = top.into_iter().map(|(value, _)| value).collect();
    Ok(values.into())
}

/// A feature for each value and one for all others.
pub(super) fn feature_names(column: &str, values: &Vocabulary) -> Vec<String> {
    let values = values.values().iter().map(String::as_str);
    let with_other = values.chain(["<other>"]);
    with_other
        .map(|value| format!("{column}={value}"))
        .collect()
}

impl Operation for OneHot {
    fn check(&self) -> Result<()> {
        size("`max_categories` of one_hot", self.max_categories, 1)
    }

    fn learner(&self) -> Option<Learner> {
        Some(counter(self.max_categories))
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let values = most_frequent(learned, self.max_categories)?;
        Ok(Categories { values }.into())
    }
}

/// One feature a value and one for all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Categories {
    /// The values, the most frequent first.
    pub values: Vocabulary,
}

impl Apply for Categories {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let n = self.values.len();
        Ok(Value::Categories {
            ids: only(inputs)?.tokens()?.ids(&self.values, n as u32),
            width: n + 1,
        })
    }

    fn feature_names(&self, column: &str) -> Vec<String> {
        feature_names(column, &self.values)
    }
}
