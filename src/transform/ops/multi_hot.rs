//! One feature per frequent item of lists.

use serde::{Deserialize, Serialize};

use super::one_hot::{counter, feature_names, most_frequent};
use super::{Apply, FittedOp, Operation, Vocabulary, only, size};
use crate::error::{Error, Result};
use crate::transform::Transform;
use crate::transform::learn::Learner;
use crate::transform::value::{Sparse, Value};

/// One feature per frequent item of lists.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MultiHot {
    /// The maximum number of items.
    pub max_categories: usize,
}

impl Transform {
    /// One feature for each of the at most 100 most frequent items of a column of lists (of text, whole numbers or
    /// booleans), 1 where the row's list has it, and one for all other items.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, ListArray, RecordBatch};
    /// # use arrow::datatypes::Int64Type;
    /// # use fourfold::transform::Transform;
    /// let lists = [Some(vec![Some(1), Some(2)]), Some(vec![Some(2)]), None];
    /// let stops: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
    /// let rows = RecordBatch::try_from_iter([("stops", stops)])?;
    /// let fitted = Transform::new().multi_hot("stops").fit(std::slice::from_ref(&rows))?;
    /// assert_eq!(fitted.features(), ["stops=2", "stops=1", "stops=<other>"]);
    /// assert_eq!(fitted.apply(&rows)?.row(0).to_vec(), [1.0, 1.0, 0.0]);
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    #[must_use]
    pub fn multi_hot(self, column: impl Into<String>) -> Self {
        self.multi_hot_top(column, Self::MAX_CATEGORIES)
    }

    /// As [`Transform::multi_hot`] with another limit.
    #[must_use]
    pub fn multi_hot_top(self, column: impl Into<String>, max_categories: usize) -> Self {
        self.step(column, MultiHot { max_categories })
    }
}

impl Operation for MultiHot {
    fn check(&self) -> Result<()> {
        size("`max_categories` of multi_hot", self.max_categories, 1)
    }

    fn learner(&self) -> Option<Learner> {
        Some(counter(self.max_categories))
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let values = most_frequent(learned, self.max_categories)?;
        Ok(Items { values }.into())
    }
}

/// One feature an item and one for all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Items {
    /// The items, the most frequent first.
    pub values: Vocabulary,
}

impl Apply for Items {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let list = only(inputs)?.list()?;
        let n = u32::try_from(self.values.len())
            .map_err(|_| Error::internal("a vocabulary past its limit"))?;
        Ok(Value::Sparse(Box::new(Sparse {
            offsets: list.offsets.clone(),
            ids: list.items.tokens()?.ids(&self.values, n),
            values: None,
            width: self.values.len() + 1,
        })))
    }

    fn feature_names(&self, column: &str) -> Vec<String> {
        feature_names(column, &self.values)
    }
}
